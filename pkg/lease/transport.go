// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"net/http"
	"strings"
)

// Transport returns a transport that holds each write until the term is valid: it is
// the last step before a request is sent, behind every queue and rate limit. Where
// another replica leads, the process ends and the write is never made.
func (t *Term) Transport(next http.RoundTripper) http.RoundTripper {
	return &fencedTransport{next: next, term: t}
}

type fencedTransport struct {
	next http.RoundTripper
	term *Term
}

// RoundTrip sends a request when it may be sent.
func (f *fencedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if changesObjects(request) {
		if err := f.term.Wait(request.Context()); err != nil {
			return nil, err
		}
	}
	return f.next.RoundTrip(request)
}

// WrappedRoundTripper is the transport behind it, for those who look through.
func (f *fencedTransport) WrappedRoundTripper() http.RoundTripper { return f.next }

// changesObjects reports whether a request changes what is stored. Questions about
// permissions are POSTs too.
func changesObjects(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return !strings.HasPrefix(request.URL.Path, "/apis/authorization.k8s.io/") && !strings.HasPrefix(request.URL.Path, "/apis/authentication.k8s.io/")
}
