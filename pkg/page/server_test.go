// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stub is a source that counts how often it is asked.
type stub struct {
	version string
	data    Data
	err     error
	takes   int
}

func (s *stub) server() *Server {
	return NewServer(Source{
		Version: func() string { return s.version },
		Build: func(context.Context) (*Data, error) {
			s.takes++
			data := s.data
			return &data, s.err
		},
	})
}

func ask(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestServer(t *testing.T) {
	s := &stub{data: Data{Taken: noon, Models: []string{"H100"}}}
	server := s.server()
	for _, test := range []struct {
		method, path string
		status       int
		kind         string
	}{
		{http.MethodGet, "/", http.StatusOK, "text/html; charset=utf-8"},
		{http.MethodHead, "/", http.StatusOK, "text/html; charset=utf-8"},
		{http.MethodGet, "/data.json", http.StatusOK, "application/json"},
		{http.MethodHead, "/data.json", http.StatusOK, "application/json"},
		{http.MethodPost, "/data.json", http.StatusMethodNotAllowed, "text/plain; charset=utf-8"},
		{http.MethodDelete, "/", http.StatusMethodNotAllowed, "text/plain; charset=utf-8"},
		{http.MethodGet, "/data.json/", http.StatusNotFound, "text/plain; charset=utf-8"},
		{http.MethodGet, "/other", http.StatusNotFound, "text/plain; charset=utf-8"},
	} {
		got := ask(server, test.method, test.path)
		assert.Equal(t, test.status, got.StatusCode, "%s %s", test.method, test.path)
		assert.Equal(t, test.kind, got.Header.Get("Content-Type"), "%s %s", test.method, test.path)
		assert.Equal(t, "no-store", got.Header.Get("Cache-Control"))
		assert.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
		assert.Contains(t, got.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'sha256-")
		assert.Contains(t, got.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	}
	assert.Equal(t, 1, s.takes)
}

func TestServer_SendsDataOnce(t *testing.T) {
	s := &stub{data: Data{Taken: noon, Models: []string{"H100"}}}
	server := s.server()
	first := ask(server, http.MethodGet, "/data.json", "Accept-Encoding", "br, gzip")
	require.Equal(t, "gzip", first.Header.Get("Content-Encoding"))
	unzipped, err := gzip.NewReader(first.Body)
	require.NoError(t, err)
	var got Data
	require.NoError(t, json.NewDecoder(unzipped).Decode(&got))
	assert.Equal(t, s.data, got)

	tag := first.Header.Get("ETag")
	again := ask(server, http.MethodGet, "/data.json", "If-None-Match", tag)
	assert.Equal(t, http.StatusNotModified, again.StatusCode)
	body, err := io.ReadAll(again.Body)
	require.NoError(t, err)
	assert.Empty(t, body)
}

// renew lets a server that was told of a change take data again at once.
func renew(s *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextBuild = time.Time{}
}

func TestServer_TakesAgainOnlyAfterAChangeAndAPause(t *testing.T) {
	s := &stub{version: "1", data: Data{Taken: noon}}
	server := s.server()
	tag := ask(server, http.MethodGet, "/data.json").Header.Get("ETag")

	s.data.Taken = noon.Add(time.Minute)
	renew(server)
	assert.Equal(t, tag, ask(server, http.MethodGet, "/data.json").Header.Get("ETag"))
	assert.Equal(t, 1, s.takes, "nothing has changed")

	s.version = "2"
	renew(server)
	assert.Equal(t, tag, ask(server, http.MethodGet, "/data.json").Header.Get("ETag"))
	require.Equal(t, 2, s.takes, "something has changed, but not what is shown")

	s.version, s.data.Models = "3", []string{"H100"}
	assert.Equal(t, tag, ask(server, http.MethodGet, "/data.json").Header.Get("ETag"))
	assert.Equal(t, 2, s.takes, "the pause is not over")
	renew(server)
	assert.NotEqual(t, tag, ask(server, http.MethodGet, "/data.json").Header.Get("ETag"))
	assert.Equal(t, 3, s.takes)
}

func TestServer_SaysWhatIsWrong(t *testing.T) {
	s := &stub{err: errors.New("the cluster is not known yet")}
	server := s.server()
	got := ask(server, http.MethodGet, "/data.json")
	body, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	assert.Equal(t, "the cluster is not known yet\n", string(body))
	s.err = nil
	assert.Equal(t, http.StatusOK, ask(server, http.MethodGet, "/data.json").StatusCode)
}

func TestServeLocal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address, err := ServeLocal(ctx, 0, (&stub{}).server())
	require.NoError(t, err)
	for host, want := range map[string]int{
		"": http.StatusOK, "localhost": http.StatusOK, "localhost:8080": http.StatusOK, "[::1]:80": http.StatusOK,
		"evil.example": http.StatusForbidden, "localhost.evil.example:80": http.StatusForbidden, "10.0.0.1": http.StatusForbidden,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"data.json", nil)
		require.NoError(t, err)
		r.Host = host
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		assert.Equal(t, want, got.StatusCode, host)
		require.NoError(t, got.Body.Close())
	}
	cancel()
	require.Eventually(t, func() bool {
		got, err := http.Get(address)
		if err == nil {
			_ = got.Body.Close()
		}
		return err != nil
	}, time.Minute, 10*time.Millisecond, "it ends with its context")
	_, err = ServeLocal(t.Context(), -1, nil)
	assert.ErrorContains(t, err, "serving the page")
}
