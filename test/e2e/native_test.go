// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	alphaapi "k8s.io/api/scheduling/v1alpha3"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const zoneWord = "topology.kubernetes.io/zone"

// TestNative has groups of Kubernetes' own on a real API server. It does not run in
// parallel with other tests: it needs feature gates, and those are of the whole
// process.
func TestNative(t *testing.T) {
	if os.Getenv(apiServer) != "" {
		t.Skip("Kubernetes serves these groups from 1.37 on")
	}
	box := startSandbox(t, sandbox.Options{CompositePodGroup: true, DisableControllers: true})
	t.Run("by one scheduler", func(t *testing.T) {
		startQuickScheduler(t, box)
		t.Run("basic", func(t *testing.T) { basicGroupsKeepTheirLevel(t, box) })
		t.Run("groups of groups", func(t *testing.T) { groupsStartTogether(t, box) })
		t.Run("preemption", func(t *testing.T) { groupsArePreemptedAsOne(t, box) })
		t.Run("groups one by one", func(t *testing.T) { groupsComeOneByOne(t, box) })
		t.Run("upstream", func(t *testing.T) { followUpstream(t, box) })
		t.Run("pods before their groups", func(t *testing.T) { podsComeBeforeTheirGroups(t, box) })
	})
	t.Run("a restart", func(t *testing.T) { groupsSurviveARestart(t, box) })
}

// member puts a pod into a group of Kubernetes' own.
func member(group string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group} }
}

