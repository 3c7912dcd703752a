// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// refusals remembers the requests that were answered 403. It sits outside the
// API server's filters, because authorization answers before any handler runs;
// who asked is learnt from the authenticator on the way.
type refusals struct {
	mu   sync.Mutex
	seen []string
}

type callerKey struct{}

// caller is filled in by the authenticator while a request passes through it.
type caller struct{ name string }

// install puts r around the handler chain and the authenticator of cfg.
func (r *refusals) install(cfg *genericapiserver.Config) {
	build := cfg.BuildHandlerChainFunc
	cfg.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return r.wrap(build(api, c))
	}
	inner := cfg.Authentication.Authenticator
	cfg.Authentication.Authenticator = authenticator.RequestFunc(
		func(req *http.Request) (*authenticator.Response, bool, error) {
			resp, ok, err := inner.AuthenticateRequest(req)
			if who, found := req.Context().Value(callerKey{}).(*caller); found && ok {
				who.name = resp.User.GetName()
			}
			return resp, ok, err
		})
}

func (r *refusals) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		who := &caller{name: "unauthenticated"}
		status := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(status),
			req.WithContext(context.WithValue(req.Context(), callerKey{}, who)))
		if status.code == http.StatusForbidden {
			r.add(who.name + " " + req.Method + " " + req.URL.Path)
		}
	})
}

func (r *refusals) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, line)
}

func (r *refusals) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// statusWriter notes the status code of an answer.
type statusWriter struct {
	http.ResponseWriter
	code int
}

var _ responsewriter.UserProvidedDecorator = (*statusWriter)(nil)

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}
