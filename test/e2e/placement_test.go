// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestPlacement_Slices(t *testing.T) {
	c := newCluster(t, fabric("5,3 3,3+2 | 3,3+1 5,3")...)
	layers := func(sizes, levels string) func(*v1.Pod) {
		return both(annotation(kube.AnnotationSliceSize, sizes), annotation(kube.AnnotationSliceTopology, levels))
	}

	c.create(gangPods("nested", 16, "16", layers("8,4,2", "block,rack,clique"))...)
	bound := c.awaitBound("nested", 16)
	assert.True(t, c.shares(bound, blockKey, 8), "%v", bound)
	assert.True(t, c.shares(bound, rackKey, 4), "%v", bound)
	assert.True(t, c.shares(bound, cliqueKey, 2), "%v", bound)
	c.empty()

	c.create(gangPods("wide", 12, "12", layers("4,4", "rack,clique"))...)
	c.awaitReason("wide", kube.GangTooLarge, "gang wide needs 12 pods, every 4 in one rack, every 4 in one clique", "would hold 11 if it were empty")
	c.empty()

	preferred := func(size string) func(*v1.Pod) {
		return both(annotation(kube.AnnotationSliceSize, size), annotation(kube.AnnotationSliceTopologyPreferred, "clique"))
	}
	c.create(gangPods("wish", 8, "8", preferred("4"))...)
	assert.True(t, c.shares(c.awaitBound("wish", 8), cliqueKey, 4), "two cliques hold four each")
	c.empty()
	c.create(gangPods("wish", 16, "16", preferred("4"))...)
	bound = c.awaitBound("wish", 16)
	assert.False(t, c.shares(bound, cliqueKey, 4), "there are no four such cliques")
	c.empty()

	c.create(gangPods("odd", 7, "7", annotation(kube.AnnotationTopologyRequired, "rack"), layers("3", "clique"))...)
	bound = c.awaitBound("odd", 7)
	assert.True(t, c.shares(bound, rackKey, 7) && c.shares(bound, cliqueKey, 3), "the last slice has one pod: %v", bound)
}

func TestPlacement_BalancesOverDomainsWithSpares(t *testing.T) {
	c := newCluster(t, fabric("9,9")...)
	c.create(gangPods("large", 12, "12")...)
	assert.Equal(t, []int{6, 6}, c.sizes(c.awaitBound("large", 12), cliqueKey), "not nine and three")
	c.empty()
	c.create(gangPods("sliced", 16, "16", annotation(kube.AnnotationSliceSize, "8"), annotation(kube.AnnotationSliceTopology, "clique"))...)
	assert.Equal(t, []int{8, 8}, c.sizes(c.awaitBound("sliced", 16), cliqueKey), "each keeps its spare")
}

// The index of a controller, whichever it is, becomes the order in the fabric.
func TestPlacement_NeighboursInRankAreNeighboursInTheFabric(t *testing.T) {
	c := newCluster(t, fabric("3,3 3,3 | 3,3 3,3")...)
	one := func(key string) func(i int) map[string]string {
		return func(i int) map[string]string { return map[string]string{key: strconv.Itoa(i)} }
	}
	two := func(group, index string) func(i int) map[string]string {
		return func(i int) map[string]string {
			return map[string]string{group: strconv.Itoa(i / 4), index: strconv.Itoa(i % 4)}
		}
	}
	for name, labels := range map[string]func(i int) map[string]string{
		"job":         one("batch.kubernetes.io/job-completion-index"),
		"statefulset": one("apps.kubernetes.io/pod-index"),
		"kubeflow":    one("training.kubeflow.org/replica-index"),
		"lws":         two("leaderworkerset.sigs.k8s.io/group-index", "leaderworkerset.sigs.k8s.io/worker-index"),
		"jobset":      two("jobset.sigs.k8s.io/job-global-index", "batch.kubernetes.io/job-completion-index"),
		"ray":         two("ray.io/worker-group-replica-index", "ray.io/replica-host-index"),
		"name":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := *c
			c.t = t
			const count = 20
			var pods []*v1.Pod
			rank := map[string]int{}
			for i := range count {
				p := pod(fmt.Sprintf("%s-%d", name, i), 8, label(kube.LabelGang, name), annotation(kube.AnnotationMinCount, strconv.Itoa(count)))
				if labels != nil { // a name that says nothing
					p.Name = fmt.Sprintf("%s-%c%cx", name, 'a'+i*7%count, 'a'+i)
					maps.Copy(p.Labels, labels(i))
				}
				rank[p.Name] = i
				pods = append(pods, p)
			}
			slices.SortFunc(pods, func(a, b *v1.Pod) int { return cmp.Compare(a.Name, b.Name) })
			c.create(pods...)
			bound := c.awaitBound(name, count)
			order := make([]string, count)
			for p, node := range bound {
				order[rank[p]] = node
			}
			for _, key := range []string{blockKey, rackKey, cliqueKey} {
				assert.Equal(t, len(c.domains(bound, key)), c.runs(order, key), "each %s holds one run of ranks", key)
			}
			c.empty()
		})
	}
}

