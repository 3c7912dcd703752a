// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// faults stands between a scheduler and the API server, and lets requests go
// wrong. The test itself talks to the API server directly.
type faults struct {
	server *httptest.Server
	proxy  http.Handler

	mu sync.Mutex
	// rule says what goes wrong with a request; nil for nothing.
	rule func(*http.Request) fault
	// lives are the requests that are open, and what ends them.
	lives map[*http.Request]context.CancelFunc
	// struck counts the requests that went wrong.
	struck atomic.Int64
}

// fault is what becomes of one request.
type fault struct {
	// status is answered in place of the API server, 0 for its own answer.
	status int
	// lost says that the API server gets the request and nobody its answer.
	lost bool
	// refused says that the connection is closed before the API server hears of
	// the request.
	refused bool
	// until holds the request back until it is closed, nil for not at all.
	until <-chan struct{}
}

// faulty puts faults before the API server of a sandbox, and returns the flag
// that leads a scheduler there.
func faulty(t *testing.T, box *sandbox.Sandbox) (f *faults, flag string) {
	t.Helper()
	target, err := url.Parse(box.Config().Host)
	require.NoError(t, err)
	transport, err := rest.TransportFor(box.Config())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.FlushInterval = transport, -1
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	f = &faults{proxy: proxy, lives: map[*http.Request]context.CancelFunc{}}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.cut(all)
		f.server.Close()
	})
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"faulty": {Server: f.server.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"faulty": {Cluster: "faulty"}},
		CurrentContext: "faulty",
	}, path))
	return f, "--kubeconfig=" + path
}

func (f *faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	f.mu.Lock()
	f.lives[r] = cancel
	var happens fault
	if f.rule != nil {
		happens = f.rule(r)
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.lives, r)
	}()
	if happens != (fault{}) {
		f.struck.Add(1)
	}
	if happens.until != nil {
		select {
		case <-happens.until:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case happens.refused:
		panic(http.ErrAbortHandler)
	case happens.lost:
		f.proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(ctx)))
		panic(http.ErrAbortHandler)
	case happens.status != 0:
		w.Header().Set("Retry-After", "1")
		http.Error(w, http.StatusText(happens.status), happens.status)
	default:
		f.proxy.ServeHTTP(w, r.WithContext(ctx))
	}
}

// when lets requests go wrong from now on; nil ends it.
func (f *faults) when(rule func(*http.Request) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule = rule
}

// cut ends the open requests of a kind, such as watches.
func (f *faults) cut(which func(*http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r, end := range f.lives {
		if which(r) {
			end()
		}
	}
}

func all(*http.Request) bool { return true }

// away refuses every connection, and ends those that are open, as an API server
// does that restarts.
func (f *faults) away() {
	f.when(func(*http.Request) fault { return fault{refused: true} })
	f.cut(all)
}

func isBind(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/binding")
}

func isWatch(r *http.Request) bool { return r.URL.Query().Get("watch") != "" }

// reads reports whether a request lists or watches a resource, such as "/pods".
func reads(resource string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, resource)
	}
}

// everyNth lets each nth request of a kind go wrong, the first one included.
func everyNth(n int, which func(*http.Request) bool, what fault) func(*http.Request) fault {
	seen := 0
	return func(r *http.Request) fault {
		if !which(r) {
			return fault{}
		}
		seen++
		if seen%n == 1 {
			return what
		}
		return fault{}
	}
}
