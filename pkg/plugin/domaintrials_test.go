// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// trial is a gang that other plugins refuse wherever it is offered a place.
type trial struct {
	t       *testing.T
	pl      *Plugin
	on      *snapshot
	spec    *kube.Spec
	waiting []*v1.Pod
	now     time.Time
}

// newTrial is a gang of two nodes, with volumes, on three racks of two.
func newTrial(t *testing.T, required, preferred string) *trial {
	pl, on := onRacks(nil, []string{"a1", "a2"}, []string{"b1", "b2"}, []string{"c1", "c2"})
	x := &trial{t: t, pl: pl, on: on, now: time.Unix(1000, 0)}
	pl.gangs.now = func() time.Time { return x.now }
	pl.gangs.groups[queue.GangID("u")] = &schedulingapi.PodGroup{}
	level := func(name string) topology.Level {
		for l, known := range kube.DefaultLevels() {
			if known.Name == name {
				return topology.Level(l)
			}
		}
		return topology.NoLevel
	}
	x.spec = &kube.Spec{Name: "train", UID: "u", MinCount: 2, Required: level(required), Preferred: level(preferred), Levels: kube.DefaultLevels()}
	for _, name := range []string{"p-0", "p-1"} {
		pod := want(name, gpu.Resource, 8)
		pod.Spec.Volumes = []v1.Volume{{VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		x.waiting = append(x.waiting, pod)
	}
	return x
}

// plan plans the gang beside what is remembered; nil for a refusal.
func (x *trial) plan() *gangPlan {
	x.t.Helper()
	p := x.pl.planner
	members, err := p.cluster.ReadGang(x.spec, x.waiting, nil, x.on.nodes)
	require.NoError(x.t, err)
	p.followCluster()
	plan, whole := p.trials.solveElsewhere(p.engine, members, p.trials.trialsOf("u", members))
	require.NoError(x.t, placement.Check(p.cluster.Usage(), &members.Gang, plan))
	if plan.Refusal != nil {
		return nil
	}
	return p.buildPlan(members, plan, whole)
}

// refuse has other plugins refuse the gang in the domains that it is offered, until there
// is no other. It returns the first node of each, and how many nodes they have.
func (x *trial) refuse() (first []string, sizes []int) {
	x.t.Helper()
	for plan := x.plan(); plan != nil; plan = x.plan() {
		first, sizes = append(first, plan.offered.nodes[0]), append(sizes, len(plan.offered.nodes))
		require.Less(x.t, len(first), 10, "it never ends")
		x.pl.planner.trials.add("u", plan)
	}
	return first, sizes
}

func (x *trial) nextRound() []string {
	x.t.Helper()
	x.pl.planner.trials.startRound("u")
	first, _ := x.refuse()
	return first
}

func TestDomainTrials_GoThroughAllDomainsThenWhatChanged(t *testing.T) {
	x := newTrial(t, "rack", "")
	first, sizes := x.refuse()
	assert.ElementsMatch(t, []string{"a1", "b1", "c1"}, first)
	assert.Equal(t, []int{2, 2, 2}, sizes)

	last := first[2]
	assert.Equal(t, []string{last}, x.nextRound(), "nothing changed: the last one alone")

	x.on.nodes[1].(interface{ AddPod(*v1.Pod) }).AddPod(want("other", v1.ResourceCPU, 1))
	assert.Equal(t, []string{"a1"}, x.nextRound(), "a pod came to a2")

	x.pl.gangs.constraintChanges.Add(1)
	assert.ElementsMatch(t, []string{"a1", "b1", "c1"}, x.nextRound(), "a volume changed")

	x.now = x.now.Add(trialLifetime)
	assert.ElementsMatch(t, []string{"a1", "b1", "c1"}, x.nextRound(), "what other plugins look at may have")
}

func TestDomainTrials_WithAPreferenceEndInTheWiderDomain(t *testing.T) {
	_, sizes := newTrial(t, "", "rack").refuse()
	assert.Equal(t, []int{2, 2, 2, 6}, sizes)
	_, sizes = newTrial(t, "", "").refuse()
	assert.Equal(t, []int{6}, sizes, "other plugins choose among all nodes where nothing is asked for")
}

func TestDomainTrials_EndWithTheGangAndItsChange(t *testing.T) {
	x := newTrial(t, "rack", "")
	x.refuse()
	x.waiting[0].Generation++
	assert.NotNil(t, x.plan(), "it is not the gang that was refused")
	assert.Empty(t, x.pl.planner.trials.byGang)

	x.refuse()
	assert.Len(t, x.pl.planner.trials.byGang, 1)
	delete(x.pl.gangs.groups, queue.GangID("u"))
	x.pl.planner.trials.retain(x.pl.gangs.knowsGroup)
	assert.Empty(t, x.pl.planner.trials.byGang)
}

func TestTriedDomains(t *testing.T) {
	assert.Equal(t, "rack r1", triedDomains(1, "rack r1"))
	assert.Equal(t, "2 domains and was refused in all of them, in rack r2 last", triedDomains(2, "rack r2"))
}
