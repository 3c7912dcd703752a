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

// Source is where a Server takes its data from.
type Source struct {
	// Version changes with the cluster; it costs nothing to ask.
	Version func() string
	// Take builds the data anew. It is not called twice at a time.
	Take func(context.Context) (*Data, error)
}

// Server serves the page at / and its data at /data.json. Data is taken only
// when somebody asks for it, when the cluster has changed, and seldom enough
// that it takes a small part of one processor.
type Server struct {
	source Source
	shell  string
	policy string

	mu       sync.Mutex
	body     answer
	version  string
	earliest time.Time // of the next take
}

// answer is data as it is sent.
type answer struct {
	plain, zipped []byte
	tag           string
}

// least is the shortest time between two takes. One that took long is followed
// by a pause of share times as long: at most 5 % of a processor.
const (
	least = time.Second
	share = 19
)

// NewServer returns a handler for the page of a source.
func NewServer(source Source) *Server {
	return &Server{source: source, shell: shell(), policy: policy("'self'") + "; frame-ancestors 'none'"}
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
		_, _ = w.Write([]byte(s.shell)) // a reader that left is no error
	case "/data.json":
		s.serveData(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) serveData(w http.ResponseWriter, r *http.Request) {
	body, err := s.current(r.Context())
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

// current is the data as it is, or was a moment ago.
func (s *Server) current(ctx context.Context) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := time.Now()
	version := s.source.Version()
	if s.body.tag != "" && (version == s.version || begin.Before(s.earliest)) {
		return s.body, nil
	}
	// Who asked may leave; the next one wants the data too.
	data, err := s.source.Take(context.WithoutCancel(ctx))
	if err != nil {
		return answer{}, err
	}
	if s.body, err = encode(data); err != nil {
		return answer{}, err
	}
	s.version, s.earliest = version, time.Now().Add(max(least, share*time.Since(begin)))
	return s.body, nil
}

// encode writes data for the wire. The tag reports whether anything but the time
// is new.
func encode(data *Data) (answer, error) {
	timeless := *data
	timeless.Taken = time.Time{}
	text, err := json.Marshal(&timeless)
	if err != nil {
		return answer{}, err
	}
	sum := sha256.Sum256(text)
	a := answer{tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	if a.plain, err = json.Marshal(data); err != nil {
		return answer{}, err
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	if err != nil {
		return answer{}, err
	}
	if _, err := z.Write(a.plain); err != nil {
		return answer{}, err
	}
	err = z.Close()
	a.zipped = zipped.Bytes()
	return a, err
}