func TestPlacement_Roles(t *testing.T) {
	c := newCluster(t, fabric("4,4 4,4")...)
	roles := annotation(kube.AnnotationRoles, `[
		{"name": "launcher", "selector": {"matchLabels": {"role": "launcher"}}, "minCount": 1, "beside": "worker"},
		{"name": "server", "selector": {"matchLabels": {"role": "server"}}, "minCount": 3, "topologyRequired": "rack"},
		{"name": "worker", "minCount": 4, "topologyPreferred": "rack", "slices": [{"size": 2, "topology": "clique"}]}]`)
	gang := both(label(kube.LabelGang, "mix"), annotation(kube.AnnotationMinCount, "8"), roles)
	pods := []*v1.Pod{pod("mix-l-0", 0, gang, label("role", "launcher"), ask(v1.ResourceCPU, 1))}
	for i := range 3 {
		pods = append(pods, pod(fmt.Sprintf("mix-s-%d", i), 4, gang, label("role", "server")))
	}
	for i := range 4 {
		pods = append(pods, pod(fmt.Sprintf("mix-w-%d", i), 8, gang, label("role", "worker")))
	}
	c.create(pods[:7]...)
	c.awaitReason("mix", kube.GangIncomplete)
	c.create(pods[7])
	c.awaitBound("mix", 8)
	workers, servers := c.bound("mix-w"), c.bound("mix-s")
	assert.True(t, c.shares(workers, cliqueKey, 2), "%v", workers)
	assert.Len(t, c.domains(workers, rackKey), 1)
	assert.Len(t, c.domains(servers, rackKey), 1)
	assert.Equal(t, workers["mix-w-0"], c.bound("mix-l")["mix-l-0"], "the launcher stands beside rank 0")
}

func TestPlacement_ElasticGangsGrowInTheirDomain(t *testing.T) {
	c := newCluster(t, fabric("4 6")...)
	inRack := annotation(kube.AnnotationTopologyRequired, "rack")
	c.create(gangPods("filler", 3, "3", inRack)...) // leaves one node of the small rack
	c.awaitBound("filler", 3)
	c.create(gangPods("elastic", 7, "2", inRack, annotation(kube.AnnotationSliceSize, "3"), annotation(kube.AnnotationSliceTopology, "rack"))...)
	first := c.awaitBound("elastic", 6)
	require.Len(t, c.domains(first, rackKey), 1)
	waits := slices.IndexFunc(c.pods("elastic-"), func(p v1.Pod) bool { return p.Spec.NodeName == "" })
	require.GreaterOrEqual(t, waits, 0)
	c.awaitPending(c.pods("elastic-")[waits].Name, kube.NoFittingDomain, "needs 7 pods in one rack, every 3 in one rack; r1, where 6 of them run, has room for 6", "8 more nvidia.com/gpu must be free there")

	for name := range first {
		c.remove(name)
		break
	}
	require.Eventually(t, func() bool { return len(c.pods("elastic-")) == 6 && len(c.bound("elastic")) == 6 }, patience, poll, "the one that waited joins them")
	late := gangPods("elastic", 9, "2", inRack, annotation(kube.AnnotationSliceSize, "3"), annotation(kube.AnnotationSliceTopology, "rack"))[8]
	c.create(late)
	for name := range c.bound("elastic") {
		c.remove(name)
		break
	}
	require.Eventually(t, func() bool { return c.bound("elastic")[late.Name] != "" }, patience, poll)
	bound := c.awaitBound("elastic", 6)
	assert.Len(t, c.domains(bound, rackKey), 1, "those that come later join the others: %v", bound)
}

