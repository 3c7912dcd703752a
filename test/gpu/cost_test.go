// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// BenchmarkSingles reports how many single pods of one GPU a second get a node
// of 5,000, and what that costs the scheduler, a process of its own, in
// processor time: with every node scored, with a third of them, and with
// kube-scheduler's default, a tenth. Beside that, how many nodes and racks of 16
// they break up: 250 and 16 hold them.
func BenchmarkSingles(b *testing.B) {
	nodes, err := sandbox.Fleet{Nodes: 5000, GPUs: 8, NodesPerRack: 16, RacksPerBlock: 16}.BuildNodes()
	require.NoError(b, err)
	for _, percentage := range []int{100, 33, 0} {
		config := strings.Replace(everyNode, "Score: 100", fmt.Sprint("Score: ", percentage), 1)
		b.Run(fmt.Sprintf("percentage=%d", percentage), func(b *testing.B) {
			for b.Loop() {
				placeSingles(b, nodes, config)
			}
		})
	}
}

// placeSingles lets a scheduler place pods that are there before it. The first
// tenth of them is not counted.
func placeSingles(b *testing.B, nodes []*v1.Node, config string) {
	const pods, counted = 2000, 1800
	box, err := sandbox.Start(background, sandbox.Options{
		Dir: filepath.Join(b.TempDir(), "sandbox"), DisableControllers: true, DisableKubelets: true,
	})
	require.NoError(b, err)
	defer box.Stop()
	require.NoError(b, box.CreateNodes(background, nodes))
	c := &cluster{client: box.Client()}
	namespace := c.namespace(b)
	for i := range pods {
		p := ask{}.build()[0]
		p.Name = fmt.Sprintf("p-%d", i)
		c.create(b, namespace, []*v1.Pod{p})
	}
	c.scheduler = startScheduler(b, box, config)
	start, before := c.awaitBound(b, namespace, pods-counted)
	end, after := c.awaitBound(b, namespace, pods)
	b.ReportMetric(counted/end.Sub(start).Seconds(), "pods/s")
	b.ReportMetric((after-before).Seconds()*1000/counted, "cpu-ms/pod")
	rack := map[string]string{}
	for _, n := range nodes {
		rack[n.Name] = n.Labels[sandbox.RackLabel]
	}
	used, broken := map[string]bool{}, map[string]bool{}
	for _, p := range c.pods(b, namespace) {
		used[p.Spec.NodeName], broken[rack[p.Spec.NodeName]] = true, true
	}
	b.ReportMetric(float64(len(used)), "nodes")
	b.ReportMetric(float64(len(broken)), "racks")
}

// awaitBound waits until so many pods have a node, and returns when that was and
// how much processor time the scheduler had used by then.
func (c *cluster) awaitBound(t testing.TB, namespace string, count int) (time.Time, time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(poll) {
		list, err := c.client.CoreV1().Pods(namespace).List(background, metav1.ListOptions{FieldSelector: "spec.nodeName!=", ResourceVersion: "0"})
		require.NoError(t, err)
		if len(list.Items) >= count {
			return time.Now(), c.scheduler.CPUTime()
		}
	}
	require.Fail(t, "pods without a node are left", "%d were awaited", count)
	return time.Time{}, 0
}
