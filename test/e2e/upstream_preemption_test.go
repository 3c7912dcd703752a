// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

// preemptionCases are those of preemption/podgroup: TestPodGroupPreemption. A plugin of
// their own makes kube-scheduler prefer some nodes in a few of them; there as many
// victims are expected here, on whatever nodes. Not among them are the cases that give
// kube-scheduler a Reserve plugin of their own, and what the feature gate
// PodGroupPreemptionPolicy adds, which is off by default.
var preemptionCases = []upstreamCase{
	{"a whole node", "Full PodGroup Preemption", "1", `
		held low-0 n0 2 class=low
		held low-1 n0 2 class=low
		held low-2 n0 4 class=low
		group g min=4 class=high
		pods g 4 2
		starts g 4
		left low- 0`},
	{"a whole node for basic pods", "Full PodGroup Preemption for basic policy", "1", `
		held low-0 n0 2 class=low
		held low-1 n0 2 class=low
		held low-2 n0 4 class=low
		group g class=high
		pods g 4 2
		starts g 4
		left low- 0`},
	{"one victim beside free room", "Partial Preemption", "2", `
		held low-0 n0 8 class=low
		held low-1 n1 4 class=low
		group g min=3 class=high
		pods g 3 4
		starts g 3
		left low- 1`},
	{"one victim for basic pods", "Partial Preemption with basic policy", "2", `
		held low-0 n0 4 class=mid
		held low-1 n1 4 class=low
		group g class=high
		pods g 3 4
		starts g 3
		left low- 1`},
	{"a budget keeps its pods", "PDB Violation Handling (Reprieve)", "1", `
		held low-0 n0 2 class=low label=app:kept
		held low-1 n0 2 class=low label=app:kept
		held low-2 n0 4 class=low
		budget app:kept 2
		group g min=2 class=high
		pods g 2 2
		starts g 2
		gone low-2
		stays low-0 low-1`},
	{"victims on two nodes", "Multi-node Preemption", "2", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		held low-2 n1 4 class=low
		held low-3 n1 4 class=low
		group g min=4 class=high
		pods g 4 4
		starts g 4
		left low- 0`},
	{"not enough lesser pods", "Insufficient Resources (No Preemption)", "1", `
		held above n0 4 class=top
		held low-0 n0 2 class=low
		held low-1 n0 2 class=low
		group g min=3 class=high
		pods g 3 2
		waits g 3 NoFittingDomain
		stays above low-0 low-1`},
	{"the least important first", "Priority-based Victim Selection", "1", `
		held middle n0 4 class=mid
		held low-0 n0 2 class=low
		held low-1 n0 2 class=low
		group g min=2 class=high
		pods g 2 2
		starts g 2
		gone low-0 low-1
		stays middle`},
	{"a gang goes as a whole", "Preempt the whole PodGroup even if preempting a single Pod would suffice", "1", `
		group v min=4 class=low mode=all
		pods v 4 2
		starts v 4
		group g min=1 class=high
		pods g 1 2
		starts g 1
		left v- 0`},
	{"a basic group goes as a whole", "Preempt the whole basic PodGroup with a PodGroup disruption mode", "1", `
		group v class=low mode=all
		pods v 4 2
		starts v 4
		group g min=1 class=high
		pods g 1 2
		starts g 1
		left v- 0`},
	{"as many as find victims", "Gang scheduling: schedule as many pods as possible without preempting higher priority pods, but still more than minCount", "4", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held above-0 n2 8 class=top
		held above-1 n3 8 class=top
		group g min=1 class=high
		pods g 3 8
		starts g 2
		waits g 1 NoFittingDomain
		left low- 0
		stays above-0 above-1`},
	{"a gang of victims and a pod", "Gang scheduling: do not reprieve victim pod group of lower priority", "3", `
		group v min=1 class=mid mode=all
		pods v 2 8
		starts v 2
		pod low 8 class=low
		runs low
		group g min=3 class=high
		pods g 3 8
		starts g 3
		left v- 0
		gone low`},
	{"a gang of victims and still not all", "Gang scheduling: preempt a pod group victim but do not schedule full pod group", "4", `
		group v min=2 class=mid mode=all
		pods v 2 8
		starts v 2
		group w min=2 class=top mode=all
		pods w 2 8
		starts w 2
		group g min=1 class=high mode=all
		pods g 3 8
		starts g 2
		waits g 1 NoFittingDomain
		left v- 0
		left w- 2`},
	{"as many basic pods as find victims", "Basic scheduling: schedule as many pods as possible without preempting higher priority pods", "4", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held above-0 n2 8 class=top
		held above-1 n3 8 class=top
		group g class=high
		pods g 3 8
		starts g 2
		left low- 0
		stays above-0 above-1`},
	{"a gang of victims and a pod for basic pods", "Basic scheduling: do not reprieve victim pod group of lower priority", "3", `
		group v min=1 class=mid mode=all
		pods v 2 8
		starts v 2
		pod low 8 class=low
		runs low
		group g class=high
		pods g 3 8
		starts g 3
		left v- 0
		gone low`},
	{"a gang of victims and still not all basic pods", "Basic scheduling: preempt a pod group victim but do not schedule full pod group", "4", `
		group v min=2 class=mid mode=all
		pods v 2 8
		starts v 2
		group w min=2 class=top mode=all
		pods w 2 8
		starts w 2
		group g class=high mode=all
		pods g 3 8
		starts g 2
		left v- 0
		left w- 2`},
	{"pods that never preempt", "PodGroup with PreemptNever preemption policy in all pods does not perform preemption, with PodGroupPreemptionPolicy disabled", "1", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		group g min=2 class=high
		pods g 2 4 never
		waits g 2 NoFittingDomain
		stays low-0 low-1`},
	{"one of two nodes", "Gang scheduling: preemption with node resources", "2", `
		held low n0 8 class=low
		group g min=2 class=high
		pods g 2 8
		starts g 2
		gone low`},
	{"the more important one on a node stays", "Gang scheduling: preemption with node resources, prioritizes reprieval of higher priority pods", "2", `
		held low n0 4 class=low
		held middle n0 4 class=mid
		group g min=2 class=high
		pods g 1 4 node=n0
		pods g 1 4 node=n1
		starts g 2
		gone low
		stays middle`},
	{"requests of the pod as a whole", "Gang scheduling: preemption with pod level resources", "", `
		node n0 rack-0 zone-0 8
		node n1 rack-0 zone-0 8
		held low n0 0 class=low label=app:x level=40
		group g min=2 class=high
		pods g 2 0 level=40 apart=app
		starts g 2
		gone low`},
	{"pods that keep others off their node", "Gang scheduling: preemption with pod anti-affinity constraints", "2", `
		held low n0 1 class=low label=app:x
		group g min=2 class=high
		pods g 2 6 apart=app
		starts g 2
		gone low`},
	{"a host port", "Gang scheduling: preemption with pod node port", "2", `
		held low n0 1 class=low port=8080
		group g min=2 class=high
		pods g 2 6 port=8080
		starts g 2
		gone low`},
	{"spread over nodes", "Gang scheduling: preemption with pod topology spread constraints", "2", `
		held low n0 1 class=low label=app:x
		group g min=2 class=high
		pods g 2 1 label=app:x spread=app node=n0
		starts g 2
		gone low`},
	{"spread over nodes, and one that is not in the way", "Gang scheduling: preemption with pod topology spread constraints, single reprieve", "2", `
		held middle n0 1 class=mid label=app:x
		held low n1 1 class=low label=app:x
		group g min=2 class=high
		pods g 2 1 label=app:x spread=app node=n0
		starts g 2
		gone middle
		stays low`},
	{"free room before victims", "Binding first before preemption for gang policy", "1", `
		group g min=2 class=high
		pods g 2 2
		starts g 2
		held low n0 2 class=low
		pods g 2 2
		starts g 4
		gone low`},
	{"free room before victims for basic pods", "Binding first before preemption for basic policy", "1", `
		group g class=high
		pods g 2 2
		starts g 2
		held low n0 2 class=low
		pods g 2 2
		starts g 4
		gone low`},
	{"the only zone", "Topology-Aware Preemption: single topology domain", "2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		group g min=2 class=high level=zone
		pods g 2 8
		starts g 2
		left low- 0`},
	{"one zone of two", "Topology-Aware Preemption: two topologies, only one eligible", "2 2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held above-0 n2 8 class=top
		held above-1 n3 8 class=top
		group g min=2 class=high level=zone
		pods g 2 8
		starts g 2
		in zone=zone-0 g
		left low- 0
		stays above-0 above-1`},
	{"either zone of two", "Topology-Aware Preemption: two topologies, both eligible, selects higher scored topology", "2 2", `
		held low-0 n0 8 class=low
		held low-1 n1 8 class=low
		held low-2 n2 8 class=low
		held low-3 n3 8 class=low
		group g min=2 class=high level=zone
		pods g 2 8
		starts g 2
		in zone g
		left low- 2`},
	{"no zone has enough", "Topology-Aware Preemption: insufficient capacity across all topologies, no preemption performed", "2 2", `
		held low-0 n0 8 class=low
		held above-0 n1 8 class=top
		held low-1 n2 8 class=low
		held above-1 n3 8 class=top
		group g min=2 class=high level=zone
		pods g 2 8
		waits g 2 NoFittingDomain
		stays low-0 low-1 above-0 above-1`},
	{"while its victim ends", "TestPodGroupPreemptionStatus", "1", `
		held low n0 8 class=low slow
		group g min=1 class=high
		pods g 1 8
		status g False NoFittingDomain
		waits g 1 NoFittingDomain`},
	{"the promise outlives better room", "TestPodGroupPreemption_NominatedNodeNameRespected", "3", `
		held above n0 8 class=top
		held low-0 n1 8 class=low slow
		held low-1 n2 8 class=low slow
		group g min=2 class=high
		pods g 2 8
		nominated n0 g-0 g-1
		delete above
		node n3 rack-1 zone-0 4
		pod after 1 class=low node=n3
		runs after
		nominated n0 g-0 g-1`},
}

