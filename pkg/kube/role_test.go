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
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/placement"
)

// readRoles reads a gang of min pods that declares roles and terms.
func readRoles(min int32, text string, terms ...string) (*Spec, *Invalid) {
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "label~g"}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: min}
	roles, err := ParseRoles(text)
	if err != nil {
		return nil, &Invalid{InvalidGangSpec, err.Error()}
	}
	d := &Declaration{Roles: roles, Terms: map[string]Term{}}
	for i := 0; i < len(terms); i += 2 {
		d.Terms[terms[i]] = Term{Value: terms[i+1]}
	}
	return ReadSpec(pg, d, DefaultLevels())
}

// crew makes pods named after their role, so many of so many GPUs each, in
// which the role stands as a label.
func crew(words ...string) []*v1.Pod {
	var pods []*v1.Pod
	for _, word := range words {
		var n, gpus int
		role, rest, _ := strings.Cut(word, "=")
		_, _ = fmt.Sscanf(rest, "%dx%d", &n, &gpus)
		for i := range n {
			p := pod(fmt.Sprintf("%s-%d-%d", role, gpus, i), int64(gpus))
			p.Labels = map[string]string{"role": role}
			pods = append(pods, p)
		}
	}
	return pods
}

func TestRoles(t *testing.T) {
	const workers = `[{"name":"worker","selector":{"matchLabels":{"role":"worker"}},`
	tests := []struct {
		name, roles string
		pods        []*v1.Pod
		min         int
		// want is each role of the gang: name, members, minimum, level, slices.
		want    []string
		invalid string
	}{
		{name: "a role has a minimum and a level of its own", roles: workers + `"minCount":2,"topologyRequired":"rack"}]`,
			pods: crew("leader=1x0", "worker=3x8"), min: 3, want: []string{"leader 1 0 -2 []", "worker 3 2 3 []"}},
		{name: "the first role that selects a member counts", roles: workers + `"minCount":1},{"name":"rest"}]`,
			pods: crew("leader=1x0", "worker=1x0"), min: 2, want: []string{"rest 1 0 -2 []", "worker 1 1 -2 []"}},
		{name: "a role without members is waited for", roles: workers + `"minCount":2}]`,
			pods: crew("leader=2x0"), min: 2, want: []string{" 2 0 -2 []", "worker 0 2 -2 []"}},
		{name: "a preferred level is one soft slice", roles: workers + `"topologyPreferred":"rack"}]`,
			pods: crew("worker=3x8"), min: 1, want: []string{"worker 3 0 -2 [{3 3 true}]"}},
		{name: "a preferred level around slices", roles: workers + `"topologyPreferred":"block","sliceSize":2,"sliceTopology":"rack"}]`,
			pods: crew("worker=3x8"), min: 1, want: []string{"worker 3 0 -2 [{4 2 true} {2 3 false}]"}},
		{name: "a preferred level inside slices says no more", roles: workers + `"topologyPreferred":"clique","sliceSize":2,"sliceTopology":"rack"}]`,
			pods: crew("worker=3x8"), min: 1, want: []string{"worker 3 0 -2 [{2 3 false}]"}},
		{name: "slices of a role", roles: workers + `"sliceSize":2,"sliceTopology":"rack"}]`,
			pods: crew("worker=4x8"), min: 1, want: []string{"worker 4 0 -2 [{2 3 false}]"}},
		{name: "members that differ in a key are roles of their own", roles: `[{"name":"part","each":["role"],"minCount":1,"topologyRequired":"rack"}]`,
			pods: crew("a=2x8", "b=1x8"), min: 2, want: []string{"part a 2 1 3 []", "part b 1 1 3 []"}},
		{name: "a minimum of all members holds for two shapes", roles: workers + `"minCount":3}]`,
			pods: crew("worker=2x8", "worker=1x4"), min: 1, want: []string{"worker 1 1 -2 []", "worker 2 2 -2 []"}},
		{name: "a minimum of some members does not", roles: workers + `"minCount":2}]`,
			pods: crew("worker=2x8", "worker=1x4"), min: 1,
			invalid: "role worker has pods of different shapes, such as worker-4-0 and worker-8-0: only all 3 of them can start together, not 2; give them the same requests"},
		{name: "two shapes cannot be held in one domain", roles: workers + `"topologyRequired":"rack"}]`,
			pods: crew("worker=2x8", "worker=1x4"), min: 1,
			invalid: "pods that share a domain must be alike"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec, invalid := readRoles(int32(test.min), test.roles)
			require.Nil(t, invalid)
			m, err := NewCluster(DefaultLevels()).ReadGang(spec, test.pods, nil, infos(node("n1", "r1", 8), node("n2", "r2", 8)))
			require.NoError(t, err)
			if test.invalid != "" {
				require.NotNil(t, m.Invalid)
				assert.Contains(t, m.Invalid.Message, test.invalid)
				return
			}
			require.Nil(t, m.Invalid)
			var got []string
			for _, r := range m.Roles {
				got = append(got, fmt.Sprintf("%s %d %d %d %v", r.Name, r.Count, r.MinCount, r.Required, r.Slices))
			}
			assert.Equal(t, test.want, got)
			assert.Len(t, m.Pods, len(m.Roles))
		})
	}
}

