// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs Muster on a real API server, with the scheduler as a process
// of its own, as users run it.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/kubernetes/pkg/controller/job"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/test/process"
)

// background is the context of what outlives a test.
var background = context.Background()

// soak makes the tests that repeat something, to meet a race or a crash at an
// unlucky moment, repeat it as often as a release deserves.
var soak = flag.Bool("soak", false, "repeat what the tests of races and crashes do many times over, which takes some minutes")

// rounds is how often a test repeats something: so often for each commit, or so
// often with -soak.
func rounds(commit, soaking int) int {
	if *soak {
		return soaking
	}
	return commit
}

func TestMain(m *testing.M) {
	process.Main(func() int {
		runInParallel()
		hurryJobs()
		defer stopStock()
		return m.Run()
	})
}

// runInParallel runs as many tests at the same time as there are control planes,
// unless -parallel says otherwise.
func runInParallel() {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return
	}
	if err := flag.Set("test.parallel", fmt.Sprint(controlPlanes)); err != nil {
		panic(err) // package testing has the flag
	}
}

// hurryJobs makes the Job controller of the sandboxes, which are part of this
// process, replace pods that failed at once: by default it waits 10 s, then 20 s
// and so on.
func hurryJobs() {
	job.SyncJobBatchPeriod = 50 * time.Millisecond
	job.DefaultJobPodFailureBackOff = 50 * time.Millisecond
}

// startScheduler runs the scheduler against the sandbox until the test ends.
func startScheduler(t *testing.T, box *sandbox.Sandbox, flags ...string) *process.Process {
	t.Helper()
	return process.Scheduler(t, append([]string{"--kubeconfig=" + box.Kubeconfig(), "--leader-elect=false", "--secure-port=0", "-v=2"}, flags...)...)
}

// startQuickScheduler runs a scheduler that tells soon what a gang lacks, with
// more arguments of the plugin, such as "partialGangGracePeriod: 1s".
func startQuickScheduler(t *testing.T, box *sandbox.Sandbox, args ...string) *process.Process {
	t.Helper()
	return startScheduler(t, box, "--config="+writeConfig(t, box, append(args, "incompleteDelay: 200ms")))
}

// writeConfig writes a scheduler configuration: the default one with arguments
// of the plugin.
func writeConfig(t *testing.T, box *sandbox.Sandbox, args []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
clientConnection: {kubeconfig: %q, qps: 1000, burst: 600}
leaderElection: {leaderElect: false}
profiles:
- schedulerName: muster
  plugins: {multiPoint: {enabled: [{name: Muster, weight: 20}]}}
  pluginConfig: [{name: Muster, args: {%s}}]
`, box.Kubeconfig(), strings.Join(args, ", ")), 0o600))
	return path
}

// startSandbox gives the test a control plane of its own.
func startSandbox(t *testing.T, opts sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	opts.Dir, opts.APIServer = filepath.Join(t.TempDir(), "sandbox"), os.Getenv(apiServer)
	box, err := startControlPlane(opts)
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	return box
}
