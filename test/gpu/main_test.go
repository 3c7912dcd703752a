// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gpu runs Muster on a cluster of unlike GPUs, on a real API server,
// and looks at which of them pods and gangs get.
package gpu

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/test/process"
)

const (
	// patience is how long a test waits for what must come.
	patience = 60 * time.Second
	poll     = 20 * time.Millisecond
)

var background = context.Background()

func TestMain(m *testing.M) { process.Main(m.Run) }

// cluster is a control plane with nodes and a scheduler.
type cluster struct {
	client    kubernetes.Interface
	scheduler *process.Process
}

func newCluster(t *testing.T, nodes []*v1.Node, config string) *cluster {
	t.Helper()
	box, err := sandbox.Start(background, sandbox.Options{Dir: filepath.Join(t.TempDir(), "sandbox"), DisableControllers: true})
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	require.NoError(t, box.CreateNodes(background, nodes))
	return &cluster{client: box.Client(), scheduler: startScheduler(t, box, config)}
}

// startScheduler runs the scheduler until the test ends.
func startScheduler(t testing.TB, box *sandbox.Sandbox, config string) *process.Process {
	t.Helper()
	flags := []string{"--kubeconfig=" + box.KubeconfigPath(), "--leader-elect=false", "--secure-port=0", "-v=2"}
	if config != "" {
		path := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(config, "KUBECONFIG", box.KubeconfigPath())), 0o600))
		flags = append(flags, "--config="+path)
	}
	return process.StartScheduler(t, flags...)
}

// namespace makes a namespace for one row.
func (c *cluster) namespace(t testing.TB) string {
	t.Helper()
	ns, err := c.client.CoreV1().Namespaces().Create(background, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "row-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return ns.Name
}

func (c *cluster) create(t testing.TB, namespace string, pods []*v1.Pod) {
	t.Helper()
	for _, p := range pods {
		_, err := c.client.CoreV1().Pods(namespace).Create(background, p, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// clear deletes the pods of a row and waits until they are gone.
func (c *cluster) clear(t *testing.T, namespace string) {
	t.Helper()
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	require.NoError(t, c.client.CoreV1().Pods(namespace).DeleteCollection(background, now, metav1.ListOptions{}))
	require.Eventually(t, func() bool { return len(c.pods(t, namespace)) == 0 }, patience, poll, "pods are left")
}

func (c *cluster) pods(t testing.TB, namespace string) []v1.Pod {
	t.Helper()
	list, err := c.client.CoreV1().Pods(namespace).List(background, metav1.ListOptions{})
	require.NoError(t, err)
	return list.Items
}