func TestPlacement_AMemberReturnsToItsPlace(t *testing.T) {
	c := newCluster(t, fabric("3,3 3,3")...)
	layers := both(annotation(kube.AnnotationSliceSize, "4,2"), annotation(kube.AnnotationSliceTopology, "rack,clique"))
	jobs := func(p *v1.Pod) { // numbered like the Jobs of a JobSet, two pods each
		i, _ := strconv.Atoi(p.Name[len("train-"):])
		label("jobset.sigs.k8s.io/job-global-index", strconv.Itoa(i/2))(p)
		label("batch.kubernetes.io/job-completion-index", strconv.Itoa(i%2))(p)
	}
	pods := gangPods("train", 8, "8", layers, jobs)
	c.create(pods...)
	before := c.awaitBound("train", 8)
	for i := range 8 {
		c.remove(pods[i].Name)
		require.Eventually(t, func() bool { return len(c.bound("train")) == 7 }, patience, poll)
		c.create(pods[i])
		assert.Equal(t, before, c.awaitBound("train", 8), "member %d goes back to its node", i)
	}

	// Another member has ended for good: those that are left keep their places.
	c.remove(pods[2].Name, pods[7].Name)
	require.Eventually(t, func() bool { return len(c.bound("train")) == 6 }, patience, poll)
	c.create(pods[7])
	c.awaitPending("train-7", kube.GangIncomplete)
	c.create(pods[2])
	assert.Equal(t, before, c.awaitBound("train", 8))

	// The node of a member is cordoned, its slice has a spare in the same clique.
	c.cordon(before["train-5"], true)
	c.remove(pods[5].Name)
	c.create(pods[5])
	after := c.awaitBound("train", 8)
	assert.NotEqual(t, before["train-5"], after["train-5"])
	assert.True(t, c.shares(after, cliqueKey, 2), "%v", after)

	// Nor is that one there: the gang says so, and what would help.
	c.cordon(after["train-5"], true)
	c.remove(pods[5].Name)
	c.create(pods[5])
	c.awaitPending("train-5", kube.NoFittingDomain, "gang train needs 8 pods, every 4 in one rack, every 2 in one clique; uuid.",
		"where 1 of them runs, has room for 1 (2 nodes cordoned); it would fit if it could use ")
	c.cordon(before["train-5"], false)
	assert.Equal(t, before, c.awaitBound("train", 8))
}

// Nodes move to other racks while gangs wait and while they run.
func TestPlacement_LabelsThatChange(t *testing.T) {
	nodes := fabric("2 2+1")
	c := newCluster(t, nodes...)
	inRack := annotation(kube.AnnotationTopologyRequired, "rack")
	move := func(n *v1.Node, rack string) {
		c.patchNode(n.Name, fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, rackKey, rack))
	}
	pods := gangPods("train", 4, "4", inRack)
	c.create(pods...)
	c.awaitReason("train", kube.GangTooLarge, "the largest, r1, would hold 3")
	move(nodes[0], `"r1"`)
	bound := c.awaitBound("train", 4)
	assert.Equal(t, map[string]int{"r1": 4}, c.domains(bound, rackKey))

	c.remove(pods[1].Name)
	require.Eventually(t, func() bool { return len(c.bound("train")) == 3 }, patience, poll)
	move(nodes[0], `null`) // the node of a running pod is in no rack now
	lost := pods[1]
	if bound[lost.Name] == nodes[0].Name {
		move(nodes[2], `null`)
	}
	c.create(lost)
	c.awaitPending(lost.Name, kube.TopologyDrift, "gang train needs 4 pods in one rack, but its running pods use node", "which is in no rack")
	move(nodes[0], `"r1"`)
	move(nodes[2], `"r1"`)
	assert.Equal(t, bound, c.awaitBound("train", 4))

	c.create(gangPods("cliques", 1, "1", annotation(kube.AnnotationTopologyRequired, cliqueKey))...)
	assert.NotContains(t, c.domains(c.awaitBound("cliques", 1), cliqueKey), "", "a node without the label is in no clique")
}

// Numbers that nobody means are told apart from a cluster that is full, and the
// next gang is not held up.
func TestPlacement_SizesThatMakeNoSense(t *testing.T) {
	c := newCluster(t, fabric("4 4")...)
	texts := []string{"0", "-1", "+4", "4.0", "4e0", "0x4", " ", "", "100001", "2147483648", "9223372036854775808", strings.Repeat("9", 400), "4,", "4,3", "4,2,1,1"}
	for i, text := range texts {
		c.create(gangPods(fmt.Sprintf("bad%02d", i), 2, "2", annotation(kube.AnnotationSliceSize, text), annotation(kube.AnnotationSliceTopology, "rack"))...)
	}
	c.create(gangPods("roles", 1, "1", annotation(kube.AnnotationRoles, `[{"name":"a","slices":[{"size":-4,"topology":"rack"}]}]`))...)
	c.create(gangPods("vast", 2, "2", annotation(kube.AnnotationSliceSize, "100000"), annotation(kube.AnnotationSliceTopology, "rack"))...)
	assert.Len(t, c.domains(c.awaitBound("vast", 2), rackKey), 1, "a slice larger than the gang is the whole gang")
	for i := range texts {
		c.awaitReason(fmt.Sprintf("bad%02d", i), kube.InvalidGangSpec, kube.AnnotationSliceSize)
	}
	c.awaitReason("roles", kube.InvalidGangSpec, "size of a slice: found -4")
}

// TestPlacement_ASinglePodGoesWhereItPrefers has single pods prefer a node each, of nodes
// that are alike: kube-scheduler's own scores count for them.
func TestPlacement_ASinglePodGoesWhereItPrefers(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	for _, node := range []string{"n2", "n3", "n1"} {
		c.create(pod("single-"+node, 8, func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{{
				Weight: 100, Preference: v1.NodeSelectorTerm{MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{node}}}},
			}}}}
		}))
	}
	for name, node := range c.awaitBound("single", 3) {
		assert.Equal(t, "single-"+node, name)
	}
}
