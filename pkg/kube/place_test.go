// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const (
	jobIndex    = "jobset.sigs.k8s.io/job-global-index"
	podIndex    = "batch.kubernetes.io/job-completion-index"
	workerIndex = "leaderworkerset.sigs.k8s.io/worker-index"
)

// numbered makes a pod of 8 GPUs with numbers: "1/3" is number 3 of group 1; "-"
// has none. After "@" comes its node.
func numbered(text, key string) *v1.Pod {
	word, where, _ := strings.Cut(text, "@")
	p := pod("p-"+strings.ReplaceAll(text, "/", "-")+"-x", 8)
	p.Spec.NodeName = where
	p.Labels = map[string]string{}
	group, index, ok := strings.Cut(word, "/")
	if !ok {
		group, index = "", word
	}
	if group != "" {
		p.Labels[jobIndex] = group
	}
	if index != "-" {
		p.Labels[key] = index
	}
	return p
}

// fourRacks are four racks of two nodes: a1 and a2 in a, and so on.
func fourRacks() []*v1.Node {
	var nodes []*v1.Node
	for _, rack := range []string{"a", "b", "c", "d"} {
		for i := 1; i <= 2; i++ {
			nodes = append(nodes, node(fmt.Sprintf("%s%d", rack, i), rack, 8))
		}
	}
	return nodes
}

func TestGang_RanksAreTheControllersNumbers(t *testing.T) {
	for _, tc := range []struct {
		name            string
		key             string
		waiting, bound  []string
		ranks, standing []int
	}{
		{"none missing", podIndex, []string{"0", "1", "2"}, nil, nil, nil},
		{"numbers that start at 1", workerIndex, []string{"1", "2", "3"}, nil, nil, nil},
		{"one has ended", podIndex, []string{"0", "1", "3"}, nil, []int{0, 1, 3}, nil},
		{"one comes back", podIndex, []string{"2"}, []string{"0@a1", "1@a2", "3@b2"}, []int{2}, []int{0, 1, 3}},
		{"one comes back after another has ended", podIndex, []string{"3"}, []string{"0@a1", "2@b1"}, []int{3}, []int{0, 2}},
		{"the first has ended", podIndex, []string{"3"}, []string{"1@a2", "2@b1"}, []int{3}, []int{1, 2}},
		{"the first has ended and all start again", podIndex, []string{"1", "2", "3"}, nil, nil, nil},
		{"the Jobs of a JobSet", podIndex, []string{"1/0"}, []string{"0/0@a1", "0/1@a2", "1/1@b2"}, []int{2}, []int{0, 1, 3}},
		{"a Job of a JobSet has ended", podIndex, []string{"2/1"}, []string{"0/0@a1", "0/1@a2", "2/0@b2"}, []int{5}, []int{0, 1, 4}},
		{"two of one number", podIndex, []string{"0"}, []string{"0@a1", "1@a2"}, nil, []int{-1, -1}},
		{"one without a number", podIndex, []string{"-"}, []string{"0@a1", "1@a2"}, nil, []int{-1, -1}},
		{"numbers that mean something else", podIndex, []string{"7"}, []string{"42@a1"}, nil, []int{-1}},
		{"a number beyond reason", podIndex, []string{"9223372036854775807"}, []string{"0@a1"}, nil, []int{-1}},
		{"a group beyond reason", podIndex, []string{"9223372036854775807/1"}, []string{"0/0@a1"}, nil, []int{-1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var waiting, bound []*v1.Pod
			for _, text := range tc.waiting {
				waiting = append(waiting, numbered(text, tc.key))
			}
			for _, text := range tc.bound {
				bound = append(bound, numbered(text, tc.key))
			}
			spec := &Spec{Name: "train", MinCount: 2, Required: topology.NoLevel, Preferred: topology.NoLevel, Slices: []gang.Slice{{Size: 2, Level: 3}}}
			m, err := NewCluster(DefaultLevels()).ReadGang(spec, waiting, bound, infos(fourRacks()...))
			require.NoError(t, err)
			require.Len(t, m.Roles, 1)
			assert.Equal(t, tc.ranks, m.Roles[0].Ranks)
			var standing []int
			for _, b := range m.Bound {
				standing = append(standing, b.Rank)
			}
			assert.Equal(t, tc.standing, standing)
		})
	}
}

// A member of a JobSet that is created again goes to the rack of its own Job.
func TestGang_AMemberReturnsToItsSlice(t *testing.T) {
	spec := &Spec{Name: "train", MinCount: 8, Required: topology.NoLevel, Preferred: topology.NoLevel, Slices: []gang.Slice{{Size: 2, Level: 3}}}
	for lost := range 8 {
		var waiting, bound []*v1.Pod
		for i, n := range fourRacks() {
			p := numbered(fmt.Sprintf("%d/%d", i/2, i%2), podIndex)
			if i == lost {
				waiting = append(waiting, p)
				continue
			}
			p.Spec.NodeName = n.Name
			bound = append(bound, p)
		}
		nodes := fourRacks()
		c := NewCluster(DefaultLevels())
		m, err := c.ReadGang(spec, waiting, bound, infos(nodes...))
		require.NoError(t, err)
		plan := placement.Solve(c.Usage(), &m.Gang)
		require.NoError(t, placement.Check(c.Usage(), &m.Gang, plan))
		require.Nil(t, plan.Refusal, "member %d", lost)
		rack := c.NodeInfo(plan.Nodes[0][0]).Node().Labels["topology.kubernetes.io/rack"]
		assert.Equal(t, nodes[lost].Labels["topology.kubernetes.io/rack"], rack, "member %d", lost)
	}
}
