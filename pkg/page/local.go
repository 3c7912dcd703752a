// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// ServeLocal serves a page on a loopback port, 0 for any that is free, until
// ctx is done, and returns its address.
func ServeLocal(ctx context.Context, port int, page http.Handler) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", fmt.Errorf("serving the page: %w", err)
	}
	server := &http.Server{Handler: loopbackOnly(page), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // it ends with ctx
	return "http://" + listener.Addr().String() + "/", nil
}

// loopbackOnly refuses requests that name another host: a website could point
// its own name at this machine to read the page through its visitor's browser.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this page is for this machine only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