func TestRoles_ArePlaced(t *testing.T) {
	spec, invalid := readRoles(4, `[{"name":"a","selector":{"matchLabels":{"role":"a"}},"minCount":2,"topologyRequired":"rack"},
		{"name":"b","selector":{"matchLabels":{"role":"b"}},"minCount":2,"topologyRequired":"rack"}]`)
	require.Nil(t, invalid)
	nodes := infos(node("n1", "r1", 8), node("n2", "r1", 8), node("n3", "r2", 8), node("n4", "r2", 8))
	c := NewCluster(DefaultLevels())
	m, err := c.ReadGang(spec, crew("a=2x8", "b=2x8"), nil, nodes)
	require.NoError(t, err)
	plan := placement.NewPlanner(c.Usage()).Solve(&m.Gang)
	require.Nil(t, plan.Refusal)
	require.NoError(t, placement.Check(c.Usage(), &m.Gang, plan))
	for r := range m.Roles {
		racks := map[string]bool{}
		for _, n := range plan.Nodes[r] {
			racks[c.NodeInfo(n).Node().Labels["topology.kubernetes.io/rack"]] = true
		}
		assert.Len(t, racks, 1, m.Roles[r].Name)
	}

	m, err = c.ReadGang(spec, crew("a=4x8"), nil, nodes)
	require.NoError(t, err)
	refusal := placement.NewPlanner(c.Usage()).Solve(&m.Gang).Refusal
	require.NotNil(t, refusal, "four of one role are no gang of two and two")
	assert.Equal(t, placement.GangIncomplete, refusal.Reason)
	assert.Equal(t, "b", refusal.Role)
}

// A leader that asks for more CPU than its workers is in their rack, although the
// numbers of its pods and theirs are the same.
func TestRoles_PodsThatDifferInCPUShareADomain(t *testing.T) {
	spec, invalid := readRoles(3, `[{"name":"prefill","minCount":3,"topologyRequired":"rack",
		"selector":{"matchExpressions":[{"key":"role","operator":"In","values":["leader","worker"]}]}}]`)
	require.Nil(t, invalid)
	pods := crew("leader=1x8", "worker=2x8")
	pods[0].Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = resource.MustParse("2")
	c := NewCluster(DefaultLevels())
	m, err := c.ReadGang(spec, pods, nil, infos(node("n1", "r1", 8), node("n2", "r1", 8), node("n3", "r2", 8), node("n4", "r2", 8), node("n5", "r2", 8)))
	require.NoError(t, err)
	require.Nil(t, m.Invalid)
	require.Len(t, m.Roles, 1)
	assert.Equal(t, 3, m.Roles[0].MinCount)
	plan := placement.NewPlanner(c.Usage()).Solve(&m.Gang)
	require.Nil(t, plan.Refusal)
	for _, n := range plan.Nodes[0] {
		assert.Equal(t, "r2", c.NodeInfo(n).Node().Labels["topology.kubernetes.io/rack"])
	}
}

func TestReadSpec_RolesThatCannotBeRead(t *testing.T) {
	many := "[" + strings.Repeat(`{"name":"a"},`, MaxRoles) + `{"name":"a"}]`
	for _, test := range []struct{ name, roles, message string }{
		{"no JSON", "workers", `found "workers", want a list of roles in JSON`},
		{"no list", `{"name":"a"}`, "want a list of roles"},
		{"a misspelt field", `[{"name":"a","mincount":1,"x":2}]`, "want a list of roles"},
		{"a huge number", `[{"name":"a","minCount":1e30}]`, "want a list of roles"},
		{"a negative number", `[{"name":"a","minCount":-1}]`, "minCount: found -1"},
		{"no name", `[{}]`, "want a name"},
		{"half a slice", `[{"name":"a","sliceSize":2}]`, "go together"},
		{"a selector that is none", `[{"name":"a","selector":{"matchExpressions":[{"key":"x","operator":"Like"}]}}]`, "is not a valid label selector"},
		{"an unknown level", `[{"name":"a","topologyRequired":"shelf"}]`, `no topology level is called "shelf"`},
		{"too many", many, "found 257 roles, want at most 256"},
		{"something behind the list", `[] []`, "want a list of roles"},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec, invalid := readRoles(2, test.roles, AnnotationTopologyRequired, "block")
			if invalid == nil { // a level may be the label of a node
				m, err := NewCluster(DefaultLevels()).ReadGang(spec, nil, nil, nil)
				require.NoError(t, err)
				invalid = m.Invalid
			}
			require.NotNil(t, invalid)
			assert.Contains(t, invalid.Message, test.message)
			assert.Less(t, len(invalid.Message), 600)
		})
	}
}

func TestRoles_StandBesideOneAnother(t *testing.T) {
	spec, invalid := readRoles(3, `[{"name":"launcher","selector":{"matchLabels":{"role":"launcher"}},"beside":"worker"},{"name":"worker"}]`)
	require.Nil(t, invalid)
	m, err := NewCluster(DefaultLevels()).ReadGang(spec, crew("launcher=1x0", "worker=2x8"), nil, infos(node("n1", "r1", 8), node("n2", "r1", 8)))
	require.NoError(t, err)
	beside := map[string]string{}
	for _, r := range m.Roles {
		if r.NearRole >= 0 {
			beside[r.Name] = m.Roles[r.NearRole].Name
		}
	}
	assert.Equal(t, map[string]string{"launcher": "worker"}, beside)
}
