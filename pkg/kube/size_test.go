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
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// storedPods are so many pods as an API server has them, each changed by its number.
func storedPods(count int, change func(i int, p *v1.Pod)) []*v1.Pod {
	pods := make([]*v1.Pod, count)
	for i := range pods {
		pods[i] = pod(fmt.Sprintf("train-%d", i), 1)
		pods[i].UID, pods[i].Generation = types.UID(pods[i].Name), 1
		change(i, pods[i])
	}
	return pods
}

func request(p *v1.Pod, name v1.ResourceName, amount int64) {
	p.Spec.Containers[0].Resources.Requests[name] = *resource.NewQuantity(amount, resource.DecimalSI)
}

func selectHosts(p *v1.Pod, count int) {
	values := make([]string, count)
	for i := range values {
		values[i] = fmt.Sprintf("host-%d", i)
	}
	p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
		NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: values}}}},
	}}}
}

func TestReadGang_RefusesWhatIsTooMuchToPlan(t *testing.T) {
	list := infos(node("n1", "r1", 8))
	for _, tc := range []struct {
		name string
		pods []*v1.Pod
		want string
	}{
		{"as many shapes as there may be", storedPods(64, func(i int, p *v1.Pod) { request(p, v1.ResourceMemory, int64(i+1)) }), ""},
		{"too many shapes", storedPods(65, func(i int, p *v1.Pod) { request(p, v1.ResourceMemory, int64(i+1)) }),
			"its pods have 65 shapes (requests, node selection and tolerations), such as train-0 and train-1; at most 64 are planned together: give pods of one kind the same"},
		{"one shape, written in two ways", storedPods(200, func(i int, p *v1.Pod) {
			p.Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = resource.MustParse([]string{"1", "1000m"}[i%2])
		}), ""},
		{"tolerations for different times", storedPods(200, func(i int, p *v1.Pod) {
			seconds := int64(i)
			p.Spec.Tolerations = []v1.Toleration{{Key: "maintenance", Operator: v1.TolerationOpExists, TolerationSeconds: &seconds}}
		}), ""},
		{"many names of resources", storedPods(2, func(_ int, p *v1.Pod) {
			for i := range 70 {
				request(p, v1.ResourceName(fmt.Sprintf("example.com/r%d", i)), 1)
			}
		}), "pod train-0 asks for 72 resources; at most 64 count"},
		{"a long node affinity that all share", storedPods(400, func(_ int, p *v1.Pod) { selectHosts(p, 1001) }), ""},
		{"long node affinities", storedPods(8, func(i int, p *v1.Pod) { selectHosts(p, 1000+i) }),
			"the node selectors and affinities of its pods have 8036 expressions and values; at most 4096 are planned with: select nodes by a label that they share"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewCluster(DefaultLevels())
			m, err := c.ReadGang(&Spec{Name: "train", MinCount: len(tc.pods), Required: topology.NoLevel, Preferred: topology.NoLevel, UID: "u1"}, tc.pods, nil, list)
			require.NoError(t, err)
			if tc.want == "" {
				require.Nil(t, m.Invalid)
				return
			}
			require.NotNil(t, m.Invalid)
			assert.Equal(t, InvalidGangSpec, m.Invalid.Reason)
			assert.Equal(t, tc.want, m.Invalid.Message)
			assert.NotEmpty(t, m.EquivalenceClass())
		})
	}
}

// Members that run count with what they hold on their nodes, each resized by itself or
// not: one that is created again is planned.
func TestReadGang_RunningMembersHaveNoShapes(t *testing.T) {
	running := storedPods(200, func(i int, p *v1.Pod) {
		request(p, v1.ResourceMemory, int64(i+1))
		p.Spec.NodeName = "n1"
	})
	m, err := NewCluster(DefaultLevels()).ReadGang(&Spec{Name: "train", MinCount: 201, Required: topology.NoLevel, Preferred: topology.NoLevel},
		storedPods(1, func(_ int, p *v1.Pod) { p.Name = "train-200" }), running, infos(node("n1", "r1", 8)))
	require.NoError(t, err)
	require.Nil(t, m.Invalid)
	assert.Equal(t, 1, m.WaitingCount())
	assert.Len(t, m.Bound, 200)
}

// What pods name and no node offers is told, and leaves nothing behind.
func TestReadGang_UnknownResourcesLeaveNoColumn(t *testing.T) {
	list := infos(node("n1", "r1", 8))
	c := NewCluster(DefaultLevels())
	spec := &Spec{Name: "train", MinCount: 1, Required: topology.NoLevel, Preferred: topology.NoLevel}
	read := func(pods []*v1.Pod) placement.Plan {
		m, err := c.ReadGang(spec, pods, nil, list)
		require.NoError(t, err)
		require.Nil(t, m.Invalid)
		return placement.Solve(c.Usage(), &m.Gang)
	}
	plain := storedPods(1, func(int, *v1.Pod) {})
	require.Nil(t, read(plain).Refusal)
	columns := len(c.Usage().Resources)
	for i := range 50 {
		plan := read(storedPods(1, func(_ int, p *v1.Pod) {
			p.UID = types.UID(fmt.Sprint(i))
			request(p, v1.ResourceName(fmt.Sprintf("example.com/thing-%d", i)), 3)
		}))
		require.NotNil(t, plan.Refusal)
		assert.Equal(t, placement.GangTooLarge, plan.Refusal.Reason)
	}
	assert.Len(t, c.Usage().Resources, columns)
	_, rebuilt := c.TouchedNodes()
	assert.False(t, rebuilt, "the picture of the cluster is not made anew")
	require.Nil(t, read(plain).Refusal)
}

// A shape is read once for each version of a pod, and forgotten when many others came.
func TestShapeCache(t *testing.T) {
	c := shapeCache{}
	p := pod("a", 1)
	p.Generation = 1
	before := c.shapeOf(p)
	request(p, devices, 2)
	assert.Equal(t, before, c.shapeOf(p), "the same version")
	p.Generation = 2
	assert.NotEqual(t, before, c.shapeOf(p), "resized")
	for i := range 5 * maxRememberedShapes {
		other := &v1.Pod{}
		other.UID, other.Generation = types.UID(fmt.Sprint(i)), 1
		c.shapeOf(other)
	}
	assert.LessOrEqual(t, len(c.recent)+len(c.older), 2*maxRememberedShapes)
	_, kept := c.recent[podVersion{p.UID, 2}]
	assert.False(t, kept)
}
