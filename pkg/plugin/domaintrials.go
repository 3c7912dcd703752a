// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"hash/maphash"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// domainTrials remembers in which domains other plugins refused a gang with constraints
// that the planner does not know, so that it is planned elsewhere the next time.
// kube-scheduler would simulate the gang in all placements that it is offered before it
// chooses one by chance: it is offered one in each attempt.
type domainTrials struct {
	gangs   *gangQueue
	cluster *kube.Cluster
	byGang  map[types.UID]*gangTrials
}

// gangTrials are those of one gang, in the order in which they were made.
type gangTrials struct {
	asks    uint64 // the gang as it was tried
	domains []triedDomain
}

// triedDomain is nodes that a gang was offered in vain.
type triedDomain struct {
	path  string
	nodes []string
	// whole says that no node of the required level's domain was left out.
	whole bool
	// state tells the states of the nodes apart, at is when they were refused.
	state uint64
	at    time.Time
}

// asksOf tells gangs apart that ask for different things, or with other pods.
func asksOf(members *kube.Members) uint64 {
	sum := maphash.String(fingerprintSeed, members.EquivalenceClass())
	for _, pods := range members.Pods {
		for _, pod := range pods {
			sum += maphash.Comparable(fingerprintSeed, podVersion{pod.UID, pod.Generation})
		}
	}
	return sum
}

// trialsOf returns what is remembered of a gang as it is; nil for nothing. Where it has
// changed, that is forgotten.
func (t *domainTrials) trialsOf(uid types.UID, members *kube.Members) *gangTrials {
	known := t.byGang[uid]
	if known == nil || members.Unmodelled != "" && known.asks == asksOf(members) {
		return known
	}
	delete(t.byGang, uid)
	return nil
}

// add notes that other plugins refused a gang in the domain of a plan, and returns in how
// many they did.
func (t *domainTrials) add(uid types.UID, plan *gangPlan) int {
	t.retain(t.gangs.knowsGroup)
	known := t.byGang[uid]
	if known == nil || known.asks != plan.asks {
		known = &gangTrials{asks: plan.asks}
		t.byGang[uid] = known
	}
	refused := plan.offered
	refused.state, refused.at = t.stateOf(refused.nodes), t.gangs.now()
	known.domains = append(known.domains, refused)
	return len(known.domains)
}

// retain forgets all gangs but those that exist.
func (t *domainTrials) retain(exists func(types.UID) bool) {
	maps.DeleteFunc(t.byGang, func(uid types.UID, _ *gangTrials) bool { return !exists(uid) })
}

// trialLifetime is how long a domain is passed over in which nothing can be seen to
// change: what other plugins look at elsewhere may have.
const trialLifetime = pluginRefusalRetry

// refusedElsewhereRetry is when a gang is tried again that has room in no domain but
// those in which other plugins refused it.
const refusedElsewhereRetry = 30 * time.Second

// startRound begins anew with a gang for which there is no other domain.
func (t *domainTrials) startRound(uid types.UID) {
	if known := t.byGang[uid]; known != nil && len(known.domains) > 0 {
		known.startRound(t.gangs.now(), t.stateOf)
	}
}

// startRound forgets the domains that changed since they were tried, or were tried long
// ago; if there are none, the last one.
func (g *gangTrials) startRound(now time.Time, stateOf func([]string) uint64) {
	before := len(g.domains)
	last := g.domains[before-1]
	g.domains = slices.DeleteFunc(g.domains, func(d triedDomain) bool {
		return now.Sub(d.at) >= trialLifetime || stateOf(d.nodes) != d.state
	})
	if len(g.domains) == before {
		g.domains = slices.DeleteFunc(g.domains, func(d triedDomain) bool { return d.path == last.path && d.at.Equal(last.at) })
	}
}

// solveElsewhere plans a gang off the domains in which it was refused. Where that leaves
// none that is as narrow as is preferred, whole says that the plan is for one domain of
// the level that is required, with all its nodes.
func (t *domainTrials) solveElsewhere(engine *placement.Planner, members *kube.Members, trials *gangTrials) (plan placement.Plan, whole bool) {
	if trials == nil || len(trials.domains) == 0 {
		return t.cluster.Solve(engine, members), false
	}
	plan = t.solveWithout(engine, members, trials.domains)
	if plan.Refusal == nil || members.Preferred == topology.NoLevel {
		return plan, false
	}
	wide := slices.DeleteFunc(slices.Clone(trials.domains), func(d triedDomain) bool { return !d.whole })
	if wider := t.solveWithout(engine, members, wide); wider.Refusal == nil {
		return wider, true
	}
	return plan, false
}

// solveWithout plans a gang on no node of some domains.
func (t *domainTrials) solveWithout(engine *placement.Planner, members *kube.Members, domains []triedDomain) placement.Plan {
	tree := t.cluster.Usage().Tree
	var refused []topology.NodeID
	for _, d := range domains {
		for _, name := range d.nodes {
			if id, ok := tree.NodeByName(name); ok {
				refused = append(refused, id)
			}
		}
	}
	overlays := map[*gang.Filter]*gang.Filter{}
	kept := make([]*gang.Filter, len(members.Roles))
	for r := range members.Roles {
		filter := members.Roles[r].Filter
		kept[r] = filter
		if overlays[filter] == nil {
			overlays[filter] = excludeAlso(filter, len(tree.Nodes), refused, gang.Refused)
		}
		members.Roles[r].Filter = overlays[filter]
	}
	defer func() {
		for r, filter := range kept {
			members.Roles[r].Filter = filter
		}
	}()
	return t.cluster.Solve(engine, members)
}

// offerDomain has a plan offer all nodes of its domain, where other plugins choose among
// them; whole asks for all of the domain of the required level.
func (t *domainTrials) offerDomain(out *gangPlan, members *kube.Members, plan placement.Plan, whole bool) []topology.NodeID {
	tree := members.TreeOn(t.cluster.Usage().Tree)
	nodes, wide := placement.DomainNodes(tree, &members.Gang, plan), plan
	wide.Domain = 0
	all := placement.DomainNodes(tree, &members.Gang, wide)
	if whole {
		nodes = all
	}
	out.asks = asksOf(members)
	out.offered = triedDomain{path: out.domain, whole: len(nodes) == len(all)}
	for _, id := range nodes {
		out.offered.nodes = append(out.offered.nodes, tree.Nodes[id].Name)
	}
	return nodes
}

// stateOf tells the states of nodes apart, as the last plan saw them: what they are, the
// pods that they run, and the volumes and claims of the cluster.
func (t *domainTrials) stateOf(names []string) uint64 {
	sum := t.gangs.constraintChanges.Load()
	for _, name := range names {
		id, ok := t.cluster.Usage().Tree.NodeByName(name)
		if !ok {
			continue
		}
		info := t.cluster.NodeInfo(id)
		sum += maphash.Comparable(fingerprintSeed, nodeState{name, info.Node().ResourceVersion})
		for _, running := range info.GetPods() {
			sum += maphash.Comparable(fingerprintSeed, podState(running.GetPod()))
		}
	}
	return sum
}

// nodeState is one state of a node.
type nodeState struct{ name, version string }

// runningState is one state of a pod on a node.
type runningState struct {
	uid           types.UID
	node, version string
}

func podState(pod *v1.Pod) runningState {
	return runningState{pod.UID, pod.Spec.NodeName, pod.ResourceVersion}
}
