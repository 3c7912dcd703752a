// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package processlog is where the libraries of a sandbox log to: one writer for
// the process, whose target each sandbox sets.
//
// It is a package of its own for the sake of its init function. The API
// server's etcd client makes its logger, to stderr, when its package is
// initialized. Packages without pending imports are initialized in the order of
// their import paths (Go specification, "Program initialization"); this one
// imports only what that one imports, and its path comes first, so it can say
// beforehand where such loggers write. Keep its imports few.
package processlog

import (
	"io"
	"net/url"
	"sync"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
)

const scheme = "muster-sandbox"

// target is where the process's log goes at present.
var target = struct {
	sync.Mutex
	out     io.Writer
	changes int
}{out: io.Discard}

// Writer passes on to the present target. It is safe for concurrent use.
var Writer io.Writer = sink{}

func init() {
	if zap.RegisterSink(scheme, func(*url.URL) (zap.Sink, error) { return sink{}, nil }) == nil {
		logutil.DefaultZapLoggerConfig.OutputPaths = []string{scheme + ":"}
		logutil.DefaultZapLoggerConfig.ErrorOutputPaths = []string{scheme + ":"}
	}
}

// RedirectLog sends what is written to Writer to w until release is called, or
// somebody else redirects it. Without a target it is dropped.
func RedirectLog(w io.Writer) (release func()) {
	target.Lock()
	defer target.Unlock()
	target.out = w
	target.changes++
	mine := target.changes
	return func() {
		target.Lock()
		defer target.Unlock()
		if target.changes == mine {
			target.out = io.Discard
		}
	}
}

// sink is Writer, and a sink for zap.
type sink struct{}

func (sink) Write(p []byte) (int, error) {
	target.Lock()
	defer target.Unlock()
	return target.out.Write(p)
}

func (sink) Sync() error  { return nil }
func (sink) Close() error { return nil }
