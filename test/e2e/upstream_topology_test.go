// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

// topologyCases are those of podgroup/topology_aware_scheduling with the policy gang:
// TestTopologyAwareSchedulingWithGangPolicy. Those with the policy basic are in
// basicGroupsKeepTheirLevel. Where the racks lie in several zones Muster chooses
// the zone first, so that those which are to be compared are in one.
var topologyCases = []upstreamCase{
	{"the only rack with room", "gang schedules on a single rack, when only one feasible rack is available", "3,2 1", `
		held a n3 8
		group g min=3 level=rack
		pods g 3 4
		starts g 3
		in rack=rack-0 g`},
	{"more than any rack holds", "gang remains pending when no feasible resources are found", "2,1 1", `
		group g min=3 level=rack
		pods g 3 8
		waits g 3 GangTooLarge`},
	{"others hold the rack", "gang remains pending when resources are consumed by existing pods", "3", `
		held a n0 8
		held b n2 8
		group g min=3 level=rack
		pods g 3 4
		waits g 3 NoFittingDomain
		delete a
		starts g 3`},
	{"lesser pods hold the rack", "gang uses pod group preemption when resources are consumed by lower priority existing pods", "3", `
		held a n0 8 class=low
		held b n2 8 class=low
		group g min=4 level=rack class=high
		pods g 4 4
		starts g 4
		left a 0
		stays b`},
	{"preemption on the tighter rack", "gang uses preemption and schedules on a single rack, choosing placement with the highest score", "2,3,1", `
		held a n0 8 class=low
		held b n2 8 class=low
		held c n3 8 class=low
		group g min=3 level=rack class=high
		pods g 3 4
		starts g 3
		in rack=rack-0 g
		gone a
		stays b c`},
	{"preemption on the fullest rack", "gang uses preemption and schedules on a single rack, choosing placement with highest allocation percentage with pre-existing pods in cluster", "2,3,3,1", `
		held a n2 8 class=high
		held b n7 4 class=high
		held c n0 8 class=low
		held d n3 8 class=low
		held e n5 8 class=low
		held f n7 4 class=low
		group g min=3 level=rack class=high
		pods g 3 4
		starts g 3
		in rack g
		left c 0
		stays a b d e f`},
	{"the tighter rack", "gang schedules on a single rack, choosing placement with the highest score in default placement scoring algorithm", "2,3,1", `
		group g min=3 level=rack
		pods g 3 4
		starts g 3
		in rack=rack-0 g`},
	{"the fullest rack", "gang schedules on a single rack, choosing placement with highest allocation percentage (default placement scoring algorithm) with pre-existing pods in cluster", "3,3,4,1", `
		held a n0 4
		held b n4 4
		held c n5 4
		group g min=3 level=rack
		pods g 3 4
		starts g 3
		in rack=rack-1 g`},
	{"a rack for each of two gangs", "two gangs schedule consecutively, each on a separate rack", "3,2", `
		group g min=3 level=rack
		pods g 3 8
		starts g 3
		group h min=2 level=rack
		pods h 2 4
		starts h 2
		in rack=rack-0 g
		in rack=rack-1 h`},
	{"one rack for two gangs", "two gangs schedule consecutively, both on the same rack", "3,1", `
		group g min=2 level=rack
		pods g 1 8
		pods g 1 4
		group h min=3 level=rack
		pods h 3 4
		starts g 2
		starts h 3
		in rack=rack-0 g h`},
	{"two gangs of different levels", "two gangs schedule consecutively, different topology keys", "2,1 3", `
		group g min=3 level=rack
		pods g 3 8
		starts g 3
		group h min=3 level=zone
		pods h 3 8
		starts h 3
		in rack=rack-2 g
		in zone=zone-0 h`},
	{"room for one gang", "two gangs schedule consecutively, only one fits in the cluster", "2", `
		group g min=3 level=rack
		pods g 3 4
		starts g 3
		group h min=2 level=rack
		pods h 2 4
		waits h 2 NoFittingDomain`},
	{"more pods than the minimum", "gang with minCount < pod count schedules on a single rack", "2,2", `
		group g min=2 level=rack
		pods g 3 4
		starts g 3
		in rack g`},
	{"pods that come later keep to the rack", "gang with minCount < pod count schedules on a single rack, choosing smaller rack", "3,2 1", `
		group g min=3 level=rack
		pods g 3 4
		starts g 3
		pods g 1 4
		starts g 4
		in rack=rack-1 g
		pods g 1 4
		waits g 1 NoFittingDomain`},
	{"a pod that comes later preempts in the rack", "gang with minCount < pod count schedules on a single rack without preemption, additional pod triggers preemption on the same rack", "3,2 1", `
		held low n4 4 class=low
		group g min=3 level=rack class=high
		pods g 3 4
		starts g 3
		in rack=rack-1 g
		stays low
		pods g 1 4
		starts g 4
		gone low
		in rack=rack-1 g
		pods g 1 4
		waits g 1 NoFittingDomain
		in rack=rack-1 g`},
	{"equals are not preempted", "gang does not schedule on a single rack when preemption could free up enough resources", "2", `
		held a n1 8
		group g min=3 level=rack
		pods g 3 4
		waits g 3 NoFittingDomain
		stays a`},
}