// native creates a group of Kubernetes' own, by the policy basic unless a change
// says otherwise.
func (c *cluster) native(name, level string, changes ...func(*schedulingapi.PodGroupSpec)) {
	c.t.Helper()
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pg.Spec.SchedulingPolicy.Basic = &schedulingapi.BasicSchedulingPolicy{}
	if level != "" {
		pg.Spec.SchedulingConstraints = &schedulingapi.PodGroupSchedulingConstraints{Topology: []schedulingapi.TopologyConstraint{{Key: level}}}
	}
	for _, change := range changes {
		change(&pg.Spec)
	}
	_, err := c.client.SchedulingV1beta1().PodGroups(c.namespace).Create(background, pg, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// wave is pods of a group that are created at one time.
type wave struct {
	// asks is the number of GPUs that each asks for.
	asks []int64
	// bound is how many pods of the group have a node in the end, and waits is why
	// the others have none.
	bound int
	waits kube.Reason
	// frees is a pod that is deleted before.
	frees string
}

// basicGroup is a group of the policy basic that is held by one domain of a level.
type basicGroup struct {
	level string
	waves []wave
	// domain is that which has to hold it, "" for any one.
	domain string
}

// basicGroupsKeepTheirLevel follows what kube-scheduler's own tests of topology
// and the policy basic expect. Source: kubernetes v1.37.2,
// test/integration/scheduler/podgroup/topology_aware_scheduling/tas_test.go. A
// node has 8 GPUs, which two pods fill that ask for 4. Where the racks lie in several
// zones Muster chooses the zone first, so that those which are to be compared are
// in one.
func basicGroupsKeepTheirLevel(t *testing.T, box *sandbox.Sandbox) {
	two, three := []int64{4, 4}, []int64{4, 4, 4}
	whole := func(level, domain string, asks []int64) basicGroup {
		return basicGroup{level, []wave{{asks: asks, bound: len(asks)}}, domain}
	}
	for _, test := range []struct {
		name string
		// racks has the number of nodes of each rack, by zones.
		racks string
		// held is what pods outside the groups have of a node's GPUs.
		held   map[string]int64
		groups []basicGroup
	}{
		{"the only rack", "2", nil, []basicGroup{whole(rackWord, "rack-0", three)}},
		{"one of several racks", "2,2 2", nil, []basicGroup{whole(rackWord, "", three)}},
		{"more pods than a rack holds", "1,1", nil, []basicGroup{{level: rackWord, waves: []wave{{asks: three, bound: 2, waits: kube.NoFittingDomain}}}}},
		{"pods that fit nowhere", "1,1", nil, []basicGroup{{level: rackWord, waves: []wave{{asks: []int64{12, 12}, waits: kube.GangTooLarge}}}}},
		{"one pod that fits nowhere", "1,1", nil, []basicGroup{{level: rackWord, waves: []wave{{asks: []int64{12, 4}, bound: 1, waits: kube.NoFittingDomain}}}}},
		{"the smaller of two racks", "2 3", nil, []basicGroup{whole(rackWord, "rack-0", three)}},
		{"the fullest of three racks", "3,3,4", map[string]int64{"n0": 4, "n4": 4, "n5": 4}, []basicGroup{whole(rackWord, "rack-1", three)}},
		{"the first pod chooses for the others", "4,1", map[string]int64{"n0": 8}, []basicGroup{
			{rackWord, []wave{{asks: []int64{4}, bound: 1}, {asks: two, bound: 2, waits: kube.NoFittingDomain}}, "rack-1"},
		}},
		{"two groups, a rack for each", "3,1", nil, []basicGroup{whole(rackWord, "rack-1", two), whole(rackWord, "rack-0", two)}},
		{"two groups in the only rack", "3", nil, []basicGroup{whole(rackWord, "rack-0", two), whole(rackWord, "rack-0", three)}},
		{"two groups of different levels", "1 2,2", nil, []basicGroup{whole(rackWord, "rack-0", two), whole(zoneWord, "zone-1", []int64{8, 8, 8})}},
		{"two groups, of which one does not fit its rack", "2,1", nil, []basicGroup{
			{rackWord, []wave{{asks: []int64{4}, bound: 1}, {asks: two, bound: 2, waits: kube.NoFittingDomain}}, "rack-1"},
			whole(rackWord, "rack-0", three),
		}},
		{"room that comes later", "1,1", map[string]int64{"n0": 4}, []basicGroup{
			{rackWord, []wave{{asks: []int64{4}, bound: 1}, {asks: []int64{4}, bound: 1, waits: kube.NoFittingDomain}, {frees: "held-n0", bound: 2}}, "rack-0"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := on(t, box, zones(test.racks)...)
			for node, gpus := range test.held {
				c.create(pod("held-"+node, gpus, func(p *v1.Pod) { p.Spec.NodeName = node }))
			}
			for i, g := range test.groups {
				c.checkBasic(fmt.Sprint("g", i), g)
			}
		})
	}
}

// zones builds nodes of eight GPUs: "2,1 3" is a zone of a rack of two nodes and
// one of one, and a zone of a rack of three.
func zones(text string) []*v1.Node {
	var nodes []*v1.Node
	rack := 0
	for z, zone := range strings.Fields(text) {
		for size := range strings.SplitSeq(zone, ",") {
			var count int
			_, _ = fmt.Sscan(size, &count)
			for range count {
				nodes = append(nodes, node(fmt.Sprint("n", len(nodes)), map[string]string{rackWord: fmt.Sprint("rack-", rack), zoneWord: fmt.Sprint("zone-", z)}, 8))
			}
			rack++
		}
	}
	return nodes
}

// checkBasic creates a group and its pods, and checks after each wave how many of
// them have a node and why the others have none.
func (c *cluster) checkBasic(name string, g basicGroup) {
	c.t.Helper()
	c.native(name, g.level)
	created := 0
	for _, w := range g.waves {
		if w.frees != "" {
			c.remove(w.frees)
		}
		for _, gpus := range w.asks {
			c.create(pod(fmt.Sprintf("%s-%d", name, created), gpus, member(name)))
			created++
		}
		bound := c.awaitBound(name, w.bound)
		if w.waits != "" {
			c.awaitUnbound(name, created-w.bound, w.waits)
			bound = c.awaitBound(name, w.bound)
		}
		if w.bound == 0 {
			continue
		}
		domains := c.domains(bound, g.level)
		assert.Len(c.t, domains, 1, "%v", bound)
		if g.domain != "" {
			assert.Contains(c.t, domains, g.domain, "%v", bound)
		}
	}
}

// awaitUnbound waits until so many pods of a gang have no node and say the reason.
func (c *cluster) awaitUnbound(gang string, count int, reason kube.Reason) {
	c.t.Helper()
	ok := assert.Eventually(c.t, func() bool {
		waiting := slices.DeleteFunc(c.pods(gang+"-"), func(p v1.Pod) bool { return p.Spec.NodeName != "" || !says(&p, reason, nil) })
		return len(waiting) == count
	}, patience, poll, "%d pods of %s have to say %s", count, gang, reason)
	if !ok {
		for _, p := range c.pods(gang + "-") {
			c.t.Logf("pod %s on %q: %v", p.Name, p.Spec.NodeName, p.Status.Conditions)
		}
		c.t.FailNow()
	}
}

// composite creates a CompositePodGroup that needs so many of its groups, 0 for the
// policy basic, and with it the Workload that all of them are made from.
func (c *cluster) composite(name, parent, level string, groups int32, changes ...func(*alphaapi.CompositePodGroupSpec)) {
	c.t.Helper()
	group := &alphaapi.CompositePodGroup{ObjectMeta: metav1.ObjectMeta{Name: name}}
	group.Spec.WorkloadRef = &alphaapi.WorkloadReference{WorkloadName: "w", TemplateName: "t"}
	if parent != "" {
		group.Spec.ParentCompositePodGroupName = &parent
	}
	if level != "" {
		group.Spec.SchedulingConstraints = &alphaapi.CompositePodGroupSchedulingConstraints{Topology: []alphaapi.TopologyConstraint{{Key: level}}}
	}
	if groups > 0 {
		group.Spec.SchedulingPolicy.Gang = &alphaapi.CompositeGangSchedulingPolicy{MinGroupCount: groups}
	} else {
		group.Spec.SchedulingPolicy.Basic = &alphaapi.CompositeBasicSchedulingPolicy{}
	}
	for _, change := range changes {
		change(&group.Spec)
	}
	_, err := c.client.SchedulingV1alpha3().CompositePodGroups(c.namespace).Create(background, group, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// under puts a PodGroup under a CompositePodGroup.
func under(parent string) func(*schedulingapi.PodGroupSpec) {
	return func(spec *schedulingapi.PodGroupSpec) {
		spec.ParentCompositePodGroupName = &parent
		spec.WorkloadRef = &schedulingapi.WorkloadReference{WorkloadName: "w", TemplateName: "t"}
	}
}

// atLeast has so many pods of a PodGroup start together.
func atLeast(count int32) func(*schedulingapi.PodGroupSpec) {
	return func(spec *schedulingapi.PodGroupSpec) {
		spec.SchedulingPolicy = schedulingapi.PodGroupSchedulingPolicy{Gang: &schedulingapi.GangSchedulingPolicy{MinCount: count}}
	}
}

// members builds pods of PodGroups, named after them: "a:2 b:1".
func members(text string, gpus int64) []*v1.Pod {
	var pods []*v1.Pod
	for word := range strings.FieldsSeq(text) {
		group, size, _ := strings.Cut(word, ":")
		var count int
		_, _ = fmt.Sscan(size, &count)
		for i := range count {
			pods = append(pods, pod(fmt.Sprint(group, "-", i), gpus, member(group)))
		}
	}
	return pods
}

// scheduled returns the condition that says whether a PodGroup was scheduled, in
// short.
func (c *cluster) scheduled(group string) string {
	pg, err := c.client.SchedulingV1beta1().PodGroups(c.namespace).Get(background, group, metav1.GetOptions{})
	if !assert.NoError(c.t, err) {
		return ""
	}
	return conditionText(pg.Status.Conditions, schedulingapi.PodGroupInitiallyScheduled)
}

// compositeScheduled does the same for a CompositePodGroup.
func (c *cluster) compositeScheduled(group string) string {
	composite, err := c.client.SchedulingV1alpha3().CompositePodGroups(c.namespace).Get(background, group, metav1.GetOptions{})
	if !assert.NoError(c.t, err) {
		return ""
	}
	return conditionText(composite.Status.Conditions, "CompositePodGroupInitiallyScheduled")
}

func conditionText(conditions []metav1.Condition, kind string) string {
	for _, condition := range conditions {
		if condition.Type == kind {
			return string(condition.Status) + " " + condition.Reason
		}
	}
	return ""
}

// groupsStartTogether has groups of groups meet room for all of them, or not.
func groupsStartTogether(t *testing.T, box *sandbox.Sandbox) {
	for _, test := range []struct {
		name string
		// nodes are those of zones.
		nodes  string
		groups func(*cluster)
		pods   string
		// bound lists the PodGroups whose pods have to start, each with the level that
		// holds it; the pods of the others wait for the reason, with these words.
		bound   map[string]string
		waiting []string
		reason  kube.Reason
		words   string
	}{
		{name: "room for one of two", nodes: "1", groups: func(c *cluster) {
			c.composite("root", "", "", 2)
			c.native("a", "", under("root"), atLeast(2))
			c.native("b", "", under("root"), atLeast(2))
		}, pods: "a:2 b:2", waiting: []string{"a", "b"}, reason: kube.GangTooLarge, words: "gang root needs 4 pods"},
		{name: "room for both", nodes: "2", groups: func(c *cluster) {
			c.composite("root", "", "", 2)
			c.native("a", "", under("root"), atLeast(2))
			c.native("b", "", under("root"), atLeast(2))
		}, pods: "a:2 b:2", bound: map[string]string{"a": "", "b": ""}},
		{name: "one domain for both", nodes: "1,2", groups: func(c *cluster) {
			c.composite("root", "", rackWord, 2)
			c.native("a", "", under("root"), atLeast(2))
			c.native("b", "", under("root"), atLeast(1))
		}, pods: "a:2 b:1", bound: map[string]string{"a": rackWord, "b": rackWord}},
		{name: "a domain for each", nodes: "1 1,1", groups: func(c *cluster) {
			c.composite("root", "", zoneWord, 2)
			c.native("a", rackWord, under("root"), atLeast(2))
			c.native("b", rackWord, under("root"), atLeast(2))
		}, pods: "a:2 b:2", bound: map[string]string{"a": rackWord, "b": rackWord}},
		{name: "groups in groups", nodes: "1 1,2", groups: func(c *cluster) {
			c.composite("root", "", zoneWord, 2)
			c.composite("x", "root", "", 2)
			c.native("a", rackWord, under("x"), atLeast(2))
			c.native("b", rackWord, under("x"), atLeast(2))
			c.native("c", "", under("root"), atLeast(2))
		}, pods: "a:2 b:2 c:2", bound: map[string]string{"a": rackWord, "b": rackWord, "c": zoneWord}},
		{name: "groups that start on their own", nodes: "1", groups: func(c *cluster) {
			c.composite("root", "", "", 0)
			c.native("a", "", under("root"), atLeast(2))
			c.native("b", "", under("root"), atLeast(3))
		}, pods: "a:2 b:3", bound: map[string]string{"a": ""}, waiting: []string{"b"}, reason: kube.GangTooLarge},
		{name: "a group that is still to come", nodes: "2", groups: func(c *cluster) {
			c.composite("root", "", "", 2)
			c.native("a", "", under("root"), atLeast(2))
		}, pods: "a:2", waiting: []string{"a"}, reason: kube.GangIncomplete, words: "CompositePodGroup root has 1 of the 2 groups that must start together"},
		{name: "a pod that is still to come", nodes: "2", groups: func(c *cluster) {
			c.composite("root", "", "", 2)
			c.native("a", "", under("root"), atLeast(2))
			c.native("b", "", under("root"), atLeast(2))
		}, pods: "a:2 b:1", waiting: []string{"a", "b"}, reason: kube.GangIncomplete, words: "gang root has 3 of the 4 pods"},
		{name: "a parent that is not there", nodes: "2", groups: func(c *cluster) {
			c.native("a", "", under("root"), atLeast(2))
		}, pods: "a:2", waiting: []string{"a"}, reason: kube.GangNotFound, words: "there is none in namespace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := on(t, box, zones(test.nodes)...)
			test.groups(c)
			c.create(members(test.pods, 4)...)
			for group, level := range test.bound {
				size := strings.Split(test.pods[strings.Index(test.pods, group+":"):], " ")[0]
				var count int
				_, _ = fmt.Sscan(strings.TrimPrefix(size, group+":"), &count)
				bound := c.awaitBound(group, count)
				if level != "" {
					assert.Len(t, c.domains(bound, level), 1, "%v", bound)
				}
				require.Eventually(t, func() bool { return c.scheduled(group) == "True Scheduled" }, patience, poll, "the status of %s", group)
			}
			for _, group := range test.waiting {
				c.awaitReason(group, test.reason, test.words)
				c.stayPending(group, ask(gpu, 0))
				require.Eventually(t, func() bool { return c.scheduled(group) == "False "+string(test.reason) }, patience, poll, "the status of %s: %s", group, c.scheduled(group))
			}
			if len(test.waiting) == 0 {
				require.Eventually(t, func() bool { return c.compositeScheduled("root") == "True Scheduled" }, patience, poll, "the status of root")
			}
		})
	}
}

// podsComeBeforeTheirGroups has pods wait for the groups that they are in, and those
// for the groups above.
func podsComeBeforeTheirGroups(t *testing.T, box *sandbox.Sandbox) {
	c := on(t, box, zones("2")...)
	c.create(members("a:2 b:2", 4)...)
	c.awaitReason("a", kube.GangNotFound, "there is no PodGroup a")
	c.native("a", "", under("root"), atLeast(2))
	c.native("b", "", under("root"), atLeast(2))
	c.awaitReason("b", kube.GangNotFound, `under the CompositePodGroup "root"`)
	c.composite("root", "", "", 2)
	c.awaitBound("a", 2)
	c.awaitBound("b", 2)
}

// groupsComeOneByOne has a gang of groups wait for the second of them, and take in a
// third one, whole and beside the others, when it runs.
func groupsComeOneByOne(t *testing.T, box *sandbox.Sandbox) {
	c := on(t, box, zones("3,4")...)
	c.composite("root", "", rackWord, 2)
	c.native("a", "", under("root"), atLeast(2))
	c.create(members("a:2", 4)...)
	c.awaitReason("a", kube.GangIncomplete, "has 1 of the 2 groups")
	c.native("b", "", under("root"), atLeast(2))
	c.create(members("b:2", 4)...)
	c.awaitBound("a", 2)
	c.awaitBound("b", 2)

	c.native("c", "", under("root"), atLeast(2))
	third := members("c:2", 4)
	c.create(third[0])
	c.awaitReason("c", kube.GangIncomplete)
	c.stayPending("c", ask(gpu, 0))
	c.create(third[1])
	all := c.awaitBound("c", 2)
	maps.Copy(all, c.bound("a"))
	maps.Copy(all, c.bound("b"))
	assert.Len(t, all, 6)
	assert.Len(t, c.domains(all, rackWord), 1, "%v", all)

	c.native("d", "", under("root"), atLeast(2))
	c.create(members("d:2", 4)...)
	c.awaitReason("d", kube.NoFittingDomain)
	c.stayPending("d", ask(gpu, 0))
}

// groupsSurviveARestart has a gang of groups lose a member while no scheduler runs. The
// next one knows the others as members, and starts it beside them.
func groupsSurviveARestart(t *testing.T, box *sandbox.Sandbox) {
	c := on(t, box, zones("2,2")...)
	first := startQuickScheduler(t, box)
	c.composite("root", "", rackWord, 2)
	c.native("a", "", under("root"), atLeast(2))
	c.native("b", "", under("root"), atLeast(2))
	c.create(members("a:2 b:2", 4)...)
	before := c.awaitBound("a", 2)
	c.awaitBound("b", 2)
	require.NoError(t, first.Terminate())
	c.remove("b-1")
	require.Eventually(t, func() bool { return len(c.pods("b-")) == 1 }, patience, poll)
	c.create(members("b:2", 4)[1])
	startQuickScheduler(t, box)
	bound := c.awaitBound("b", 2)
	maps.Copy(bound, c.bound("a"))
	assert.Len(t, c.domains(bound, rackWord), 1, "%v", bound)
	assert.Equal(t, before, c.bound("a"))
}

// groupsArePreemptedAsOne has a gang of groups of low priority meet one of high
// priority that needs room of one of its groups: none of it is left to hold the rest.
// One that would still lack room takes nothing.
func groupsArePreemptedAsOne(t *testing.T, box *sandbox.Sandbox) {
	c := on(t, box, zones("2")...)
	c.classes()
	start := func(root, class string, groups ...string) {
		c.composite(root, "", "", 2, func(spec *alphaapi.CompositePodGroupSpec) { spec.PriorityClassName = class })
		for _, group := range groups {
			name, size, _ := strings.Cut(group, ":")
			var count int32
			_, _ = fmt.Sscan(size, &count)
			c.native(name, "", under(root), atLeast(count), func(spec *schedulingapi.PodGroupSpec) { spec.PriorityClassName = class })
			pods := members(group, 4)
			for _, p := range pods {
				priority(class)(p)
			}
			c.create(pods...)
		}
	}
	start("low", "low", "a:2", "b:2")
	c.awaitBound("a", 2)
	c.awaitBound("b", 2)
	start("huge", "high", "x:3", "y:2")
	c.awaitReason("x", kube.GangTooLarge)
	assert.Len(t, append(c.pods("a-"), c.pods("b-")...), 4, "nobody dies for a gang that cannot run")
	start("high", "high", "d:1", "e:1")
	c.awaitBound("d", 1)
	c.awaitBound("e", 1)
	assert.Empty(t, append(c.pods("a-"), c.pods("b-")...), "no group is left without the other")
}
