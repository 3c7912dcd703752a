// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const devices v1.ResourceName = "nvidia.com/gpu"

func node(name, rack string, gpus int64) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1.LabelHostname: name, "topology.kubernetes.io/rack": rack, LabelGPUProduct: "NVIDIA-H100-80GB-HBM3",
		}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse("64"), v1.ResourceMemory: resource.MustParse("512Gi"),
			v1.ResourcePods: resource.MustParse("110"), devices: *resource.NewQuantity(gpus, resource.DecimalSI),
		}},
	}
}

func pod(name string, gpus int64) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID(name)},
		Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse("500m"), devices: *resource.NewQuantity(gpus, resource.DecimalSI),
		}}}}},
	}
}

func infos(nodes ...*v1.Node) []fwk.NodeInfo {
	list := make([]fwk.NodeInfo, len(nodes))
	for i, n := range nodes {
		info := framework.NewNodeInfo()
		info.SetNode(n)
		list[i] = info
	}
	return list
}

func place(t *testing.T, info fwk.NodeInfo, p *v1.Pod) {
	t.Helper()
	podInfo, err := framework.NewPodInfo(p)
	require.NoError(t, err)
	info.AddPodInfo(podInfo)
}

func free(t *testing.T, c *Cluster, node string, name v1.ResourceName) int64 {
	t.Helper()
	id, ok := c.Usage().Tree.NodeByName(node)
	require.True(t, ok)
	column, ok := c.Usage().ResourceIndex(string(name))
	require.True(t, ok)
	return c.Usage().FreeRow(id)[column]
}

func TestCluster_ReadsOnlyNodesThatChanged(t *testing.T) {
	c := NewCluster(DefaultLevels())
	nodes := infos(node("n1", "r1", 8), node("n2", "r1", 8), node("n3", "r2", 8))
	require.NoError(t, c.UpdateNodes(nodes))
	_, rebuilt := c.TouchedNodes()
	assert.True(t, rebuilt)
	tree := c.Usage().Tree

	place(t, nodes[1], pod("p", 3))
	require.NoError(t, c.UpdateNodes(nodes))
	touched, rebuilt := c.TouchedNodes()
	assert.False(t, rebuilt)
	require.Len(t, touched, 1)
	assert.Equal(t, "n2", tree.Nodes[touched[0]].Name)
	assert.EqualValues(t, 5, free(t, c, "n2", devices))
	assert.EqualValues(t, 63_500, free(t, c, "n2", v1.ResourceCPU))
	assert.EqualValues(t, 109, free(t, c, "n2", v1.ResourcePods))
	assert.Same(t, tree, c.Usage().Tree)

	require.NoError(t, c.UpdateNodes(nodes))
	touched, _ = c.TouchedNodes()
	assert.Empty(t, touched)
}

func TestCluster_BuildsTheTreeAgainWhenNodesMove(t *testing.T) {
	moved := node("n2", "r2", 8)
	for name, nodes := range map[string][]*v1.Node{
		"a node is new":         {node("n1", "r1", 8), node("n2", "r1", 8), node("n3", "r1", 8)},
		"a node is gone":        {node("n1", "r1", 8)},
		"the order is another":  {node("n2", "r1", 8), node("n1", "r1", 8)},
		"a node changed racks":  {node("n1", "r1", 8), moved},
		"a resource is unknown": {node("n1", "r1", 8), withResource(node("n2", "r1", 8), "nvidia.com/mig-1g.5gb")},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCluster(DefaultLevels())
			require.NoError(t, c.UpdateNodes(infos(node("n1", "r1", 8), node("n2", "r1", 8))))
			require.NoError(t, c.UpdateNodes(infos(nodes...)))
			_, rebuilt := c.TouchedNodes()
			assert.True(t, rebuilt)
			assert.Len(t, c.Usage().Tree.Nodes, len(nodes))
		})
	}
}

func withResource(n *v1.Node, name v1.ResourceName) *v1.Node {
	n.Status.Allocatable[name] = resource.MustParse("7")
	return n
}