// compositeTopologyCases are those of podgroup/topology_aware_scheduling with groups of
// groups: TestCPGTopologyAwareScheduling.
var compositeTopologyCases = []upstreamCase{
	{"one rack for both groups", "parent CPG has topology constraints, children do not; schedules on a single rack", "2,2", `
		held a n3 8
		composite root min=2 level=rack
		group a under=root min=2
		group b under=root min=2
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		in rack=rack-0 a b`},
	{"a pod that runs chooses the rack", "parent CPG has topology constraints, children do not; preexisting pod belonging to the hierarchy determines the topology", "2,2", `
		pods a 1 4 on=n3
		composite root min=2 level=rack
		group a under=root min=2
		group b under=root min=2
		pods a 1 4
		pods b 2 4
		starts a 2
		starts b 2
		in rack=rack-1 a b`},
	{"no rack holds both", "parent CPG has topology constraints, children do not; remains pending when no single rack can fit all children", "1,1", `
		held a n0 4
		held b n1 4
		composite root min=2 level=rack
		group a under=root
		group b under=root
		pods a 1 4
		pods b 1 4
		waits a 1 NoFittingDomain
		waits b 1 NoFittingDomain`},
	{"a zone for all and a rack for each", "parent CPG and child PGs both have topology constraints (multi-level constraints: zone and rack)", "1,1 2", `
		held a n2 4
		composite root min=2 level=zone
		group a under=root min=2 level=rack
		group b under=root min=2 level=rack
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		in zone=zone-0 a b
		in rack a
		in rack b`},
	{"a rack for one of two", "parent CPG and only one child PG has topology constraints; the other child uses parent's topology", "", `
		node n0 rack-0 zone-0 8 taint=kept
		node n1 rack-1 zone-0 8
		node n2 rack-2 zone-0 8
		node n3 rack-3 zone-1 8
		node n4 rack-4 zone-1 8
		held a n4 4
		held b n1 4
		held c n2 4
		composite root min=2 level=zone
		group a under=root min=2 level=rack
		group b under=root min=2
		pods a 2 4 tolerates=kept
		pods b 2 4 prefers=n3
		starts a 2
		starts b 2
		in zone=zone-0 a b
		in rack a`},
	{"a pod that runs chooses zone and rack", "parent CPG and all child PGs have topology constraints, preexisting pod group pods constrain the available topology domains", "1,2 2", `
		composite root min=2 level=zone
		group a under=root min=2 level=rack
		group b under=root min=2 level=rack
		pods a 1 4 on=n0
		pods a 1 4
		pods b 2 4
		starts a 2
		starts b 2
		in rack=rack-0 a
		in rack=rack-1 b`},
	{"pods that run in two zones", "parent CPG has topology constraints, preexisting pod group pods are in conflicting domains across pod groups, fails to schedule any pod", "2 2", `
		composite root min=2 level=zone
		group a under=root min=2
		group b under=root min=2
		pods a 1 4 on=n0
		pods b 1 4 on=n2
		pods a 1 4
		pods b 1 4
		waits a 1 TopologyDrift
		waits b 1 TopologyDrift`},
	{"a level at each of three", "3-level CPG hierarchy: all levels have topology constraints (root=zone, sub=block, leaf=rack)", "", `
		node n0 rack-0 zone-0 8 block=b0
		node n1 rack-1 zone-0 8 block=b0
		node n2 rack-2 zone-0 8 block=b1
		node n3 rack-3 zone-0 8 block=b1
		node n4 rack-4 zone-1 8 block=b2
		node n5 rack-5 zone-1 8 block=b3
		node n6 rack-6 zone-1 8 block=b4
		composite root min=2 level=zone
		composite x under=root min=2 level=block
		composite y under=root min=2 level=block
		group a under=x min=2 level=rack
		group b under=x min=2 level=rack
		group c under=y min=2 level=rack
		group d under=y min=2 level=rack
		pods a 2 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		in zone a b c d
		in block a b
		in block c d
		in rack a
		in rack b
		in rack c
		in rack d
		status root True Scheduled
		status x True Scheduled
		status y True Scheduled`},
	{"no level in the middle", "3-level CPG hierarchy: mid-level without topology constraints (root=zone, sub=none, leaf=rack)", "1,1 1", `
		composite root min=2 level=zone
		composite x under=root
		composite y under=root
		group a under=x min=2 level=rack
		group b under=y min=2 level=rack
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		in zone a b
		in rack a
		in rack b`},
	{"no level at the top", "3-level CPG hierarchy: top level without topology constraint (root=none, sub=zone, leaf=rack)", "1,1 1,1,1", `
		composite root
		composite x under=root min=2 level=zone
		composite y under=root min=2 level=zone
		group a under=x min=2 level=rack
		group b under=x min=2 level=rack
		group c under=y min=2 level=rack
		group d under=y min=2 level=rack
		pods a 2 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		in zone a b
		in zone c d
		in rack a
		in rack b
		in rack c
		in rack d`},
	{"no level at the bottom", "3-level CPG hierarchy: bottom level without topology constraint (root=zone, sub=rack, leaf=none)", "2,2 2", `
		composite root min=2 level=zone
		composite x under=root min=2 level=rack
		composite y under=root min=2 level=rack
		group a under=x min=2
		group b under=x min=2
		group c under=y min=2
		group d under=y min=2
		pods a 2 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		in zone=zone-0 a b c d
		in rack a b
		in rack c d`},
	{"a pod that runs at the bottom chooses for all above", "3-level CPG hierarchy: preexisting pod in leaf PodGroup determines topology for intermediate and root CPGs", "2,2 2,2", `
		composite root min=2 level=zone
		composite x under=root min=2 level=rack
		composite y under=root min=2 level=rack
		group a under=x min=2
		group b under=x min=2
		group c under=y min=2
		group d under=y min=2
		pods a 1 4 on=n4
		pods a 1 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		in zone=zone-1 a b c d
		in rack=rack-2 a b
		in rack=rack-3 c d`},
}

