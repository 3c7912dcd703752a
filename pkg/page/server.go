// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Source is where a Server gets its data.
type Source struct {
	// Version changes with the cluster; it costs nothing to ask.
	Version func() string
	// Build builds the data anew. It is not called twice at a time.
	Build func(context.Context) (*Data, error)
}

// Server serves the page at / and its data at /data.json. Data is built only
// for a request, when the cluster has changed, and seldom enough that it takes
// a small part of one processor.
type Server struct {
	source Source
	page   string
	policy string

	mu        sync.Mutex
	encoded   encodedData
	version   string
	nextBuild time.Time // of the next take
}

// encodedData is data as it is sent.
type encodedData struct {
	plain, zipped []byte
	tag           string
}

// minBuildInterval is the shortest time between two takes. One that took long is followed
// by a pause of share times as long: at most 5 % of a processor.
const (
	// minBuildInterval is the shortest time between two builds. One that took long
	// is followed by a pause of restFactor times as long: at most 5 % of a
	// processor.
	minBuildInterval = time.Second
	restFactor       = 19
)

// NewServer returns a handler for the page of a source.
func NewServer(source Source) *Server {
	return &Server{source: source, page: livePage(), policy: securityPolicy("'self'") + "; frame-ancestors 'none'"}
}

// ServeHTTP answers GET and HEAD for the two paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", s.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/", "":
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(s.page)) // a reader that left is no error
	case "/data.json":
		s.serveData(w, r)
	default:
		http.NotFound(w, r)
	}
}

// serveData answers with the data, or with 304 if the reader has it already.
func (s *Server) serveData(w http.ResponseWriter, r *http.Request) {
	body, err := s.currentData(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("ETag", body.tag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == body.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	out := body.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		out = body.zipped
	}
	_, _ = w.Write(out) // a reader that left is no error
}

// currentData returns the data as it is, or was a moment ago.
func (s *Server) currentData(ctx context.Context) (encodedData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := time.Now()
	version := s.source.Version()
	if s.encoded.tag != "" && (version == s.version || begin.Before(s.nextBuild)) {
		return s.encoded, nil
	}
	// Who asked may leave; the next one wants the data too.
	data, err := s.source.Build(context.WithoutCancel(ctx))
	if err != nil {
		return encodedData{}, err
	}
	if s.encoded, err = encodeData(data); err != nil {
		return encodedData{}, err
	}
	s.version, s.nextBuild = version, time.Now().Add(max(minBuildInterval, restFactor*time.Since(begin)))
	return s.encoded, nil
}

// encodeData returns data as it is sent. The tag changes if anything but the
// time is new.
func encodeData(data *Data) (encodedData, error) {
	timeless := *data
	timeless.Taken = time.Time{}
	text, err := json.Marshal(&timeless)
	if err != nil {
		return encodedData{}, err
	}
	sum := sha256.Sum256(text)
	a := encodedData{tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	if a.plain, err = json.Marshal(data); err != nil {
		return encodedData{}, err
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	if err != nil {
		return encodedData{}, err
	}
	if _, err := z.Write(a.plain); err != nil {
		return encodedData{}, err
	}
	err = z.Close()
	a.zipped = zipped.Bytes()
	return a, err
}
