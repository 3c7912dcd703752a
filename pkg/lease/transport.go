// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
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
	if f.term == nil || !changesObjects(request) {
		return f.next.RoundTrip(request)
	}
	if err := f.term.Wait(request.Context()); err != nil {
		return nil, err
	}
	return f.sendWithinTerm(request)
}

// errTermEnded is why a write is given up that was not sent.
var errTermEnded = errors.New("this replica may not lead any more")

// termCheckInterval is how often a write that waits for a connection asks whether the
// term has ended.
const termCheckInterval = 100 * time.Millisecond

// sendWithinTerm sends a write, unless the term ends while it waits for a connection:
// that may take longer than the lease. What is written is on its way.
func (f *fencedTransport) sendWithinTerm(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	written := make(chan struct{})
	giveUp := func() {
		if !f.term.IsValid() {
			cancel(errTermEnded)
		}
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { giveUp() },
		WroteHeaders: sync.OnceFunc(func() { close(written) }),
	})
	go func() {
		tick := time.NewTicker(termCheckInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				giveUp()
			case <-written:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	response, err := f.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	response.Body = &endedBody{response.Body, func() { cancel(nil) }}
	return response, nil
}

// endedBody ends the context of a request with its answer.
type endedBody struct {
	io.ReadCloser
	end func()
}

// Close closes the body.
func (b *endedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
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
