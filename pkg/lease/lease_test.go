// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// memoryLock is a lease in memory.
type memoryLock struct {
	record resourcelock.LeaderElectionRecord
	err    error
	during func() // called while a write is under way
}

func (m *memoryLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &m.record, nil, m.err
}

func (m *memoryLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return m.Update(ctx, r)
}

func (m *memoryLock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	if m.during != nil {
		m.during()
	}
	if m.err == nil {
		m.record = r
	}
	return m.err
}

func (m *memoryLock) RecordEvent(string) {}
func (m *memoryLock) Identity() string   { return "me" }
func (m *memoryLock) Describe() string   { return "lease" }

// world is a replica with a lease and a clock that stands still unless it is moved.
type world struct {
	lock   *memoryLock
	term   *Term
	leased resourcelock.Interface
	now    time.Time
	lostTo string
}

func newWorld() *world {
	w := &world{lock: &memoryLock{}, term: NewTerm(10 * time.Second), now: time.Now()}
	w.term.now = func() time.Time { return w.now }
	w.leased = w.term.WatchLock(w.lock, func(holder string) { w.lostTo = holder })
	return w
}

func (w *world) renew(t *testing.T) {
	require.NoError(t, w.leased.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "me"}))
}

func TestTerm(t *testing.T) {
	for _, tc := range []struct {
		name  string
		story func(*testing.T, *world)
		valid bool
	}{
		{"nobody has asked yet", func(*testing.T, *world) {}, false},
		{"a new lease", func(t *testing.T, w *world) {
			require.NoError(t, w.leased.Create(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "me"}))
		}, true},
		{"just renewed", func(t *testing.T, w *world) { w.renew(t); w.now = w.now.Add(9 * time.Second) }, true},
		{"stopped for as long as the deadline", func(t *testing.T, w *world) { w.renew(t); w.now = w.now.Add(10 * time.Second) }, false},
		{"stopped while it renewed", func(t *testing.T, w *world) {
			w.lock.during = func() { w.now = w.now.Add(11 * time.Second) }
			w.renew(t)
		}, false},
		{"paused, with a monotonic clock that stood still", func(t *testing.T, w *world) {
			w.renew(t)
			w.term.renewed = w.term.renewed.Add(-11 * time.Second).Round(0)
		}, false},
		{"a renewal that failed", func(t *testing.T, w *world) {
			w.renew(t)
			w.now = w.now.Add(9 * time.Second)
			w.lock.err = errors.New("no answer")
			require.Error(t, w.leased.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "me"}))
			w.now = w.now.Add(2 * time.Second)
		}, false},
		{"renewed after a stop", func(t *testing.T, w *world) { w.renew(t); w.now = w.now.Add(time.Minute); w.renew(t) }, true},
		{"given up", func(t *testing.T, w *world) {
			w.renew(t)
			require.NoError(t, w.leased.Update(t.Context(), resourcelock.LeaderElectionRecord{}))
		}, false},
		{"another holder is seen", func(t *testing.T, w *world) {
			w.renew(t)
			w.lock.record.HolderIdentity = "other"
			_, _, err := w.leased.Get(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "other", w.lostTo)
		}, false},
		{"another holder is seen by one that stands by", func(t *testing.T, w *world) {
			w.lock.record.HolderIdentity = "other"
			_, _, err := w.leased.Get(t.Context())
			require.NoError(t, err)
			assert.Empty(t, w.lostTo)
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld()
			tc.story(t, w)
			assert.Equal(t, tc.valid, w.term.IsValid())
		})
	}
	assert.True(t, (*Term)(nil).IsValid(), "leader election is off")
	assert.NoError(t, (*Term)(nil).Wait(t.Context()))
}

// A write waits for the term; it is sent when the lease is renewed, and never when the
// one who asked gives up. Reads and questions go at any time.
func TestTransport(t *testing.T) {
	arrived := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Method + " " + r.URL.Path }))
	defer server.Close()
	w := newWorld()
	client := &http.Client{Transport: w.term.Transport(http.DefaultTransport)}
	send := func(ctx context.Context, method, path string) error {
		request, err := http.NewRequestWithContext(ctx, method, server.URL+path, http.NoBody)
		require.NoError(t, err)
		response, err := client.Do(request)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	require.NoError(t, send(t.Context(), http.MethodGet, "/api/v1/pods"))
	require.NoError(t, send(t.Context(), http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))
	assert.Equal(t, "GET /api/v1/pods", <-arrived)
	assert.Equal(t, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", <-arrived)

	given, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, send(given, http.MethodPost, "/api/v1/pods/a/binding"), context.Canceled)

	sent := make(chan error)
	go func() { sent <- send(t.Context(), http.MethodPost, "/api/v1/pods/b/binding") }()
	w.renew(t)
	require.NoError(t, <-sent)
	assert.Equal(t, "POST /api/v1/pods/b/binding", <-arrived)
	assert.Empty(t, arrived)
}

// A write that waits for a connection until the term has ended is not sent.
func TestTransport_AWriteThatWaitsForAConnection(t *testing.T) {
	arrived := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { arrived <- r.URL.Path }))
	defer server.Close()
	w := newWorld()
	w.renew(t)
	dialing, dial := make(chan struct{}), make(chan struct{})
	slow := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		close(dialing)
		<-dial
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	sent := make(chan error)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/pods/a/binding", http.NoBody)
		if err == nil {
			_, err = w.term.Transport(slow).RoundTrip(request) //nolint:bodyclose // there is none
		}
		sent <- err
	}()
	<-dialing
	w.term.end()
	close(dial)
	require.ErrorIs(t, <-sent, errTermEnded)
	assert.Empty(t, arrived)
}