func TestFilter_SaysWhyANodeIsOut(t *testing.T) {
	cordoned, tainted, down, arm := node("cordoned", "r", 8), node("tainted", "r", 8), node("down", "r", 8), node("arm", "r", 8)
	cordoned.Spec.Unschedulable = true
	tainted.Spec.Taints = []v1.Taint{{Key: "team", Value: "a", Effect: v1.TaintEffectNoSchedule}}
	down.Spec.Taints = []v1.Taint{{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoSchedule}}
	arm.Labels["kubernetes.io/arch"] = "arm64"
	good := node("good", "r", 8)
	good.Labels["kubernetes.io/arch"] = "amd64"
	good.Spec.Taints = []v1.Taint{{Key: "soft", Effect: v1.TaintEffectPreferNoSchedule}}
	for _, n := range []*v1.Node{cordoned, tainted, down} {
		n.Labels["kubernetes.io/arch"] = "amd64"
	}
	c := NewCluster(DefaultLevels())
	require.NoError(t, c.UpdateNodes(infos(cordoned, tainted, down, arm, good)))
	why := func(p *v1.Pod) map[string]gang.Exclusion {
		out := map[string]gang.Exclusion{}
		filter := c.NodeFilter(p, GPURequirements{Requirements: gpu.Requirements{AnyShare: true}})
		for id, n := range c.Usage().Tree.Nodes {
			if filter != nil && filter.Exclusions[id] != gang.Eligible {
				out[n.Name] = filter.Exclusions[id]
			}
		}
		return out
	}
	p := pod("p", 1)
	p.Spec.NodeSelector = map[string]string{"kubernetes.io/arch": "amd64"}
	assert.Equal(t, map[string]gang.Exclusion{"cordoned": gang.Cordoned, "tainted": gang.Tainted, "down": gang.NotReady, "arm": gang.Unselected}, why(p))

	p.Spec.Tolerations = []v1.Toleration{{Operator: v1.TolerationOpExists}}
	assert.Equal(t, map[string]gang.Exclusion{"arm": gang.Unselected}, why(p))
	p.Spec.NodeSelector = nil
	assert.Nil(t, c.NodeFilter(p, GPURequirements{Requirements: gpu.Requirements{AnyShare: true}}), "no node is out")
}

func TestFilter_FollowsTheNodes(t *testing.T) {
	c := NewCluster(DefaultLevels())
	nodes := infos(node("n1", "r", 8), node("n2", "r", 8))
	require.NoError(t, c.UpdateNodes(nodes))
	assert.Nil(t, c.NodeFilter(pod("p", 1), GPURequirements{Requirements: gpu.Requirements{AnyShare: true}}))

	cordoned := node("n1", "r", 8)
	cordoned.Spec.Unschedulable = true
	nodes[0].SetNode(cordoned)
	require.NoError(t, c.UpdateNodes(nodes))
	require.NotNil(t, c.NodeFilter(pod("p", 1), GPURequirements{Requirements: gpu.Requirements{AnyShare: true}}))

	nodes[0].SetNode(node("n1", "r", 8))
	require.NoError(t, c.UpdateNodes(nodes))
	assert.Nil(t, c.NodeFilter(pod("p", 1), GPURequirements{Requirements: gpu.Requirements{AnyShare: true}}))
}

func TestGang_PodsOfOneShapeAreARoleInRankOrder(t *testing.T) {
	c := NewCluster(DefaultLevels())
	var pods []*v1.Pod
	for _, i := range []int{10, 2, 1, 4} {
		pods = append(pods, pod(fmt.Sprintf("train-worker-%d", i), 8))
	}
	launcher := pod("train-launcher-0", 0)
	bound := pod("train-worker-0", 8)
	bound.Spec.NodeName = "n2"
	gone := pod("train-worker-3", 8)
	gone.Spec.NodeName = "gone"
	spec := &Spec{Name: "train", UID: "u", MinCount: 6, Required: topology.NoLevel, Preferred: topology.NoLevel}
	m, err := c.ReadGang(spec, append(pods, launcher), []*v1.Pod{bound, gone}, infos(node("n1", "r", 8), node("n2", "r", 8)))
	require.NoError(t, err)
	require.Len(t, m.Roles, 2)
	var names [][]string
	for _, role := range m.Pods {
		var list []string
		for _, p := range role {
			list = append(list, p.Name)
		}
		names = append(names, list)
	}
	assert.Equal(t, [][]string{{"train-launcher-0"}, {"train-worker-1", "train-worker-2", "train-worker-4", "train-worker-10"}}, names)
	id, _ := c.Usage().Tree.NodeByName("n2")
	assert.Equal(t, []gang.Bound{{Role: 1, Rank: 0, Node: id}, {Role: 1, Rank: 3, Node: -1}}, m.Bound)
	assert.Equal(t, []int{1, 2, 4, 10}, m.Roles[1].Ranks)
	assert.Nil(t, m.Roles[0].Ranks)
	assert.Empty(t, m.Unmodelled)
}

func TestGang_AResourceThatNoNodeHasIsStillAskedFor(t *testing.T) {
	c := NewCluster(DefaultLevels())
	nodes := infos(node("n1", "r", 8))
	require.NoError(t, c.UpdateNodes(nodes))
	p := pod("p", 1)
	p.Spec.Containers[0].Resources.Requests["example.com/fpga"] = resource.MustParse("1")
	m, err := c.ReadGang(&Spec{Name: "g", MinCount: 1}, []*v1.Pod{p}, nil, nodes)
	require.NoError(t, err)
	column, ok := c.Usage().ResourceIndex("example.com/fpga")
	require.True(t, ok)
	assert.EqualValues(t, 1, m.Roles[0].Request[column])
	assert.EqualValues(t, 0, free(t, c, "n1", "example.com/fpga"))
}

