// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the metrics of a running scheduler, and that the
// dashboard and the alerts of manifests/monitoring ask for what there is.
package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/test/process"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { process.Main(m.Run) }

func startSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.Start(context.WithoutCancel(t.Context()), sandbox.Options{DisableControllers: true})
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	return box
}

// families are the metrics of one scrape, by name.
type families map[string]*dto.MetricFamily

// replica is a running scheduler.
type replica struct {
	t    *testing.T
	port int
	// terminate ends the replica as the kubelet does.
	terminate func()
}

// startReplica runs the scheduler as one of several that elect a leader.
func startReplica(t *testing.T, box *sandbox.Sandbox) *replica {
	t.Helper()
	r := &replica{t: t, port: process.FreePorts(t, 1)[0]}
	child := process.StartScheduler(t, "--kubeconfig="+box.KubeconfigPath(), "--leader-elect", "--leader-elect-resource-namespace=default",
		"--authorization-always-allow-paths=/metrics,/readyz", "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", r.port), "--v=2")
	r.terminate = sync.OnceFunc(func() { assert.NoError(t, child.Terminate()) })
	t.Cleanup(r.terminate)
	require.Eventually(t, func() bool {
		status, _ := process.GetSecure(t, r.port, "/readyz", "")
		return status == http.StatusOK
	}, patience, 50*time.Millisecond, "the replica is ready")
	return r
}

// scrape reads the metrics as Prometheus does.
func (r *replica) scrape() families {
	r.t.Helper()
	status, body := process.GetSecure(r.t, r.port, "/metrics", "")
	require.Equal(r.t, http.StatusOK, status)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	require.NoError(r.t, err)
	return all
}

// value is the value of one series, or the count of a histogram; labels are
// name and value in turn. It is -1 if there is no such series.
func (f families) value(name string, labels ...string) float64 {
	for _, m := range f[name].GetMetric() {
		if !matches(m, labels) {
			continue
		}
		switch {
		case m.Gauge != nil:
			return m.GetGauge().GetValue()
		case m.Counter != nil:
			return m.GetCounter().GetValue()
		}
		return float64(m.GetHistogram().GetSampleCount())
	}
	return -1
}

func matches(m *dto.Metric, labels []string) bool {
	found := map[string]string{}
	for _, l := range m.GetLabel() {
		found[l.GetName()] = l.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if found[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}
