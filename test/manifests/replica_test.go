// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/process"
)

// replica is a scheduler process that is nothing but the service account which
// the manifests create.
type replica struct {
	*process.Process
	t *testing.T
	// port is where it serves probes and metrics.
	port int
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
	port := process.FreePorts(c.t, 1)[0]
	r := &replica{t: c.t, port: port, Process: process.StartCommand(c.t, exec.Command(binary,
		"--config="+writeConfiguration(c.t, text), "--v=2",
		"--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port)))}
	c.eventually(func() bool { return r.ask("/readyz", "") == http.StatusOK }, "the replica is ready")
	return r
}

// ask calls the replica's own port, with a token or without, and returns the
// status of the answer, 0 for none.
func (r *replica) ask(path, token string) int {
	status, _ := process.GetSecure(r.t, r.port, path, token)
	return status
}
