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
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const rackLevel topology.Level = 3

// trainers are pods w-0 to w-N of 8 GPUs, of which the first asks for more CPU.
func trainers(count int) []*v1.Pod {
	var pods []*v1.Pod
	for i := range count {
		pods = append(pods, pod(fmt.Sprintf("w-%d", i), 8))
	}
	pods[0].Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = resource.MustParse("4")
	return pods
}

func inSlicesOf(size int) *Spec {
	return &Spec{
		Name: "g", UID: "g", MinCount: 4, Required: topology.NoLevel, Preferred: topology.NoLevel,
		Slices: []gang.Slice{{Size: size, Level: rackLevel}},
	}
}

// twoRacks are four nodes of 8 GPUs.
func twoRacks() []*v1.Node {
	return []*v1.Node{node("n1", "r1", 8), node("n2", "r1", 8), node("n3", "r2", 8), node("n4", "r2", 8)}
}

func TestGang_SlicesAreRunsOfRanksOverAllShapes(t *testing.T) {
	c := NewCluster(DefaultLevels())
	m, err := c.ReadGang(inSlicesOf(2), trainers(4), nil, infos(twoRacks()...))
	require.NoError(t, err)
	require.Len(t, m.Roles, 1, "a leader that asks for more is in the slice of its workers")
	assert.Len(t, m.Roles[0].MemberRequests, 4)
	plan := placement.NewPlanner(c.Usage()).Solve(&m.Gang)
	require.Nil(t, plan.Refusal)
	require.NoError(t, placement.Check(c.Usage(), &m.Gang, plan))
	racks := map[string]string{}
	for i, p := range m.Pods[0] {
		racks[p.Name] = c.NodeInfo(plan.Nodes[0][i]).Node().Labels["topology.kubernetes.io/rack"]
	}
	assert.Equal(t, racks["w-0"], racks["w-1"])
	assert.Equal(t, racks["w-2"], racks["w-3"])
	assert.NotEqual(t, racks["w-0"], racks["w-2"])
}

func TestGang_AMemberThatWasResizedKeepsItsPlaceInItsSlice(t *testing.T) {
	pods := trainers(4)
	nodes := infos(twoRacks()...)
	for i, info := range []fwk.NodeInfo{nodes[0], nodes[2]} { // w-0, which was resized, and w-2
		pods[2*i].Spec.NodeName = info.Node().Name
		place(t, info, pods[2*i])
	}
	c := NewCluster(DefaultLevels())
	m, err := c.ReadGang(inSlicesOf(2), []*v1.Pod{pods[1], pods[3]}, []*v1.Pod{pods[0], pods[2]}, nodes)
	require.NoError(t, err)
	require.Len(t, m.Roles, 1)
	assert.Equal(t, []int{1, 3}, m.Roles[0].Ranks)
	assert.Nil(t, m.Roles[0].MemberRequests, "the others ask for one thing")
	assert.EqualValues(t, 500, m.Roles[0].Request[0], "what a bound member holds is counted on its node")
}

func TestGang_SetsStayApart(t *testing.T) {
	launcher := pod("launch", 0)
	selective := trainers(4)
	selective[0].Spec.NodeSelector = map[string]string{"a": "b"}
	twice := trainers(4)
	twice[0].Name = "master-1"
	for _, test := range []struct {
		name string
		spec *Spec
		pods []*v1.Pod
	}{
		{"where nothing is sliced", &Spec{Name: "g", Required: topology.NoLevel, Preferred: topology.NoLevel}, trainers(4)},
		{"where one asks for no GPUs", inSlicesOf(2), append(trainers(4)[1:], launcher)},
		{"where one may use other nodes", inSlicesOf(2), selective},
		{"where two have one number", inSlicesOf(2), twice},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := NewCluster(DefaultLevels()).ReadGang(test.spec, test.pods, nil, infos(twoRacks()...))
			require.NoError(t, err)
			assert.Len(t, m.Roles, 2)
			for _, r := range m.Roles {
				assert.Nil(t, r.MemberRequests)
			}
		})
	}
}
