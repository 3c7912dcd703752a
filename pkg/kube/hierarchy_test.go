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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/placement"
)

// labelled makes nodes of 8 GPUs from words such as "n1 rack=r1 nvidia.com/gpu.clique=c1";
// rack is short for its label.
func labelled(words ...string) []*v1.Node {
	var nodes []*v1.Node
	for _, word := range words {
		fields := strings.Fields(word)
		n := node(fields[0], "", 8)
		n.Labels = map[string]string{}
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			if key == "rack" {
				key = "topology.kubernetes.io/rack"
			}
			n.Labels[key] = value
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// planOf plans so many pods of 8 GPUs that ask for something, and returns the domain and
// the nodes, or the sentence.
func planOf(t *testing.T, levels Levels, nodes []*v1.Node, count int, terms ...string) string {
	t.Helper()
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "label~g"}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: int32(count)}
	d := &Declaration{Terms: map[string]Term{}}
	for i := 0; i < len(terms); i += 2 {
		d.Terms["muster.sh/"+terms[i]] = Term{Value: terms[i+1]}
	}
	spec, invalid := ReadSpec(pg, d, levels)
	if invalid != nil {
		return invalid.Error()
	}
	var pods []*v1.Pod
	for i := range count {
		pods = append(pods, pod(fmt.Sprintf("g-%d", i), 8))
	}
	c := NewCluster(levels)
	m, err := c.ReadGang(spec, pods, nil, infos(nodes...))
	require.NoError(t, err)
	if m.Invalid != nil {
		return m.Invalid.Error()
	}
	plan := placement.NewPlanner(c.Usage()).Solve(&m.Gang)
	require.NoError(t, placement.Check(c.Usage(), &m.Gang, plan))
	if plan.Refusal != nil {
		return plan.Refusal.Error()
	}
	words := []string{m.TreeOn(c.Usage().Tree).DomainPath(plan.Domain) + ":"}
	for _, n := range plan.Nodes[0] {
		words = append(words, c.Usage().Tree.Nodes[n].Name)
	}
	return strings.Join(words, " ")
}

func TestLevels_AKeyOfANodeIsALevel(t *testing.T) {
	nodes := labelled("n1 rack=r1 example.com/room=a", "n2 rack=r1 example.com/room=b", "n3 rack=r2 example.com/room=b", "n4 rack=r2 example.com/room=b shelf=s", "n5")
	many := make([]string, 0, 9)
	for i := range MaxLabelKeys + 1 {
		many = append(many, fmt.Sprintf("example.com/k%d", i))
	}
	for name, test := range map[string]struct {
		count int
		terms []string
		want  string
	}{
		"required":                          {3, []string{"topology-required", "example.com/room"}, "b: n2 n3 n4"},
		"required, too many":                {4, []string{"topology-required", "example.com/room"}, "gang g needs 4 pods in one example.com/room; the largest, b, would hold 3 if it were empty"},
		"preferred":                         {2, []string{"topology-required", "rack", "topology-preferred", "example.com/room"}, "b: n3 n4"},
		"a key without a prefix":            {1, []string{"topology-required", "shelf"}, "s: n4"},
		"slices":                            {2, []string{"slice-size", "2", "slice-topology", "example.com/room"}, "cluster: n3 n4"},
		"the host, by its key":              {1, []string{"topology-required", "kubernetes.io/hostname"}, "n5: n5"},
		"a key that no node has":            {1, []string{"topology-required", "example.com/hall"}, `TopologyUnknownLevel: muster.sh/topology-required: no topology level is called "example.com/hall"; the levels are zone, datacenter, block, rack, clique, host, and the keys of the labels that nodes have`},
		"no key at all":                     {1, []string{"topology-required", "a hall"}, `TopologyUnknownLevel: gang g, muster.sh/topology-required: no topology level is called "a hall"; the levels are zone, datacenter, block, rack, clique, host, and the keys of the labels that nodes have`},
		"a level that no node is in":        {1, []string{"topology-required", "clique"}, "gang g needs 1 pod in one clique; no node that it may use is in a clique"},
		"more keys than a gang may name":    {1, []string{"slice-size", "1,1,1", "slice-topology", strings.Join(many[:3], ","), "topology-required", many[3]}, `TopologyUnknownLevel: muster.sh/topology-required: no topology level is called "example.com/k3"; the levels are zone, datacenter, block, rack, clique, host, and the keys of the labels that nodes have`},
		"slices of two keys, as written":    {2, []string{"slice-size", "2,1", "slice-topology", "example.com/room,rack"}, "cluster: n3 n4"},
		"slices wider than what is granted": {1, []string{"topology-required", "rack", "slice-size", "1", "slice-topology", "block"}, "InvalidGangSpec: gang g: muster.sh/slice-size: slices in one block are wider than the rack that must hold the whole gang"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, planOf(t, DefaultLevels(), nodes, test.count, test.terms...))
		})
	}
	roles := make([]string, 0, len(many))
	for _, key := range many {
		roles = append(roles, fmt.Sprintf(`{"name":%q,"topologyRequired":%q}`, key, key))
	}
	_, invalid := readRoles(1, "["+strings.Join(roles, ",")+"]")
	require.NotNil(t, invalid)
	assert.Contains(t, invalid.Message, `"example.com/k8" is one more node label key than the 8 that a gang may name as levels`)
}

