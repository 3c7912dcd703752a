// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

// podGroupCases are those of podgroup. Not among them are what only kube-scheduler's
// own plugins and queues show (TestPostFilterNotCalled, TestPodGroupPostFilterIteration,
// TestPodGroupCycleStatePreserved, the cases of TestPodGroupQueueing in which a plugin
// adds a pod in mid-cycle or fails PreBind, and TestPodGroupSequentialQueueing), and
// what the API server alone decides (TestPodGroupDependentRequiredValidation).
var podGroupCases = []upstreamCase{
	{"all of a gang at once", "podgroup: gang schedules when pod group and resources are available", "1,1", `
		group g min=3
		pods g 3 4
		starts g 3
		status g True Scheduled`},
	{"one more than the minimum", "podgroup: any available pod group members get scheduled", "2", `
		group g min=3
		pods g 3 4
		starts g 3
		pods g 1 4
		starts g 4`},
	{"the last pod comes later", "podgroup: gang waits for quorum to start, then schedules", "2", `
		group g min=3
		pods g 2 4
		waits g 2 GangIncomplete
		pods g 1 4
		starts g 3`},
	{"the group comes after its pods, and then room", "podgroup: gang waits for pod group, then for resources, then schedules", "2", `
		held in-the-way n0 8
		pods g 3 4
		waits g 3 GangNotFound
		group g min=3
		waits g 3 NoFittingDomain
		status g False NoFittingDomain
		delete in-the-way
		starts g 3
		status g True Scheduled`},
	{"room for the minimum, and later for all", "podgroup: minCount is scheduled, but one pod from a gang remain unschedulable until the blocked resources are released", "2", `
		held in-the-way n0 4
		pods g 4 4
		group g min=3
		waits g 1 NoFittingDomain
		starts g 3
		delete in-the-way
		starts g 4`},
	{"two gangs and room for one", "podgroup: two gangs competing for the same resources shouldn't deadlock", "2", `
		group g min=3
		group h min=3
		pods g 1 4
		pods h 1 4
		pods g 1 4
		pods h 1 4
		pods g 1 4
		starts g 3
		pods h 1 4
		waits h 3 NoFittingDomain`},
	{"two gangs and room for one, the other way round", "podgroup: two gangs competing for the same resources shouldn't deadlock, reversed order", "2", `
		group g min=3
		group h min=3
		pods h 1 4
		pods g 1 4
		pods h 1 4
		pods g 1 4
		pods h 1 4
		starts h 3
		pods g 1 4
		waits g 3 NoFittingDomain`},
	{"a pod before a gang", "podgroup: pod group interleaving with an individual pod shouldn't deadlock nor livelock, and the individual pod gets scheduled", "2", `
		group g min=3
		pod single 8
		runs single
		pods g 3 4
		waits g 3 NoFittingDomain`},
	{"basic pods as they come", "podgroup: basic group schedules when pod group and resources are available, without gang enforcement", "2", `
		group g
		pods g 1 4
		starts g 1
		pods g 2 4
		starts g 3`},
	{"basic pods before their group, and room for some", "podgroup: basic group waits for pod group, part of it waits for resources, then schedules", "2", `
		held in-the-way n0 8
		pods g 3 4
		waits g 3 GangNotFound
		group g
		starts g 2
		delete in-the-way
		starts g 3`},
	{"basic pods preempt", "podgroup: basic group schedules with workload-aware preemption", "2", `
		held low n0 8 class=low
		group g class=high
		pods g 4 4
		starts g 4
		gone low`},
	{"a gang preempts all", "podgroup: gang schedules with workload-aware preemption", "2", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		held low-2 n1 4 class=low
		held low-3 n1 4 class=low
		group g min=4 class=high
		pods g 4 4
		starts g 4
		left low- 0
		event low-0 Preempted takes this room
		status g True Scheduled`},
	{"a gang preempts the least important", "podgroup: gang schedules with partial workload-aware preemption", "1", `
		held lowest-0 n0 2 class=low
		held low-0 n0 2 class=mid
		held lowest-1 n0 2 class=low
		held low-1 n0 2 class=mid
		group g min=2 class=high
		pods g 2 2
		starts g 2
		gone lowest-0 lowest-1
		stays low-0 low-1`},
	{"a gang with a level preempts the least important", "podgroup: tas gang with constraint uses workload preemption", "1", `
		held lowest-0 n0 2 class=low
		held low-0 n0 2 class=mid
		held lowest-1 n0 2 class=low
		held low-1 n0 2 class=mid
		group g min=2 class=high level=zone
		pods g 2 2
		starts g 2
		gone lowest-0 lowest-1
		stays low-0 low-1`},
	{"a lower minimum completes a gang", "podgroup: gang pods are unschedulable due to lack of quorum, then scheduled when minCount is decreased", "2", `
		group g min=5
		pods g 4 4
		waits g 4 GangIncomplete
		min g 4
		starts g 4`},
	{"a lower minimum finds room", "podgroup: gang pods are unschedulable due to lack of space, then scheduled when minCount is decreased", "2", `
		group g min=5
		pods g 5 4
		waits g 5 GangTooLarge
		min g 4
		starts g 4
		waits g 1 NoFittingDomain`},
	{"a higher minimum completes nothing", "podgroup: gang pods are unschedulable due to lack of quorum, and remain unschedulable without triggering reschedule when minCount is increased", "4", `
		group g min=5
		pods g 4 4
		waits g 4 GangIncomplete
		min g 6
		pod after 1
		runs after
		waits g 4 GangIncomplete`},
	{"the event names the gang that preempted", "podgroup: TestWorkloadAwarePreemptionInvocation", "1", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		group g min=2 class=high mode=all
		pods g 2 4
		event low-0 Preempted takes this room
		starts g 2`},
	{"pods that keep others off their node", "podgroup: anti-affinity honored across the cycle on a multi-topology cluster", "2", `
		group g min=2
		pods g 1 4 label=app:x apart=app node=n0
		pods g 1 4 label=app:x
		starts g 2
		in host=n0 g-0
		in host=n1 g-1`},
	{"pods that keep others off the only node", "podgroup: anti-affinity keeps the group unschedulable on a single-topology cluster", "1", `
		group g min=2
		pods g 1 4 label=app:x apart=app node=n0
		pods g 1 4 label=app:x
		waits g 2 NoFittingDomain
		status g False NoFittingDomain`},
	{"one claim that one pod can have", "podgroup: two pods sharing a ReadWriteOncePod PVC keep the group unschedulable", "1", `
		volume a
		group g min=2
		pods g 2 4 claim=a
		waits g 2 NoFittingDomain
		status g False NoFittingDomain`},
	{"a claim for each", "podgroup: two pods with distinct ReadWriteOncePod PVCs are scheduled", "1", `
		volume a
		volume b
		group g min=2
		pods g 1 4 claim=a
		pods g 1 4 claim=b
		starts g 2`},

	{"a pod more than a gang has room for", "podgroup/queueing: Gang scheduling pod group queueing when new member pods are added", "1", `
		group g min=2
		pods g 2 8
		waits g 2 GangTooLarge
		pods g 1 8
		waits g 3 GangTooLarge
		node n1 rack-1 zone-0 24
		starts g 3
		pods g 1 8
		starts g 4`},
	{"basic pods more than there is room for", "podgroup/queueing: Basic policy pod group queueing when new member pods are added", "1", `
		group g
		pods g 1 8
		starts g 1
		pods g 1 8
		starts g 1
		waiting g-1
		pods g 1 8
		waiting g-1 g-2
		node n1 rack-1 zone-0 16
		starts g 3`},
	// Muster starts the others where they are enough, and the gated one joins them; with a
	// minimum of all of them the answers are the same.
	{"a gate on a pod that the minimum needs", "podgroup/queueing: Single gated pod blocks gang group from being scheduled until pod is ungated", "2", `
		group g min=3
		pods g 1 4 gated
		pods g 2 4
		waits g 2 SchedulingGated
		ungate g-0
		starts g 3`},
	// kube-scheduler holds all three. A gate holds back its own pod here: the policy
	// basic says that none waits for another.
	{"a gate on a basic pod", "podgroup/queueing: Single gated pod blocks basic group from being scheduled until pod is ungated", "2", `
		group g
		pods g 1 4 gated
		pods g 2 4
		starts g 2
		ungate g-0
		starts g 3`},
	// kube-scheduler holds the first two until the third is free, as above.
	{"a gated pod joins a gang that lacks room", "podgroup/queueing: Gang pod group in active queue becomes gated when a new gated member pod is added", "1", `
		group g min=2
		pods g 2 8
		waits g 2 GangTooLarge
		pods g 1 8 gated
		node n1 rack-1 zone-0 16
		starts g 2
		ungate g-2
		starts g 3`},
	{"a gated pod joins basic pods that lack room", "podgroup/queueing: Basic pod group in active queue becomes gated when a new gated member pod is added", "1", `
		group g
		pods g 2 8
		starts g 1
		pods g 1 8 gated
		node n1 rack-1 zone-0 16
		starts g 2
		ungate g-2
		starts g 3`},
	{"a pod after its group", "podgroup/queueing: gang is scheduled, then pod group is deleted, and new enqueued pods belong to it end up in incompletePodGroupPods", "2", `
		group g min=2
		pods g 2 4
		starts g 2
		drop g
		pods g 1 4
		waits g 1 GangNotFound`},
	{"a basic pod after its group", "podgroup/queueing: basic group is scheduled, then pod group is deleted, and new enqueued pods belong to it end up in incompletePodGroupPods", "2", `
		group g
		pods g 2 4
		starts g 2
		drop g
		pods g 1 4
		waits g 1 GangNotFound`},
	{"the last pod outlives its group", "podgroup/queueing: gang is partially scheduled, then pod group is deleted, unschedulable pods end up in incompletePodGroupPods", "1", `
		group g min=2
		pods g 3 4
		waits g 1 NoFittingDomain
		drop g
		waits g 1 GangNotFound`},
	{"the last basic pod outlives its group", "podgroup/queueing: basic group is partially scheduled, then pod group is deleted, unschedulable pods end up in incompletePodGroupPods", "1", `
		group g
		pods g 3 4
		starts g 2
		drop g
		waits g 1 GangNotFound`},
	{"all outlive their group", "podgroup/queueing: gang is unschedulable, then pod group is deleted, unschedulable pods end up in incompletePodGroupPods", "1", `
		group g min=3
		pods g 3 4
		waits g 3 GangTooLarge
		drop g
		waits g 3 GangNotFound`},
	{"a more important pod before the rest of a gang", "podgroup/queueing: After successfully scheduling a podgroup and requeuing a remaining unscheduled pod, the next scheduling attempt prioritizes the higher priority pod", "1", `
		group g min=2
		pods g 3 4
		waits g 1 NoFittingDomain
		pod urgent 4 class=high never
		waiting urgent
		node n1 rack-1 zone-0 4
		runs urgent
		waits g 1 NoFittingDomain`},
	// kube-scheduler's queue gives out the rest of the gang first. Here a pod alone is
	// tried as soon as the node is there, and a gang up to a tick of its queue later.
	{"the rest of a gang beside a younger pod", "podgroup/queueing: After successfully scheduling a podgroup and requeuing a remaining unscheduled pod, the next scheduling attempt prioritizes the old pod if priorities are equal", "1", `
		group g min=2
		pods g 3 4
		waits g 1 NoFittingDomain
		pod young 4
		waiting young
		node n1 rack-1 zone-0 4
		running 3 g- young`},
}

