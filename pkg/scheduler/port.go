// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/client-go/kubernetes/scheme"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
)

// shutdownTimeout is how long requests may go on when the scheduler ends, as
// kube-scheduler has it.
const shutdownTimeout = 5 * time.Second

// route is a handler and the pattern of http.ServeMux that leads to it.
type route struct {
	pattern string
	handler http.Handler
}

// serveBeside puts routes on the secure port beside what kube-scheduler serves
// there, behind the same authentication and authorization. It is called before
// app.Run.
//
// app.Run makes the handler of the port itself and takes nothing from outside.
// So it gets a listener in memory in place of the port, and one request goes
// there to fetch the handler: the context of a request names its server
// (http.ServerContextKey). The port then serves both; fail is called if that
// does not come about.
func serveBeside(ctx context.Context, cc *appconfig.CompletedConfig, routes []route, fail func(error)) error {
	port := cc.SecureServing
	inner, memory, err := newMemoryPort(port)
	if err != nil {
		return err
	}
	authn := cc.Authentication.Authenticator
	found := make(chan http.Handler, 1)
	var first sync.Once
	cc.SecureServing = inner
	cc.Authentication.Authenticator = authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.Addr == memory.Addr().String() {
			first.Do(func() { found <- s.Handler })
			return nil, false, nil
		}
		return authn.AuthenticateRequest(r)
	})
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.pattern, withPortFilters(cc, authn, r.handler))
	}
	go func() {
		theirs, err := memory.fetchHandler(ctx, found)
		if err == nil {
			mux.Handle("/", theirs)
			_, _, err = port.Serve(mux, shutdownTimeout, ctx.Done())
		}
		if err != nil && ctx.Err() == nil {
			fail(fmt.Errorf("serving the secure port: %w", err))
		}
	}()
	return nil
}

// withPortFilters returns a handler behind the filters of kube-scheduler's
// port.
func withPortFilters(cc *appconfig.CompletedConfig, authn authenticator.Request, handler http.Handler) http.Handler {
	info := &apirequest.RequestInfoFactory{}
	handler = genericapifilters.WithAuthorization(handler, cc.Authorization.Authorizer, scheme.Codecs)
	handler = genericapifilters.WithAuthentication(handler, authn, genericapifilters.Unauthorized(scheme.Codecs), nil, nil)
	handler = genericapifilters.WithRequestInfo(handler, info)
	handler = genericapifilters.WithCacheControl(handler)
	handler = genericfilters.WithHTTPLogging(handler)
	return genericfilters.WithPanicRecovery(handler, info)
}

// newMemoryPort returns a port in memory with the certificate of the real one.
func newMemoryPort(port *server.SecureServingInfo) (*server.SecureServingInfo, *memoryListener, error) {
	cert, key := port.Cert.CurrentCertKeyContent()
	content, err := dynamiccertificates.NewStaticCertKeyContent("in-memory", cert, key)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate of the secure port: %w", err)
	}
	memory := &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return &server.SecureServingInfo{Listener: memory, Cert: content, DisableHTTP2: true}, memory, nil
}

// memoryListener is a listener that only this process can reach.
type memoryListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a connection.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close lets Accept return.
func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the address of the server in the log.
func (l *memoryListener) Addr() net.Addr { return &net.UnixAddr{Net: "memory", Name: "in-memory"} }

// dialContext connects to the listener.
func (l *memoryListener) dialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fetchHandler makes a request, as soon as the server listens, and returns the
// handler that it found. What the answer says does not matter.
func (l *memoryListener) fetchHandler(ctx context.Context, found <-chan http.Handler) (http.Handler, error) {
	transport := &http.Transport{
		DialContext: l.dialContext, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // it goes nowhere
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://in-memory/", nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	_ = answer.Body.Close() // nothing was read
	select {
	case handler := <-found:
		return handler, nil
	default:
		return nil, errors.New("kube-scheduler did not authenticate a request")
	}
}
