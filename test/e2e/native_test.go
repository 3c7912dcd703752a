// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
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
	startQuickScheduler(t, box)
	t.Run("basic", func(t *testing.T) { basicGroupsKeepTheirLevel(t, box) })
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
