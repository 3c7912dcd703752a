// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// replica is a scheduler process that is nothing but the service account which
// the manifests create.
type replica struct {
	t *testing.T
	// port is where it serves probes and metrics.
	port    int
	process *os.Process
	ended   chan error
	stopped bool
}

// buildScheduler builds the command as users do, and returns its path.
func buildScheduler(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/muster-scheduler").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}

// startReplica runs the real command with the configuration of the manifests.
// Only what a pod's environment would give is added: where the API server is,
// and a token. The grace period is shorter, so that the test need not wait a
// minute.
func (c *cluster) startReplica(binary string) *replica {
	c.t.Helper()
	cfg, err := c.box.ServiceAccountConfig(c.t.Context(), namespace, name)
	require.NoError(c.t, err)
	c.ledger.redirect(cfg)
	dir := c.t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	require.NoError(c.t, c.box.WriteKubeconfig(kubeconfig, cfg))

	text := configuration(c.t, c.objects).Data["config.yaml"]
	for old, replacement := range map[string]string{
		"clientConnection:\n":         "clientConnection:\n  kubeconfig: " + kubeconfig + "\n",
		"partialGangGracePeriod: 60s": "partialGangGracePeriod: 2s",
	} {
		require.Equal(c.t, 1, strings.Count(text, old), old)
		text = strings.Replace(text, old, replacement, 1)
	}
	r := &replica{t: c.t, port: freePort(c.t), ended: make(chan error, 1)}
	r.run(filepath.Join(dir, "log"), binary,
		"--config="+writeConfiguration(c.t, text), "--v=2",
		"--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", r.port))
	c.eventually(func() bool { return r.ask("/readyz", "") == http.StatusOK }, "the replica is ready")
	return r
}

// run starts the process, which ends with the test; its log is shown if the
// test fails.
func (r *replica) run(log, command string, args ...string) {
	r.t.Helper()
	output, err := os.Create(log)
	require.NoError(r.t, err)
	child := exec.Command(command, args...)
	child.Stdout, child.Stderr = output, output
	require.NoError(r.t, child.Start())
	r.process = child.Process
	go func() { r.ended <- child.Wait() }()
	r.t.Cleanup(func() {
		if !r.stopped {
			assert.NoError(r.t, r.process.Kill())
			assert.EqualError(r.t, <-r.ended, "signal: killed", "the replica ended by itself")
		}
		assert.NoError(r.t, output.Close())
		if r.t.Failed() {
			r.t.Logf("last words of the replica at port %d:\n%s", r.port, tail(r.t, log))
		}
	})
}

// terminate stops the replica as the kubelet does, and returns how it ended.
func (r *replica) terminate() error {
	r.t.Helper()
	require.NoError(r.t, r.process.Signal(syscall.SIGTERM))
	r.stopped = true
	return <-r.ended
}

// ask calls the replica's own port, with a token or without, and returns the
// status of the answer, 0 for none.
func (r *replica) ask(path, token string) int {
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", r.port, path), nil)
	require.NoError(r.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	require.NoError(r.t, err)
	answer, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode
}

func tail(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-100):], "\n")
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	return listener.Addr().(*net.TCPAddr).Port
}