func TestGang_TheClassIsWhatIsAskedFor(t *testing.T) {
	c := NewCluster(DefaultLevels())
	nodes := infos(node("n1", "r", 8))
	class := func(spec Spec, scheduled []*v1.Pod, pods ...*v1.Pod) string {
		m, err := c.ReadGang(&spec, pods, scheduled, nodes)
		require.NoError(t, err)
		return m.EquivalenceClass()
	}
	spec := Spec{Name: "a", UID: "a", MinCount: 2}
	same := class(spec, nil, pod("a-0", 1), pod("a-1", 1))
	assert.Equal(t, same, class(Spec{Name: "b", UID: "b", MinCount: 2}, nil, pod("b-0", 1), pod("b-1", 1)))
	assert.NotEqual(t, same, class(spec, nil, pod("a-0", 1), pod("a-1", 2)))
	assert.NotEqual(t, same, class(Spec{MinCount: 1}, nil, pod("a-0", 1), pod("a-1", 1)))
	meek := pod("a-0", 1)
	meek.Spec.PreemptionPolicy = new(v1.PreemptNever)
	assert.NotEqual(t, same, class(spec, nil, meek, meek), "it finds no room by preemption")
	openGang := pod("a-1", 1)
	openGang.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: 80}}
	assert.NotEqual(t, same, class(spec, nil, pod("a-0", 1), openGang), "other plugins may refuse it")
	selective := pod("a-1", 1)
	selective.Spec.NodeSelector = map[string]string{"a": "b"}
	assert.NotEqual(t, same, class(spec, nil, pod("a-0", 1), selective))
	bound := pod("a-2", 1)
	bound.Spec.NodeName = "n1"
	assert.NotEqual(t, class(spec, []*v1.Pod{bound}, pod("a-0", 1)), class(Spec{UID: "b", MinCount: 2}, []*v1.Pod{bound}, pod("a-0", 1)))
}

func TestGang_ConstraintsThatThePlannerDoesNotKnowLeaveItOpen(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(*v1.PodSpec)
	}{
		{"a plain pod", "", func(*v1.PodSpec) {}},
		{"pods to stay away from", "pod anti-affinity", func(s *v1.PodSpec) {
			s.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{TopologyKey: "x"}}}}
		}},
		{"a hard spread", "topology spread", func(s *v1.PodSpec) {
			s.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{WhenUnsatisfiable: v1.DoNotSchedule}}
		}},
		{"a volume claim", "volumes", func(s *v1.PodSpec) {
			s.Volumes = []v1.Volume{{VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{}}}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pod("p", 1)
			test.change(&p.Spec)
			assert.Equal(t, test.want, unmodelledConstraint(p))
		})
	}
}

func TestRankOf(t *testing.T) {
	labelled := pod("p-7", 1)
	labelled.Labels = map[string]string{"apps.kubernetes.io/pod-index": "3", "jobset.sigs.k8s.io/job-index": "2"}
	bad := pod("p-7", 1)
	bad.Labels = map[string]string{"apps.kubernetes.io/pod-index": "-3"}
	assert.Equal(t, rank{2, 3}, rankOf(labelled))
	assert.Equal(t, rank{-1, 7}, rankOf(bad))
	assert.Equal(t, rank{-1, 12}, rankOf(pod("worker12", 1)))
	assert.Equal(t, rank{-1, -1}, rankOf(pod("worker", 1)))
	assert.Equal(t, rank{-1, -1}, rankOf(pod("w99999999999999999999", 1)), "a number beyond an int is none")
}

func TestLadder(t *testing.T) {
	ladder := DefaultLevels()
	require.NoError(t, ladder.Validate())
	for _, word := range []string{"rack", "leaf", "network.topology.nvidia.com/leaf"} {
		level, err := ladder.FindLevel(word)
		require.NoError(t, err)
		assert.Equal(t, "rack", ladder[level].Name)
	}
	_, err := ladder.FindLevel("Rack")
	assert.ErrorContains(t, err, `no topology level is called "Rack"; the levels are zone, datacenter, block, rack, clique, host`)
	assert.Error(t, Levels{}.Validate())
	assert.Error(t, Levels{{Name: "a", Keys: []string{"k"}}, {Name: "b", Keys: []string{"k"}}}.Validate())
	assert.Error(t, Levels{{Name: "a"}}.Validate())
}

func TestNodeDomains_TheHostIsTheNode(t *testing.T) {
	levels := DefaultLevels()
	host := len(levels) - 1
	for _, test := range []struct {
		name   string
		labels map[string]string
	}{
		{"a node with its own name as label", map[string]string{v1.LabelHostname: "n1"}},
		{"a node that shares a hostname with another", map[string]string{v1.LabelHostname: "localhost"}},
		{"a node without the label", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			domains := levels.NodeDomains(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: test.labels}})
			assert.Equal(t, "n1", domains[host])
			assert.Equal(t, make([]string, host), domains[:host], "other levels are named by labels alone")
		})
	}
}