// What a gang names leaves nothing behind in the cluster: the next gang sees the levels
// of the cluster alone.
func TestLevels_AKeyLivesAsLongAsItsPlan(t *testing.T) {
	nodes := infos(labelled("n1 rack=r1 example.com/room=a", "n2 rack=r1 example.com/room=b")...)
	c := NewCluster(DefaultLevels())
	require.NoError(t, c.UpdateNodes(nodes))
	tree := c.Usage().Tree
	spec, invalid := readTermsOf("topology-required", "example.com/room")
	require.Nil(t, invalid)
	m, err := c.ReadGang(spec, []*v1.Pod{pod("g-0", 8)}, nil, nodes)
	require.NoError(t, err)
	assert.Len(t, m.Tree.Levels, len(DefaultLevels())+1)
	assert.Same(t, tree, c.Usage().Tree)
	assert.Equal(t, DefaultLevels().LevelNames(), tree.Levels)
	assert.Len(t, DefaultLevels(), len(c.levels))
}

func readTermsOf(terms ...string) (*Spec, *Invalid) {
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "label~g"}}
	d := &Declaration{Terms: map[string]Term{}}
	for i := 0; i < len(terms); i += 2 {
		d.Terms["muster.sh/"+terms[i]] = Term{Value: terms[i+1]}
	}
	return ReadSpec(pg, d, DefaultLevels())
}

// Four nodes of one NVLink domain under two leaf switches.
func TestLevels_CliquesOverLeaves(t *testing.T) {
	nodes := labelled(
		"n1 rack=leaf-1 nvidia.com/gpu.clique=u.1", "n2 rack=leaf-1 nvidia.com/gpu.clique=u.1", "n3 rack=leaf-1 nvidia.com/gpu.clique=u.2", "n4 rack=leaf-1",
		"n5 rack=leaf-2 nvidia.com/gpu.clique=u.1", "n6 rack=leaf-2 nvidia.com/gpu.clique=u.1", "n7 rack=leaf-2 nvidia.com/gpu.clique=u.2", "n8 rack=leaf-2",
	)
	for name, test := range map[string]struct {
		count int
		terms []string
		want  string
	}{
		"required":                      {4, []string{"topology-required", "clique"}, "u.1: n1 n2 n5 n6"},
		"the leaf is another hierarchy": {4, []string{"topology-required", "rack"}, "leaf-1: n1 n2 n3 n4"},
		"required one, preferred other": {2, []string{"topology-required", "rack", "topology-preferred", "clique"}, "u.1: n1 n2"},
		"the other way round":           {2, []string{"topology-required", "clique", "topology-preferred", "rack"}, "leaf-1: n1 n2"},
		"preferred, then the leaf":      {3, []string{"topology-preferred", "clique"}, "u.1: n1 n2 n5"},
		"slices":                        {4, []string{"slice-size", "2", "slice-topology", "clique"}, "cluster: n1 n2 n5 n6"},
		"too many":                      {5, []string{"topology-required", "clique"}, "gang g needs 5 pods in one clique; the largest, u.1, would hold 4 if it were empty"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, planOf(t, DefaultLevels(), nodes, test.count, test.terms...))
		})
	}
	own := Levels{{Name: "leaf", Keys: []string{"topology.kubernetes.io/rack"}}, {Name: "nvl", Keys: []string{"nvidia.com/gpu.clique"}}}
	assert.Equal(t, "u.1: n1 n2 n5 n6", planOf(t, own.WithHierarchies(), nodes, 4, "topology-required", "nvl"), "known by its key")
}