// compositePreemptionCases are the same where lower priorities hold the room:
// TestCPGTopologyAwareSchedulingWorkloadAwarePreemption.
var compositePreemptionCases = []upstreamCase{
	{"one rack for both groups", "parent CPG has topology constraints, children do not; schedules on a single rack after preempting lower priority pods", "2,2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held same n3 8 class=high
		composite root min=2 level=rack class=high
		group a under=root min=2 class=high
		group b under=root min=2 class=high
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		in rack=rack-0 a b
		left low- 0
		stays same`},
	{"one more pod keeps to the rack", "parent CPG has topology constraints, children do not; schedules on a single rack after preempting lower priority pods, then cannot schedule additional pods", "2,2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held same n3 8 class=high
		composite root min=2 level=rack class=high
		group a under=root min=2 class=high
		group b under=root min=2 class=high
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		left low- 0
		pods a 1 4
		waits a 1 NoFittingDomain`},
	{"a pod that runs chooses the rack", "parent CPG has topology constraints, children do not; preexisting pod belonging to the hierarchy determines topology and lower priority pods are preempted", "2,2", `
		composite root min=2 level=rack class=high
		group a under=root min=2 class=high
		group b under=root min=2 class=high
		pods a 1 4 on=n3
		held low-0 n2 8 class=low
		held low-1 n3 4 class=low
		pods a 1 4
		pods b 2 4
		starts a 2
		starts b 2
		left low- 0
		in rack=rack-1 a b`},
	{"basic groups preempt in one rack", "parent CPG has topology constraints, children do not; schedules on a rack after preempting lower priority pods", "1,1", `
		held low n0 8 class=low
		held same n1 8 class=high
		composite root min=2 level=rack class=high
		group a under=root class=high
		group b under=root class=high
		pods a 1 4
		pods b 1 4
		starts a 1
		starts b 1
		gone low
		stays same
		in rack=rack-0 a b`},
	{"a zone for all and a rack for each", "parent CPG and child PGs both have topology constraints (multi-level constraints: zone and rack) with preemption", "1,1 2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held same n2 4 class=high
		composite root min=2 level=zone class=high
		group a under=root min=2 level=rack class=high
		group b under=root min=2 level=rack class=high
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		left low- 0
		in zone=zone-0 a b
		in rack a
		in rack b`},
	{"groups that come later preempt in the zone", "parent CPG and child PGs both have topology constraints (multi-level constraints: zone and rack), preemption does not help for subsequent", "1,1,1 2", `
		held low-0 n2 8 class=low
		held low-1 n3 8 class=low
		composite root min=2 level=zone class=high
		group a under=root min=2 level=rack class=high
		group b under=root min=2 level=rack class=high
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		in rack a
		in rack b
		group c under=root min=2 level=rack class=high
		pods c 2 4
		starts c 2
		gone low-0
		in zone=zone-0 a b c
		in rack c
		group d under=root min=2 level=rack class=high
		pods d 2 4
		waits d 2 NoFittingDomain
		stays low-1`},
	{"a rack for one of two", "parent CPG and only one child PG has topology constraints; the other child uses parent's topology with preemption", "", `
		node n0 rack-0 zone-0 8 taint=kept
		node n1 rack-1 zone-0 8
		node n2 rack-2 zone-0 8
		node n3 rack-3 zone-1 8
		node n4 rack-4 zone-1 8
		held low n0 8 class=low
		held a n4 4 class=high
		held b n1 4 class=high
		held c n2 4 class=high
		composite root min=2 level=zone class=high
		group a under=root min=2 level=rack class=high
		group b under=root min=2 class=high
		pods a 2 4 tolerates=kept
		pods b 2 4 prefers=n3
		starts a 2
		starts b 2
		gone low
		in zone=zone-0 a b
		in rack a`},
	{"a pod that runs chooses zone and rack", "parent CPG and all child PGs have topology constraints, preexisting pod group pods constrain available topology domains with preemption", "1,2 2", `
		composite root min=2 level=zone class=high
		group a under=root min=2 level=rack class=high
		group b under=root min=2 level=rack class=high
		pods a 1 4 on=n0
		held low-0 n0 4 class=low
		held low-1 n1 8 class=low
		held low-2 n2 8 class=low
		pods a 1 4
		pods b 2 4
		starts a 2
		starts b 2
		in rack=rack-0 a
		in rack=rack-1 b
		left low- 1`},
	{"a level at each of three", "3-level CPG hierarchy: all levels have topology constraints (root=zone, sub=block, leaf=rack) with preemption", "", `
		node n0 rack-0 zone-0 8 block=b0
		node n1 rack-1 zone-0 8 block=b0
		node n2 rack-2 zone-0 8 block=b1
		node n3 rack-3 zone-0 8 block=b1
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held low-2 n2 8 class=low
		held low-3 n3 8 class=low
		composite root min=2 level=zone class=high
		composite x under=root min=2 level=block class=high
		composite y under=root min=2 level=block class=high
		group a under=x min=2 level=rack class=high
		group b under=x min=2 level=rack class=high
		group c under=y min=2 level=rack class=high
		group d under=y min=2 level=rack class=high
		pods a 2 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		left low- 0
		in block a b
		in block c d
		in rack a
		in rack b
		in rack c
		in rack d`},
	{"no level in the middle", "3-level CPG hierarchy: mid-level without topology constraints (root=zone, sub=none, leaf=rack) with preemption", "1,1 1", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		composite root min=2 level=zone class=high
		composite x under=root class=high
		composite y under=root class=high
		group a under=x min=2 level=rack class=high
		group b under=y min=2 level=rack class=high
		pods a 2 4
		pods b 2 4
		starts a 2
		starts b 2
		left low- 0
		in zone a b
		in rack a
		in rack b`},
	{"no level at the top", "3-level CPG hierarchy: top level without topology constraint (root=none, sub=zone, leaf=rack) with preemption", "1,1 1,1", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held low-2 n2 8 class=low
		held low-3 n3 8 class=low
		composite root class=high
		composite x under=root min=2 level=zone class=high
		composite y under=root min=2 level=zone class=high
		group a under=x min=2 level=rack class=high
		group b under=x min=2 level=rack class=high
		group c under=y min=2 level=rack class=high
		group d under=y min=2 level=rack class=high
		pods a 2 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		left low- 0
		in zone a b
		in zone c d
		in rack a
		in rack b
		in rack c
		in rack d`},
	{"no level at the bottom", "3-level CPG hierarchy: bottom level without topology constraint (root=zone, sub=rack, leaf=none) with preemption", "2,2 2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held low-2 n2 8 class=low
		held low-3 n3 8 class=low
		composite root min=2 level=zone class=high
		composite x under=root min=2 level=rack class=high
		composite y under=root min=2 level=rack class=high
		group a under=x min=2 class=high
		group b under=x min=2 class=high
		group c under=y min=2 class=high
		group d under=y min=2 class=high
		pods a 2 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		left low- 0
		in zone=zone-0 a b c d
		in rack a b
		in rack c d`},
	{"a pod that runs at the bottom chooses for all above", "3-level CPG hierarchy: preexisting pod in leaf PodGroup determines topology for intermediate and root CPGs with preemption", "2,2 2,2", `
		composite root min=2 level=zone class=high
		composite x under=root min=2 level=rack class=high
		composite y under=root min=2 level=rack class=high
		group a under=x min=2 class=high
		group b under=x min=2 class=high
		group c under=y min=2 class=high
		group d under=y min=2 class=high
		pods a 1 4 on=n4
		held low-0 n5 8 class=low
		held low-1 n6 8 class=low
		pods a 1 4
		pods b 2 4
		pods c 2 4
		pods d 2 4
		starts a 2
		starts b 2
		starts c 2
		starts d 2
		left low- 0
		in zone=zone-1 a b c d
		in rack=rack-2 a b
		in rack=rack-3 c d`},
}
