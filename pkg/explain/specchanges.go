// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// withSpec returns the gang with a changed copy of its specification.
func (x *explainer) withSpec(change func(*kube.Spec)) scenario {
	t := x.gang.currentScenario()
	spec := *t.spec
	change(&spec)
	t.spec = &spec
	return t
}

// proposeWiderLevel proposes the narrowest wider level that holds the gang.
func (x *explainer) proposeWiderLevel() ([]Change, error) {
	tree := x.usage.Tree
	for l := tree.WiderLevel(x.gang.Spec.Required); l >= 0; l = tree.WiderLevel(l) {
		if len(tree.DomainsAt(l)) == 0 {
			continue
		}
		t := x.withSpec(func(s *kube.Spec) { s.Required = l })
		found, err := x.tryChange(t, Change{
			Kind:    ChangeWiderLevel,
			Text:    fmt.Sprintf("ask for one %s instead of one %s", tree.Levels[l], tree.Levels[x.gang.Spec.Required]),
			Setting: kube.AnnotationTopologyRequired + ": " + tree.Levels[l],
			Command: x.editCommand(groupEdit{set: map[string]string{kube.AnnotationTopologyRequired: tree.Levels[l]}}),
		})
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

// proposePreferredLevel proposes to prefer the level that is required.
func (x *explainer) proposePreferredLevel() ([]Change, error) {
	required := x.gang.Spec.Required
	if required < 0 {
		return nil, nil
	}
	name := x.usage.Tree.Levels[required]
	t := x.withSpec(func(s *kube.Spec) { s.Required, s.Preferred = topology.NoLevel, required })
	return x.tryChange(t, Change{
		Kind:    ChangePreferredLevel,
		Text:    fmt.Sprintf("prefer one %s instead of requiring it", name),
		Setting: kube.AnnotationTopologyPreferred + ": " + name + " in place of " + x.originOf(kube.AnnotationTopologyRequired).Word,
		Command: x.editCommand(groupEdit{drop: []string{kube.AnnotationTopologyRequired}, set: map[string]string{kube.AnnotationTopologyPreferred: name}}),
	})
}

// proposeNoSlices proposes to give the slices up.
func (x *explainer) proposeNoSlices() ([]Change, error) {
	if len(x.gang.Spec.Slices) == 0 {
		return nil, nil
	}
	s := x.gang.Spec.Slices[0]
	keys := slices.DeleteFunc(kube.SliceAnnotations(), func(key string) bool { return x.gang.Declaration.Terms[key].Value == "" })
	return x.tryChange(x.withSpec(func(s *kube.Spec) { s.Slices = nil }), Change{
		Kind:    ChangeSlices,
		Text:    fmt.Sprintf("no longer ask for every %d in one %s", s.Size, x.usage.Tree.Levels[s.Level]),
		Setting: x.describeRemoval(keys...),
		Command: x.editCommand(groupEdit{drop: keys}),
	})
}

// proposeModels proposes each other GPU model that holds the gang.
func (x *explainer) proposeModels() ([]Change, error) {
	if len(x.gang.Spec.Models) == 0 {
		return nil, nil
	}
	var all []Change
	for _, product := range x.usage.Tree.Products {
		if slices.ContainsFunc(x.gang.Spec.Models, func(m string) bool { return gpu.MatchesLabel(m, product) }) {
			continue
		}
		longer := append(slices.Clone(x.gang.Spec.Models), product)
		value := strings.Join(longer, ",")
		found, err := x.tryChange(x.withSpec(func(s *kube.Spec) { s.Models = longer }), Change{
			Kind:    ChangeModels,
			Text:    "allow " + product + " too",
			Setting: fmt.Sprintf("%s: %q", kube.AnnotationGPUModels, value),
			Command: x.editCommand(groupEdit{set: map[string]string{kube.AnnotationGPUModels: value}}),
		})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// proposeLessMemory proposes to accept GPUs of less memory.
func (x *explainer) proposeLessMemory() ([]Change, error) {
	if x.gang.Spec.Memory <= 0 {
		return nil, nil
	}
	return x.tryChange(x.withSpec(func(s *kube.Spec) { s.Memory = 0 }), Change{
		Kind:    ChangeMemory,
		Text:    fmt.Sprintf("accept GPUs with less memory than %s", strings.TrimPrefix(x.gang.Spec.Memory.String(), ">=")),
		Setting: x.describeRemoval(kube.AnnotationGPUMemory),
		Command: x.editCommand(groupEdit{drop: []string{kube.AnnotationGPUMemory}}),
	})
}

// proposeFewerPods proposes the largest number of members that can start
// together now.
func (x *explainer) proposeFewerPods() ([]Change, error) {
	have := len(x.gang.Waiting) + len(x.gang.Bound)
	least, most := max(len(x.gang.Bound)+1, x.minMembersOfRoles()), min(x.gang.Spec.MinCount, have+1)
	if least >= most {
		return nil, nil
	}
	var failed error
	// The engine places any smaller number where it places a larger one.
	n := least + sort.Search(most-least, func(i int) bool {
		_, plan, err := x.view.solveScenario(x.withSpec(func(s *kube.Spec) { s.MinCount = least + i }))
		if err != nil {
			failed = err
		}
		return err != nil || plan.Refusal != nil
	}) - 1
	if failed != nil || n < least {
		return nil, failed
	}
	c := Change{Kind: ChangeFewerPods, Text: fmt.Sprintf("start with %s instead of %d", formatPodCount(n), x.gang.Spec.MinCount)}
	switch count := dialect.CountFieldOf(x.gang.Declaration); {
	case x.gang.Dialect == dialect.DialectKueue: // which takes as many pods and no more
		c.Setting = fmt.Sprintf("%s: \"%d\", and no more pods than that", count.Path[0], n)
	case count.Resource == "":
		c.Setting = fmt.Sprintf("%s: \"%d\"", count.Path[0], n)
	case x.originOf(kube.AnnotationRoles).Word == "spec.subGroupPolicy":
		c.Setting = fmt.Sprintf("%s: %d, and no minSubGroups in spec.subGroupPolicy that add up to more", strings.Join(count.Path, "."), n)
	default:
		c.Setting = fmt.Sprintf("%s: %d", strings.Join(count.Path, "."), n)
		if !count.Fixed {
			c.Command = fmt.Sprintf("kubectl -n %s patch %s %s --type merge -p '%s'", x.gang.Namespace, count.Resource, x.gang.Name, count.Patch(n))
		}
	}
	return x.tryChange(x.withSpec(func(s *kube.Spec) { s.MinCount = n }), c)
}

// minMembersOfRoles returns the number of members that the roles of the gang
// need, which no other number lowers. The number of a workload's gang replaces
// what its roles need.
func (x *explainer) minMembersOfRoles() int {
	if x.gang.Dialect == kube.DialectAuto {
		return 0
	}
	return kube.TotalMinimum(x.gang.Declaration.Roles)
}

// proposeRestart proposes to start the bound members again with the others:
// they may pin the gang to a domain that is too small.
func (x *explainer) proposeRestart() ([]Change, error) {
	if len(x.gang.Bound) == 0 || len(x.gang.Bound) >= x.gang.Spec.MinCount {
		return nil, nil // what runs as a gang is not to be stopped
	}
	t := x.gang.currentScenario()
	t.deleted = x.gang.Bound
	t.waiting, t.bound = slices.Concat(unboundCopies(x.gang.Bound), x.gang.Waiting), nil
	names := make([]string, len(x.gang.Bound))
	for i, pod := range x.gang.Bound {
		names[i] = pod.Name
	}
	return x.tryChange(t, Change{
		Kind:    ChangeRestart,
		Text:    fmt.Sprintf("start again elsewhere: delete the %s with a node, if a controller creates them again", formatPodCount(len(x.gang.Bound))),
		Command: "kubectl -n " + x.gang.Namespace + " delete pod " + strings.Join(names, " "),
	})
}

// proposeSmallerRequests proposes to ask for less of each resource that is
// short, GPUs apart.
func (x *explainer) proposeSmallerRequests() ([]Change, error) {
	var all []Change
	for _, name := range slices.Sorted(maps.Keys(x.shortResources())) {
		c, _ := x.usage.ResourceIndex(name)
		found, err := x.proposeSmallerRequest(c)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// shortResources returns the resources, GPUs apart, that limit how many members
// fit on some usable node.
func (x *explainer) shortResources() map[string]bool {
	found := map[string]bool{}
	request := x.members.Roles[x.bottleneck].Request
	for n := range x.usage.Tree.Nodes {
		id := topology.NodeID(n)
		if !x.isUsable(id) {
			continue
		}
		row, tightest := x.usage.FreeRow(id), -1
		for c, q := range request {
			if q > 0 && (tightest < 0 || max(0, row[c])/q < max(0, row[tightest])/request[tightest]) {
				tightest = c
			}
		}
		if tightest >= 0 && request[tightest] > 1 && !topology.IsGPU(x.usage.Resources[tightest]) {
			found[x.usage.Resources[tightest]] = true
		}
	}
	return found
}

// proposeSmallerRequest proposes the largest request for one resource with
// which the gang fits, in steps of a sixteenth of what is asked.
func (x *explainer) proposeSmallerRequest(column int) ([]Change, error) {
	const steps = 16
	name := x.usage.Resources[column]
	request := x.members.Roles[x.bottleneck].Request
	asked := request[column]
	for step := steps - 1; step > 0; step-- {
		amount := roundQuantity(name, asked*int64(step)/steps)
		if amount <= 0 || amount >= asked {
			continue
		}
		members, err := x.view.scenarioMembers(x.gang.currentScenario())
		if err != nil {
			return nil, err
		}
		for r := range members.Roles {
			for _, row := range append(members.Roles[r].MemberRequests, members.Roles[r].Request) {
				row[column] = min(row[column], amount)
			}
		}
		plan := placement.Solve(x.view.cluster.Usage(), &members.Gang)
		if plan.Refusal != nil {
			continue
		}
		c := Change{
			Kind:    ChangeSmallerRequest,
			Text:    fmt.Sprintf("ask for %s %s a pod instead of %s", FormatQuantity(name, amount), name, FormatQuantity(name, asked)),
			Setting: fmt.Sprintf("resources.requests.%s: %s", name, FormatQuantity(name, amount)),
		}
		x.recordOutcome(&c, members, plan)
		return []Change{c}, nil
	}
	return nil, nil
}
