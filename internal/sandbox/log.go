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

	"github.com/muster-scheduler/muster/internal/sandbox/processlog"
)

// redirectKlog makes klog, which logs for the whole process, write to
// processlog. It may be done only once while goroutines log.
var redirectKlog = sync.OnceFunc(func() {
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(processlog.Writer))))
})

// redirectProcessLog sends what the components log, and everything else that
// the process logs through klog, to w until release is called or another
// sandbox redirects it.
func redirectProcessLog(w io.Writer) (release func()) {
	redirectKlog()
	return processlog.RedirectLog(w)
}

// etcdLogger makes the etcd server write its warnings to w; its information
// level describes a healthy single member at length.
func etcdLogger(w io.Writer) *zap.Logger {
	format := zap.NewProductionEncoderConfig()
	format.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(format), zapcore.AddSync(w), zapcore.WarnLevel))
}
