// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the metrics of a running scheduler, and that the
// dashboard and the alerts of manifests/monitoring ask for what there is.
package monitoring

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/cli"

	"github.com/muster-scheduler/muster/pkg/sandbox"
	"github.com/muster-scheduler/muster/pkg/scheduler"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// asScheduler tells a copy of the test binary to be the scheduler.
const asScheduler = "MUSTER_TEST_SCHEDULER"

func TestMain(m *testing.M) {
	if os.Getenv(asScheduler) != "" {
		os.Exit(cli.Run(scheduler.NewCommand()))
	}
	os.Exit(m.Run())
}

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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &replica{t: t, port: listener.Addr().(*net.TCPAddr).Port}
	require.NoError(t, listener.Close())

	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	require.NoError(t, err)
	child := exec.Command(os.Args[0], "--kubeconfig="+box.Kubeconfig(), "--leader-elect", "--leader-elect-resource-namespace=default",
		"--authorization-always-allow-paths=/metrics,/readyz", "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", r.port), "--v=2")
	child.Env = append(os.Environ(), asScheduler+"=1")
	child.Stdout, child.Stderr = out, out
	require.NoError(t, child.Start())
	r.terminate = sync.OnceFunc(func() {
		assert.NoError(t, child.Process.Signal(syscall.SIGTERM))
		assert.NoError(t, child.Wait())
	})
	t.Cleanup(func() {
		r.terminate()
		assert.NoError(t, out.Close())
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("end of the scheduler's log:\n%s", text[max(0, len(text)-20_000):])
		}
	})
	require.Eventually(t, func() bool {
		answer, err := r.get("/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = answer.Body.Close() }()
		return answer.StatusCode == http.StatusOK
	}, patience, 50*time.Millisecond, "the replica is ready")
	return r
}

func (r *replica) get(path string) (*http.Response, error) {
	client, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	require.NoError(r.t, err)
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", r.port, path), nil)
	require.NoError(r.t, err)
	return client.Do(request)
}

// scrape reads the metrics as Prometheus does.
func (r *replica) scrape() families {
	r.t.Helper()
	answer, err := r.get("/metrics")
	require.NoError(r.t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(r.t, http.StatusOK, answer.StatusCode)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(answer.Body)
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