// The labels of the schemes in use, each with its source; the closest domain first.
func TestDefaultLevels_KnowTheSchemesInUse(t *testing.T) {
	for _, scheme := range []struct {
		source string
		labels []string
		want   []string // datacenter, block, rack, clique
	}{
		{"NVIDIA/topograph 0.5, node labels", []string{"network.topology.nvidia.com/accelerator", "network.topology.nvidia.com/leaf", "network.topology.nvidia.com/spine", "network.topology.nvidia.com/core"}, []string{"3", "2", "1", "0"}},
		{"NVIDIA/topograph 1.0.0, docs/reference/node-labels.md", []string{"accelerator.topograph.run/domain", "fabric.topograph.run/tier-0", "fabric.topograph.run/tier-1", "fabric.topograph.run/tier-2"}, []string{"3", "2", "1", "0"}},
		{"Amazon EC2 instance topology on EKS", []string{"topology.k8s.aws/ultraserver-id", "topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-2", "topology.k8s.aws/network-node-layer-1"}, []string{"3", "2", "1", "0"}},
		{"oracle-quickstart/oci-hpc-oke", []string{"oci.oraclecloud.com/host.gpu_memory_fabric_id", "oci.oraclecloud.com/rdma.local_block_id", "oci.oraclecloud.com/rdma.network_block_id", "oci.oraclecloud.com/rdma.hpc_island_id"}, []string{"3", "2", "1", "0"}},
		{"coreweave/nccl-tests", []string{"ds.coreweave.com/nvlink.domain", "backend.coreweave.cloud/leafgroup", "backend.coreweave.cloud/superpod", "backend.coreweave.cloud/fabric"}, []string{"3", "2", "1", "0"}},
		{"Google's compact placement, kueue samples", []string{"", "cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-block"}, []string{"", "2", "1", ""}},
	} {
		n := node("n", "", 8)
		n.Labels = map[string]string{}
		for i, key := range scheme.labels {
			if key != "" {
				n.Labels[key] = fmt.Sprint(i)
			}
		}
		assert.Equal(t, scheme.want, DefaultLevels().NodeDomains(n)[1:5], scheme.source)
	}
	nodes := labelled(
		"n1 fabric.topograph.run/tier-0=leaf-0 accelerator.topograph.run/domain=nvl accelerator.topograph.run/sub-domain=nvl.rack0",
		"n2 fabric.topograph.run/tier-0=leaf-1 accelerator.topograph.run/domain=nvl accelerator.topograph.run/sub-domain=nvl.rack1",
		"n3 fabric.topograph.run/tier-0=leaf-1 accelerator.topograph.run/domain=nvl accelerator.topograph.run/sub-domain=nvl.rack1",
	)
	assert.Equal(t, "leaf-1: n2 n3", planOf(t, DefaultLevels(), nodes, 2, "topology-required", "rack"))
	assert.Equal(t, "nvl: n1 n2 n3", planOf(t, DefaultLevels(), nodes, 3, "topology-required", "accelerator"))
	assert.Equal(t, "nvl.rack1: n2 n3", planOf(t, DefaultLevels(), nodes, 2, "topology-required", "accelerator.topograph.run/sub-domain"))
	nodes = labelled("n1 cloud.google.com/gce-topology-host=h1", "n2 cloud.google.com/gce-topology-host=h1")
	assert.Equal(t, "h1: n1 n2", planOf(t, DefaultLevels(), nodes, 2, "topology-required", "cloud.google.com/gce-topology-host"))
}

// Whether a hierarchy is a tree of its own shows on the nodes.
func TestLevels_CrossingLevels(t *testing.T) {
	levels := Levels{
		{Name: "block", Keys: []string{"block"}}, {Name: "rack", Keys: []string{"rack"}},
		{Name: "clique", Keys: []string{"clique"}, Hierarchy: "nvlink"}, {Name: "host", Keys: []string{v1.LabelHostname}},
	}
	for name, test := range map[string]struct {
		rows  [][]string
		cross bool
	}{
		"cliques in racks":                      {[][]string{{"a", "1", "x", "n1"}, {"a", "1", "x", "n2"}, {"a", "2", "y", "n3"}}, false},
		"two cliques in one rack":               {[][]string{{"a", "1", "x", "n1"}, {"a", "1", "y", "n2"}}, false},
		"one clique over two racks":             {[][]string{{"a", "1", "x", "n1"}, {"a", "2", "x", "n2"}}, true},
		"one clique over racks of one name":     {[][]string{{"a", "1", "x", "n1"}, {"b", "1", "x", "n2"}}, true},
		"a node of a clique without a rack":     {[][]string{{"a", "1", "x", "n1"}, {"a", "", "x", "n2"}}, true},
		"nodes without a clique, in and out":    {[][]string{{"a", "1", "", "n1"}, {"a", "2", "", "n2"}, {"a", "2", "x", "n3"}}, false},
		"no node has one":                       {[][]string{{"a", "1", "", "n1"}, {"a", "2", "", "n2"}}, false},
		"one clique in racks that are not told": {[][]string{{"", "", "x", "n1"}, {"", "", "x", "n2"}}, false},
	} {
		assert.Equal(t, test.cross, len(levels.CrossingLevels(test.rows)) > 0, name)
	}
	around := Levels{levels[0], levels[2], levels[1]}
	assert.Empty(t, around.CrossingLevels([][]string{{"a", "x", "1"}, {"a", "x", "2"}}), "racks in cliques")
	assert.NotEmpty(t, around.CrossingLevels([][]string{{"a", "x", "1"}, {"a", "y", "1"}}), "a rack over two cliques")
}
