// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"io"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// logSink is where the process's klog goes. klog's logger may be set only
// once while goroutines log, so it is set to this sink, and each sandbox
// changes what lies behind it.
type logSink struct {
	mu      sync.Mutex
	out     io.Writer
	changes int
}

var (
	processLog     = &logSink{out: io.Discard}
	processLogOnce sync.Once
)

// redirectProcessLog sends everything that is logged through klog to w until
// release is called, or another sandbox redirects it.
func redirectProcessLog(w io.Writer) (release func()) {
	processLogOnce.Do(func() {
		klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(processLog))))
	})
	mine := processLog.set(w)
	return func() { processLog.unset(mine) }
}

func (s *logSink) set(w io.Writer) (change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = w
	s.changes++
	return s.changes
}

func (s *logSink) unset(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes == change {
		s.out = io.Discard
	}
}

func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// etcdLogger makes etcd write its warnings to w; its information level
// describes a healthy single member at length.
func etcdLogger(w io.Writer) *zap.Logger {
	format := zap.NewProductionEncoderConfig()
	format.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(format), zapcore.AddSync(w), zapcore.WarnLevel))
}
