// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// server answers as an API server that serves the core kinds only, has nothing at the
// start, and takes every write without keeping it.
type server struct {
	*httptest.Server

	mu   sync.Mutex
	cond *sync.Cond
	// stories are what each watch of a kind sees, one after the other.
	stories map[string][]story
	// told is how many watches of a kind have seen all of its stories, and writes how
	// often pods were written.
	told   map[string]int
	writes int
	ended  bool
}

// story makes up events of a watch.
type story func(write func(kind, object string))

func newServer(t *testing.T) *server {
	s := &server{stories: map[string][]story{}, told: map[string]int{}}
	s.cond = sync.NewCond(&s.mu)
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.cond.Broadcast()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// tell has all watches of a kind see more events, and returns when they have.
func (s *server) tell(kind string, more story) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stories[kind] = append(s.stories[kind], more)
	s.told[kind] = 0
	s.cond.Broadcast()
	for s.told[kind] == 0 && !s.ended {
		s.cond.Wait()
	}
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	switch path := r.URL.Path; {
	case path == "/version":
		fmt.Fprint(w, `{"major":"1","minor":"37","gitVersion":"v1.37.0"}`)
	case r.Method != http.MethodGet:
		s.answerWrite(w, r)
	case query.Get("sendInitialEvents") == "true":
		answerStatus(w, http.StatusUnprocessableEntity, "Invalid")
	case query.Get("watch") != "":
		s.serveWatch(w, r, path[strings.LastIndex(path, "/")+1:], query.Get("fieldSelector"))
	case strings.Count(path, "/") == 3 && strings.HasPrefix(path, "/apis/") || path == "/api" || path == "/apis":
		answerStatus(w, http.StatusNotFound, "NotFound") // no such group
	case strings.Contains(path, "/namespaces/"):
		answerStatus(w, http.StatusNotFound, "NotFound") // no such object
	default:
		fmt.Fprint(w, `{"metadata":{"resourceVersion":"1"},"items":[]}`)
	}
}

func answerStatus(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}

func (s *server) answerWrite(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if strings.HasSuffix(r.URL.Path, "/status") {
		s.mu.Lock()
		s.writes++
		s.mu.Unlock()
	}
	fmt.Fprint(w, `{"metadata":{"resourceVersion":"1"}}`)
}

// serveWatch tells the stories of a kind for as long as somebody listens. Of pods there
// are none that have ended.
func (s *server) serveWatch(w http.ResponseWriter, r *http.Request, kind, fields string) {
	w.(http.Flusher).Flush()
	version := 1
	write := func(event, object string) {
		version++
		fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", event, strings.Replace(object, "VERSION", fmt.Sprint(version), 1))
	}
	stop := r.Context().Done()
	go func() {
		<-stop
		s.cond.Broadcast()
	}()
	for next := 0; ; next++ {
		s.mu.Lock()
		for next >= len(s.stories[kind]) && !s.ended && r.Context().Err() == nil {
			s.cond.Wait()
		}
		if s.ended || r.Context().Err() != nil {
			s.mu.Unlock()
			return
		}
		tell := s.stories[kind][next]
		s.mu.Unlock()
		if kind == "pods" && strings.HasPrefix(fields, "status.phase=") {
			continue
		}
		tell(write)
		w.(http.Flusher).Flush()
		s.mu.Lock()
		s.told[kind]++
		s.mu.Unlock()
		s.cond.Broadcast()
	}
}