// compositeCases are those of podgroup with groups of groups.
var compositeCases = []upstreamCase{
	// kube-scheduler starts a, b, d and e: two groups of root are enough. Muster reads no
	// minGroupCount below the number of groups, and says so: all start or none.
	{"three levels with both policies", "podgroup: TestCPGHierarchicalScheduling", "4", `
		composite root min=2
		composite x under=root min=2
		composite y under=root
		composite z under=root min=2
		group a under=x min=2
		group b under=x min=2
		group c under=x min=2
		group d under=y
		group e under=y min=2
		group f under=z min=2
		group g under=z min=2
		pods a 2 2
		pods b 2 2
		pods c 2 100
		pods d 2 2
		pods e 2 2
		pods f 2 2
		pods g 2 100
		waits a 2 GangTooLarge
		waits d 2 GangTooLarge
		waits g 2 GangTooLarge
		status root False GangTooLarge
		status x False GangTooLarge
		status y False GangTooLarge`},
	// As above: a and b start in kube-scheduler.
	{"two of three groups", "podgroup: TestCPGMinGroupCount", "2", `
		composite root min=2
		group a under=root min=2
		group b under=root min=2
		group c under=root min=2
		pods a 2 2
		pods b 2 2
		pods c 1 100
		pods c 1 2
		waits a 2 GangTooLarge
		waits b 2 GangTooLarge
		waits c 2 GangTooLarge`},
	{"gangs under the policy basic", "podgroup: TestCPGBasicWithGangChildren", "2", `
		composite root
		group a under=root min=2
		group b under=root min=2
		pods a 2 4
		pods b 1 100
		pods b 1 4
		starts a 2
		waiting b-0 b-1`},
	{"the policy basic at both levels", "podgroup: TestCPGBasicWithBasicChildren", "2", `
		composite root
		group a under=root
		group b under=root
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2`},
	// As above: a and b start in kube-scheduler.
	{"two of three basic groups", "podgroup: TestCPGGangWithBasicChildren", "1", `
		composite root min=2
		group a under=root
		group b under=root
		group c under=root
		pods a 2 2
		pods b 2 2
		pods c 2 10
		waits a 2 GangTooLarge
		waits b 2 GangTooLarge
		waits c 2 GangTooLarge`},
	{"basic groups that fit nowhere", "podgroup: TestCPGBasicWithUnschedulableBasicChildren", "1", `
		composite root
		group a under=root
		group b under=root
		pods a 2 50
		pods b 2 50
		waiting a-0 a-1 b-0 b-1`},
	{"groups that come later", "podgroup: TestCPGDynamicChildAddition", "2", `
		composite root
		group a under=root
		pods a 2 2
		starts a 2
		group b under=root
		pods b 2 2
		starts b 2
		composite x under=root min=2
		group c under=x
		pods c 2 2
		waits c 2 GangIncomplete
		group d under=x
		pods d 2 2
		starts c 2
		starts d 2`},
	{"the root comes last", "podgroup: Incomplete CPG tree buffers pods and missing root CPG wakes them up", "1", `
		group a under=x min=2
		composite x under=root min=1
		pods a 2 2
		waits a 2 GangNotFound
		composite root min=1
		starts a 2`},
	{"a node comes later", "podgroup: Node add triggers queueing hint for complete CPG tree from unschedulableQ", "", `
		composite root min=1
		composite x under=root min=1
		group a under=x min=2
		pods a 2 2
		waits a 2 GangTooLarge
		node n0 rack-0 zone-0 8
		starts a 2`},
	{"the second group comes last", "podgroup: PodGroup add triggers queueing hint for unschedulable CPG root", "1", `
		composite root min=2
		group a under=root min=2
		pods a 2 2
		pods b 2 2
		waits a 2 GangIncomplete
		waits b 2 GangNotFound
		group b under=root min=2
		starts a 2
		starts b 2`},
	{"the fourth pod comes last", "podgroup: Pod add triggers queueing hint for unschedulable CPG root", "1", `
		composite root min=2
		group a under=root min=2
		group b under=root min=2
		pods a 2 2
		pods b 1 2
		waits a 2 GangIncomplete
		waits b 1 GangIncomplete
		pods b 1 2
		starts a 2
		starts b 2`},
	{"a lower minimum completes the groups", "podgroup: PodGroup update (reduce minCount) triggers queueing hint for unschedulable CPG tree", "1", `
		composite root min=1
		composite x under=root min=1
		group a under=x min=2
		pods a 1 2
		waits a 1 GangIncomplete
		status x False GangIncomplete
		min a 1
		starts a 1
		status root True Scheduled
		status x True Scheduled
		status a True Scheduled`},
}
