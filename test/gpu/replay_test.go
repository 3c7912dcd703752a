// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/internal/sim/packing"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gpu"
)

// replayed is the number of pods; seed is their order.
const (
	replayed = 2000
	seed     = 42
)

// everyNode lets the scheduler look at all nodes: kube-scheduler stops early in
// large clusters.
const everyNode = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: KUBECONFIG, qps: 300, burst: 600}
percentageOfNodesToScore: 100
leaderElection: {leaderElect: false}
profiles:
  - schedulerName: muster
    plugins: {multiPoint: {enabled: [{name: Muster, weight: 20}]}}
`

// cold is what the plugin does: the learner, and packing before it knows
// anything.
type cold struct{ *gpu.Learner }

func (c cold) ObservePod(pod *gpu.Request) bool { return c.Learner.ObservePod(*pod) }

func (c cold) ScoreNode(node *gpu.NodeState, pod *gpu.Request) (int64, int) {
	if s := c.CurrentScorer(); len(s.Workload()) > 0 {
		return s.ScoreNode(node, pod)
	}
	used := node.GPUs - node.FreeMilli()/gpu.MilliPerGPU
	return int64(100 * (used + pod.GPUs) / node.GPUs), -1
}

// TestTheSchedulerAndTheSimulatorPlaceAlike replays pods of Alibaba's openb
// cluster that ask for whole GPUs through both.
func TestTheSchedulerAndTheSimulatorPlaceAlike(t *testing.T) {
	all, err := packing.LoadExperiment("default")
	require.NoError(t, err)
	whole := slices.DeleteFunc(slices.Clone(all.Pods), func(p trace.OpenbPod) bool { return p.GPUs == 0 || p.GPUMilli < gpu.MilliPerGPU })
	e, err := packing.NewExperiment("whole", all.Nodes, whole)
	require.NoError(t, err)
	arrivals, rank := e.DrawArrivals(seed)
	arrivals = arrivals[:min(replayed, len(arrivals))]
	simulated := e.ReplayPods(packing.Policy{Name: "cold", New: func(*packing.Experiment, int64) packing.Chooser {
		return cold{gpu.NewLearner(capacityOf(e.Nodes), gpu.DefaultWeights())}
	}}, seed)

	nodes := make([]*v1.Node, len(e.Nodes))
	for i := range e.Nodes {
		nodes[rank[i]] = openbNode(nodeName(rank[i]), &e.Nodes[i])
	}
	c := newCluster(t, nodes, everyNode)
	namespace := c.namespace(t)
	want := map[string]string{}
	for i := range arrivals {
		p := openbPod(fmt.Sprintf("p-%04d", i), &arrivals[i])
		c.create(t, namespace, []*v1.Pod{p})
		if n := simulated.Nodes[i]; n >= 0 {
			want[p.Name] = nodeName(rank[n])
		}
	}
	got := map[string]string{}
	assert.Eventually(t, func() bool {
		for _, p := range c.pods(t, namespace) {
			if p.Spec.NodeName != "" {
				got[p.Name] = p.Spec.NodeName
			}
		}
		return len(got) >= len(want)
	}, patience, 50*poll, "the simulator places %d pods", len(want))
	t.Logf("%d pods, %d placed on %d nodes", len(arrivals), len(want), len(nodes))
	same := 0
	for i := range arrivals {
		name := fmt.Sprintf("p-%04d", i)
		switch node, other := want[name], got[name]; {
		case node != "" && node == other:
			same++
		case node != other && i-same < 5:
			t.Logf("pod %s %v: simulator %q, scheduler %q", name, arrivals[i], node, other)
		}
	}
	assert.Equal(t, len(want), same, "pods on the same node")
}

// capacityOf numbers the models as the experiment does.
func capacityOf(nodes []trace.OpenbNode) []int {
	var models []string
	var capacity []int
	for _, n := range nodes {
		if n.GPUs == 0 {
			continue
		}
		m := slices.Index(models, n.Model)
		if m < 0 {
			m = len(models)
			models, capacity = append(models, n.Model), append(capacity, 0)
		}
		capacity[m] += n.GPUs
	}
	return capacity
}

func nodeName(rank int) string { return fmt.Sprintf("n-%04d", rank) }

func openbNode(name string, n *trace.OpenbNode) *v1.Node {
	shape := sandbox.NodeShape{CPU: fmt.Sprintf("%dm", n.CPUMilli), Memory: fmt.Sprintf("%dMi", n.MemoryMiB), Pods: 1000, Labels: map[string]string{}}
	if n.GPUs > 0 {
		shape.Extended = map[string]int64{gpu.Resource: int64(n.GPUs)}
		shape.Labels[gpu.ProductLabel] = "openb-" + n.Model
	}
	return sandbox.NewNode(name, shape)
}

func openbPod(name string, p *trace.OpenbPod) *v1.Pod {
	var models []string
	for _, m := range p.Models {
		models = append(models, "openb-"+m)
	}
	pod := ask{count: int64(p.GPUs), models: strings.Join(models, ",")}.build()[0]
	pod.Name = name
	resources := pod.Spec.Containers[0].Resources
	resources.Requests = resources.Requests.DeepCopy()
	resources.Requests[v1.ResourceCPU] = *resource.NewMilliQuantity(p.CPUMilli, resource.DecimalSI)
	resources.Requests[v1.ResourceMemory] = *resource.NewQuantity(p.MemoryMiB<<20, resource.BinarySI)
	pod.Spec.Containers[0].Resources = resources
	return pod
}
