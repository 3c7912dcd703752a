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

// forbiddenLog records the requests that were answered 403. It sits outside the
// API server's filters, because authorization answers before any handler runs;
// the authenticator adds who asked.
type forbiddenLog struct {
	mu    sync.Mutex
	lines []string
}

type callerKey struct{}

// caller is filled in by the authenticator while a request passes through it.
type caller struct{ name string }

// installFilters puts the log around the handler chain and the authenticator of
// cfg.
func (r *forbiddenLog) installFilters(cfg *genericapiserver.Config) {
	build := cfg.BuildHandlerChainFunc
	cfg.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return r.wrapHandler(build(api, c))
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

// wrapHandler records the requests that next answers with 403.
func (r *forbiddenLog) wrapHandler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		who := &caller{name: "unauthenticated"}
		status := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(status),
			req.WithContext(context.WithValue(req.Context(), callerKey{}, who)))
		if status.code == http.StatusForbidden {
			r.addRequest(who.name + " " + req.Method + " " + req.URL.Path)
		}
	})
}

// addRequest records one request.
func (r *forbiddenLog) addRequest(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// listRequests returns the requests so far.
func (r *forbiddenLog) listRequests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// statusWriter keeps the status code of an answer.
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
