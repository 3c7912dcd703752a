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

// ends proposes the smallest gangs or other workloads whose end makes room:
// single ones, else the fewest together.
func (x *explainer) ends() ([]Change, error) {
	levers := x.workloads()
	needs := x.needs()
	enough := slices.DeleteFunc(slices.Clone(levers), func(l lever) bool {
		for d, gain := range l.gain {
			if need, ok := needs[d]; ok && (gain >= need || !x.exact()) {
				return false
			}
		}
		return true
	})
	slices.SortFunc(enough, func(a, b lever) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.name, b.name))
	})
	var all []Change
	for i, l := range enough {
		if i == maxTrials || len(all) == maxEnds {
			break
		}
		found, err := x.pull([]lever{l})
		if err != nil {
			return nil, err
		}
		if found != nil {
			all = append(all, x.whenEnded(found))
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	found, err := x.fewest(levers)
	if err != nil || found == nil {
		return nil, err
	}
	return []Change{x.whenEnded(found)}, nil
}

func (x *explainer) whenEnded(b *bunch) Change {
	weight := 0
	for _, l := range b.levers {
		weight += l.weight
	}
	verb := " ends"
	if len(b.levers) > 1 {
		verb = " end"
	}
	c := Change{Kind: Ends, Text: "when " + join(names(b.levers)) + verb, Workloads: names(b.levers)}
	if weight > 1 {
		c.Text += " (" + pods(weight) + ")"
	}
	x.conclude(&c, b.members, b.plan)
	return c
}

// workloads are the gangs, and else the controllers and pods, that hold what
// the gang could use.
func (x *explainer) workloads() []lever {
	own := map[string]bool{}
	for _, pod := range x.g.Bound {
		own[string(pod.UID)] = true
	}
	byNode := map[string]map[topology.NodeID][]*v1.Pod{}
	for _, pod := range x.p.pods {
		n, ok := x.usage.Tree.NodeByName(pod.Spec.NodeName)
		if !ok || own[string(pod.UID)] || !x.usable(n) {
			continue
		}
		name := x.p.workload(pod)
		if name == "" {
			continue
		}
		if byNode[name] == nil {
			byNode[name] = map[topology.NodeID][]*v1.Pod{}
		}
		byNode[name][n] = append(byNode[name][n], pod)
	}
	var levers []lever
	for _, name := range slices.Sorted(maps.Keys(byNode)) {
		if l, ok := x.workloadLever(name, byNode[name]); ok {
			levers = append(levers, l)
		}
	}
	return levers
}

func (x *explainer) workloadLever(name string, on map[topology.NodeID][]*v1.Pod) (lever, bool) {
	l := lever{name: name, gain: map[topology.DomainID]int64{}}
	var gone []*v1.Pod
	request := x.members.Roles[x.scarce].Request
	for _, n := range slices.Sorted(maps.Keys(on)) {
		gone = append(gone, on[n]...)
		d, ok := x.usage.Tree.DomainAt(n, x.level())
		if !ok {
			continue
		}
		row := slices.Clone(x.usage.FreeRow(n))
		for _, pod := range on[n] {
			x.addRequests(row, pod)
		}
		if more := fits(row, request) - x.room(n); more > 0 {
			l.gain[d] += more
		}
	}
	l.weight = len(gone)
	l.apply = func(t *trial) { t.gone = append(t.gone, gone...) }
	return l, len(l.gain) > 0
}

// addRequests gives back to a row what a pod asks for.
func (x *explainer) addRequests(row []int64, pod *v1.Pod) {
	for name, q := range kube.Requests(pod) {
		if c, ok := x.usage.ResourceIndex(string(name)); ok {
			row[c] += kube.Units(name, q)
		}
	}
	if c, ok := x.usage.ResourceIndex(string(v1.ResourcePods)); ok {
		row[c]++
	}
}

// workload names what a pod belongs to, "" for what never ends.
func (p *Picture) workload(pod *v1.Pod) string {
	if g := p.gangOf[pod.UID]; g != nil {
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