// compositeVictimCases are those of preemption/podgroup with groups of groups:
// TestCompositePodGroupPreemption. Not among them are those with a plugin or a feature gate of
// their own, as above.
var compositeVictimCases = []upstreamCase{
	{"one victim for a group in a group", "CPG Partial Preemption", "2", `
		held low-0 n0 8 class=low
		held low-1 n1 4 class=low
		composite root class=high
		group g under=root min=3 class=high
		pods g 3 4
		starts g 3
		left low- 1`},
	// kube-scheduler takes all three. Here nobody sees the groups above a PodGroup that
	// starts on its own: the pod, for which kube-scheduler preempts too, takes one group.
	{"all groups go together", "CPG Victim Across Multiple Nodes, CPG DisruptionModeAll", "2", `
		composite root class=low mode=all
		group a under=root min=2 class=low
		group b under=root min=1 class=low
		pods a 1 4 on=n0
		pods a 1 4 on=n1
		pods b 1 4 on=n1
		pod urgent 8 class=high node=n0
		runs urgent
		left a- 0
		stays b-0`},
	// The minimum of a is 2: Muster leaves no pod of it to hold a GPU for nothing, where
	// kube-scheduler takes one and leaves the other.
	{"each group for itself", "CPG Victim Across Multiple Nodes, CPG DisruptionModeSingle", "2", `
		composite root class=low mode=single
		group a under=root min=2 class=low mode=single
		group b under=root min=1 class=low mode=single
		pods a 1 4 on=n0
		pods a 1 4 on=n1
		pods b 1 4 on=n1
		pod urgent 8 class=high node=n0
		runs urgent
		left a- 0
		stays b-0`},
	{"victims that are not enough", "CPG Preemption aborted if victim yields insufficient resources", "1", `
		composite root class=low
		group a under=root min=1 class=low
		pods a 1 4
		starts a 1
		pod urgent 12 class=high
		waiting urgent
		stays a-0`},
	// The pods of both are as important and as old. Muster does not price that one of them
	// is in a group of groups which start on their own.
	{"a group alone or a group of groups", "CPG Tie-Breaking: PodGroup chosen over CompositePodGroup", "1", `
		composite root class=low mode=all
		group a under=root min=1 class=low
		group b min=1 class=low
		pods b 1 4
		pods a 1 4
		starts a 1
		starts b 1
		group g min=1 class=high
		pods g 1 4
		starts g 1
		left a- b- 1`},
	{"the less important of two", "Scheduler targets lower-priority CPG over higher-priority CPG", "1", `
		composite x class=low
		composite y class=mid
		group a under=x min=1 class=low
		group b under=y min=1 class=mid
		pods a 1 4
		pods b 1 2
		starts a 1
		starts b 1
		pod urgent 6 class=high
		runs urgent
		gone a-0
		stays b-0`},
	{"a budget keeps all groups", "PDB Violation reprieves the entire CPG victim (DisruptionModeAll)", "1", `
		composite x class=low mode=all
		composite y class=low mode=all
		group a under=x min=2 class=low
		group b under=y min=1 class=low
		pods a 2 2 label=app:kept
		pods b 1 4
		starts a 2
		starts b 1
		budget app:kept 2
		pod urgent 2 class=high
		runs urgent
		stays a-0 a-1
		gone b-0`},
	{"a budget keeps one group", "PDB Violation reprieves only the child PG (DisruptionModeSingle)", "1", `
		composite x class=low mode=single
		group a under=x min=2 class=low mode=single
		group b under=x min=1 class=low mode=single
		pods a 2 2 label=app:kept
		pods b 1 4
		starts a 2
		starts b 1
		budget app:kept 2
		pod urgent 2 class=high
		runs urgent
		stays a-0 a-1
		gone b-0`},
	// As above: x and all of its groups would go.
	{"the root says that all go together", "3-Level Nested CPG resolves DisruptionMode up to the grandparent", "2", `
		composite root class=low mode=all
		composite x under=root class=low mode=single
		group a under=x min=2 class=low mode=single
		group b under=x min=1 class=low mode=single
		pods a 1 4 on=n0
		pods a 1 4 on=n1
		pods b 1 4 on=n1
		pod urgent 8 class=high node=n0
		runs urgent
		left a- 0
		stays b-0`},
	{"one in the middle says that all below go together", "Hierarchical DisruptionMode - Grandparent Single, Parent All", "2", `
		composite root class=low mode=single
		composite x under=root class=low mode=all
		group a under=x min=2 class=low mode=single
		group b under=root min=1 class=low mode=single
		pods a 1 4 on=n0
		pods a 1 4 on=n1
		pods b 1 4 on=n1
		pod urgent 8 class=high node=n0
		runs urgent
		left a- 0
		stays b-0`},
	{"a group in a group preempts", "CPG with default preemption policy performs preemption, with PodGroupPreemptionPolicy enabled", "1", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		composite root class=high
		group g under=root min=4 class=high
		pods g 4 2
		starts g 4
		left low- 0`},
	{"two groups preempt", "CPG with PreemptLowerPriority Policy", "1", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		composite root class=high
		group a under=root min=2 class=high
		group b under=root min=1 class=high
		pods a 2 2
		pods b 1 4
		starts a 2
		starts b 1
		left low- 0`},
	{"two shapes of one group preempt", "CPG PreemptionPolicy PreemptLowerPriority allows preemption", "1", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		composite root class=high
		group g under=root min=2 class=high
		pods g 1 6
		pods g 1 2
		starts g 2
		left low- 0`},
	{"pods that never preempt", "CPG with PreemptNever preemption policy in all pods does not perform preemption, with PodGroupPreemptionPolicy disabled", "1", `
		held low-0 n0 4 class=low
		held low-1 n0 4 class=low
		composite root class=high
		group g under=root min=3 class=high
		pods g 3 2 never
		waits g 3 NoFittingDomain
		stays low-0 low-1`},
	{"pods that keep others off their node", "CPG Gang scheduling: preemption with pod anti-affinity constraints", "2", `
		held low n0 1 class=low label=app:x
		composite root class=high
		group g under=root min=2 class=high
		pods g 2 6 apart=app
		starts g 2
		gone low`},
	{"a host port", "CPG Gang scheduling: preemption with pod node port", "2", `
		held low n0 1 class=low port=8080
		composite root class=high
		group g under=root min=2 class=high
		pods g 2 6 port=8080
		starts g 2
		gone low`},
	{"groups on two nodes by groups", "Binding first before preemption for gang policy", "2", `
		composite x min=1 class=low
		group v under=x min=4 class=low
		pods v 1 4 on=n0
		pods v 1 4 on=n1
		pods g 4 4 class=high
		waits g 4 GangNotFound
		composite y min=1 class=high
		group g under=y min=4 class=high
		starts g 4
		left v- 0`},
	{"groups on two nodes by basic groups", "Binding first before preemption for CPG", "2", `
		composite x class=low
		group v under=x min=4 class=low
		pods v 1 4 on=n0
		pods v 1 4 on=n1
		composite y class=high
		group g under=y min=4 class=high
		pods g 4 4
		starts g 4
		left v- 0`},
	{"victims whose parent is gone", "CPG Missing Parent Reference Fallback", "1", `
		composite x class=low
		composite y class=high
		group v under=x min=2 class=low
		group g under=y min=2 class=high
		pods v 2 4
		starts v 2
		drop x
		pods g 2 4
		starts g 2
		left v- 0`},
}
