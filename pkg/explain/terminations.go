// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// proposeTerminations proposes the smallest gangs or other workloads whose end
// frees enough: single ones, else the fewest together.
func (x *explainer) proposeTerminations() ([]Change, error) {
	remedies := x.workloadRemedies()
	needs := x.missingPerDomain()
	enough := slices.DeleteFunc(slices.Clone(remedies), func(l remedy) bool {
		for d, gain := range l.gain {
			if need, ok := needs[d]; ok && (gain >= need || !x.estimatesAreExact()) {
				return false
			}
		}
		return true
	})
	slices.SortFunc(enough, func(a, b remedy) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.name, b.name))
	})
	var all []Change
	for i, l := range enough {
		if i == maxSingleTrials || len(all) == maxTerminations {
			break
		}
		found, err := x.tryRemedies([]remedy{l})
		if err != nil {
			return nil, err
		}
		if found != nil {
			all = append(all, x.terminationChange(found))
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	found, err := x.smallestRemedySet(remedies)
	if err != nil || found == nil {
		return nil, err
	}
	return []Change{x.terminationChange(found)}, nil
}

// terminationChange describes the end of workloads. It proposes no command:
// whose work to end is for the user to say.
func (x *explainer) terminationChange(b *remedySet) Change {
	cost := 0
	for _, l := range b.remedies {
		cost += l.cost
	}
	verb := " ends"
	if len(b.remedies) > 1 {
		verb = " end"
	}
	c := Change{Kind: ChangeTerminations, Text: "when " + joinWords(remedyNames(b.remedies)) + verb, Workloads: remedyNames(b.remedies)}
	if cost > 1 {
		c.Text += " (" + formatPodCount(cost) + ")"
	}
	x.recordOutcome(&c, b.members, b.plan)
	return c
}

// workloadRemedies returns the gangs, and else the controllers and pods, that
// hold what the gang could use. The gang's own pods are left out.
func (x *explainer) workloadRemedies() []remedy {
	own := map[string]bool{}
	for _, pod := range x.gang.Bound {
		own[string(pod.UID)] = true
	}
	byNode := map[string]map[topology.NodeID][]*v1.Pod{}
	for _, pod := range x.view.pods {
		n, ok := x.usage.Tree.NodeByName(pod.Spec.NodeName)
		if !ok || own[string(pod.UID)] || !x.isUsable(n) {
			continue
		}
		name := x.view.workloadName(pod)
		if x.view.gangOf[pod.UID] == x.gang {
			name = "what terminates of it"
		}
		if name == "" {
			continue
		}
		if byNode[name] == nil {
			byNode[name] = map[topology.NodeID][]*v1.Pod{}
		}
		byNode[name][n] = append(byNode[name][n], pod)
	}
	var remedies []remedy
	for _, name := range slices.Sorted(maps.Keys(byNode)) {
		if l, ok := x.workloadRemedy(name, byNode[name]); ok {
			remedies = append(remedies, l)
		}
	}
	return remedies
}

// workloadRemedy returns the end of one workload with its gain in each domain,
// and false if it gains nothing.
func (x *explainer) workloadRemedy(name string, on map[topology.NodeID][]*v1.Pod) (remedy, bool) {
	l := remedy{name: name, gain: map[topology.DomainID]int64{}}
	var gone []*v1.Pod
	request := x.members.Roles[x.bottleneck].Request
	for _, n := range slices.Sorted(maps.Keys(on)) {
		gone = append(gone, on[n]...)
		d, ok := x.usage.Tree.DomainAt(n, x.requiredLevel())
		if !ok {
			continue
		}
		row := slices.Clone(x.usage.FreeRow(n))
		for _, pod := range on[n] {
			x.releaseRequests(row, pod)
		}
		if more := capacityOf(row, request) - x.nodeCapacity(n); more > 0 {
			l.gain[d] += more
		}
	}
	l.cost = len(gone)
	l.apply = func(t *scenario) { t.deleted = append(t.deleted, gone...) }
	return l, len(l.gain) > 0
}

// releaseRequests adds to a row what a pod requests.
func (x *explainer) releaseRequests(row []int64, pod *v1.Pod) {
	for name, q := range kube.PodRequests(pod) {
		if c, ok := x.usage.ResourceIndex(string(name)); ok {
			row[c] += kube.ResourceUnits(name, q)
		}
	}
	if c, ok := x.usage.ResourceIndex(string(v1.ResourcePods)); ok {
		row[c]++
	}
}

// workloadName returns the name of the workload of a pod, "" for what never
// ends.
func (v *ClusterView) workloadName(pod *v1.Pod) string {
	if g := v.gangOf[pod.UID]; g != nil {
		return "gang " + g.Key()
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	switch {
	case owner == nil:
		return "pod " + pod.Namespace + "/" + pod.Name
	case owner.Kind == "DaemonSet" || owner.Kind == "Node":
		return ""
	}
	return strings.ToLower(owner.Kind) + " " + pod.Namespace + "/" + owner.Name
}
