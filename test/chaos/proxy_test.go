// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// action is what goes wrong with a request.
type action struct {
	// status is answered in place of the API server.
	status int
	// dropBefore closes the connection before the API server hears of the request,
	// dropAfter when it has done what it was asked.
	dropBefore, dropAfter bool
	// delay holds the request back; for ever if it is negative.
	delay time.Duration
}

// rule lets a share of the requests of a kind go wrong.
type rule struct {
	kind    string
	matches func(*http.Request) bool
	share   float64
	does    func(*rand.Rand) action
}

// proxy stands between one replica and the API server.
type proxy struct {
	server *httptest.Server
	target http.Handler
	onBind func(writer, pod string)

	mu     sync.Mutex
	random *rand.Rand
	rules  map[*rule]bool
	// identity is the part of the replica's identity that is in the leases it
	// writes.
	identity string
	open     map[*http.Request]context.CancelFunc
	// frozen is closed when what watches show may go on; nil while they do.
	frozen chan struct{}
	// faulted counts the requests that went wrong, by kind.
	faulted  map[string]int
	requests int
}

// newProxy starts a proxy and returns the kubeconfig that leads through it.
func newProxy(t *testing.T, config *rest.Config, seed uint64, onBind func(writer, pod string)) (p *proxy, kubeconfig string) {
	t.Helper()
	target, err := url.Parse(config.Host)
	require.NoError(t, err)
	transport, err := rest.TransportFor(config)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport, forward.FlushInterval = transport, -1
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p = &proxy{
		target: forward, onBind: onBind, random: rand.New(rand.NewPCG(seed, 1)), rules: map[*rule]bool{},
		open: map[*http.Request]context.CancelFunc{}, faulted: map[string]int{},
	}
	p.server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.freezeWatches(false)
		p.cut("", func(*http.Request) bool { return true })
		p.server.Close()
	})
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"faulty": {Server: p.server.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"faulty": {Cluster: "faulty"}},
		CurrentContext: "faulty",
	}, kubeconfig))
	return p, kubeconfig
}

// binding is the path of a binding, and the last part of an identity is 36 long.
var (
	binding  = regexp.MustCompile(`^/api/v1/namespaces/([^/]+)/pods/([^/]+)/binding$`)
	identity = regexp.MustCompile(`_([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`)
)

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p.readLease(r)
	if found := binding.FindStringSubmatch(r.URL.Path); found != nil && r.Method == http.MethodPost {
		p.onBind(p.writer(), found[1]+"/"+found[2])
	}
	happens := p.enter(r, cancel)
	defer p.leave(r)
	if isWatch(r) {
		w = &heldWriter{ResponseWriter: w, proxy: p, done: ctx.Done()}
	}
	if happens.delay != 0 {
		held := make(<-chan time.Time)
		if happens.delay > 0 {
			held = time.After(happens.delay)
		}
		select {
		case <-held:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case happens.dropBefore:
		panic(http.ErrAbortHandler)
	case happens.dropAfter:
		p.target.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(ctx)))
		panic(http.ErrAbortHandler)
	case happens.status != 0:
		w.Header().Set("Retry-After", "1")
		http.Error(w, http.StatusText(happens.status), happens.status)
	default:
		p.target.ServeHTTP(w, r.WithContext(ctx))
	}
}

// readLease notes who the replica is, of a lease that it writes.
func (p *proxy) readLease(r *http.Request) {
	if r.Method == http.MethodGet || !strings.HasPrefix(r.URL.Path, "/apis/coordination.k8s.io/") {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if found := identity.FindSubmatch(body); found != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.identity = string(found[1])
	}
}

// writer is who the replica is, "" if it never wrote a lease.
func (p *proxy) writer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.identity
}

// forgetWriter is called when another process takes the replica's place.
func (p *proxy) forgetWriter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.identity = ""
}

// enter records an open request and draws what happens to it.
func (p *proxy) enter(r *http.Request, cancel context.CancelFunc) action {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[r] = cancel
	p.requests++
	for rule := range p.rules {
		if rule.matches(r) && p.random.Float64() < rule.share {
			p.faulted[rule.kind]++
			return rule.does(p.random)
		}
	}
	return action{}
}

func (p *proxy) leave(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, r)
}

// add puts a rule up, and remove takes it down and ends what it holds.
func (p *proxy) add(r *rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[r] = true
}

func (p *proxy) remove(r *rule) {
	p.mu.Lock()
	delete(p.rules, r)
	p.mu.Unlock()
	p.cut("", func(open *http.Request) bool { return !isWatch(open) && r.matches(open) })
}

// cut ends open requests, counted as a kind of fault if it has a name.
func (p *proxy) cut(kind string, which func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r, end := range p.open {
		if which(r) {
			end()
			if kind != "" {
				p.faulted[kind]++
			}
		}
	}
}

// freezeWatches holds back what watches show, or lets it go on.
func (p *proxy) freezeWatches(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case yes && p.frozen == nil:
		p.frozen = make(chan struct{})
		for r := range p.open {
			if isWatch(r) {
				p.faulted["freeze-watches"]++
			}
		}
	case !yes && p.frozen != nil:
		close(p.frozen)
		p.frozen = nil
	}
}

// heldWriter writes what a watch shows, unless watches are frozen.
type heldWriter struct {
	http.ResponseWriter
	proxy *proxy
	done  <-chan struct{}
}

func (w *heldWriter) Write(data []byte) (int, error) {
	w.proxy.mu.Lock()
	frozen := w.proxy.frozen
	w.proxy.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-w.done:
		}
	}
	return w.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController, which flushes.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func isWatch(r *http.Request) bool { return r.URL.Query().Get("watch") != "" }

func isWrite(r *http.Request) bool { return r.Method != http.MethodGet }

func isBind(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/binding")
}

func isRequest(r *http.Request) bool { return !isWatch(r) }
