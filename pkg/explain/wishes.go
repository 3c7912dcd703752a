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

// with is the gang with another specification.
func (x *explainer) with(change func(*kube.Spec)) trial {
	t := x.g.trial()
	spec := *t.spec
	change(&spec)
	t.spec = &spec
	return t
}

// wider proposes the narrowest wider level that holds the gang.
func (x *explainer) wider() ([]Change, error) {
	tree := x.usage.Tree
	for l := x.g.Spec.Required - 1; l >= 0; l-- {
		if len(tree.DomainsAt(l)) == 0 {
			continue
		}
		t := x.with(func(s *kube.Spec) { s.Required = l })
		found, err := x.try(t, Change{
			Kind:    Wider,
			Text:    fmt.Sprintf("ask for one %s instead of one %s", tree.Levels[l], tree.Levels[x.g.Spec.Required]),
			Setting: kube.AnnotationTopologyRequired + ": " + tree.Levels[l],
			Command: x.command(edit{set: map[string]string{kube.AnnotationTopologyRequired: tree.Levels[l]}}),
		})
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

// preferred proposes to prefer the level that is required.
func (x *explainer) preferred() ([]Change, error) {
	required := x.g.Spec.Required
	if required < 0 {
		return nil, nil
	}
	name := x.usage.Tree.Levels[required]
	t := x.with(func(s *kube.Spec) { s.Required, s.Preferred = topology.NoLevel, required })
	return x.try(t, Change{
		Kind:    Preferred,
		Text:    fmt.Sprintf("prefer one %s instead of requiring it", name),
		Setting: kube.AnnotationTopologyPreferred + ": " + name + " in place of " + x.origin(kube.AnnotationTopologyRequired).Word,
		Command: x.command(edit{drop: []string{kube.AnnotationTopologyRequired}, set: map[string]string{kube.AnnotationTopologyPreferred: name}}),
	})
}

// slices proposes to give the sub-blocks up.
func (x *explainer) slices() ([]Change, error) {
	if len(x.g.Spec.Slices) == 0 {
		return nil, nil
	}
	s := x.g.Spec.Slices[0]
	keys := slices.DeleteFunc(kube.SliceAnnotations(), func(key string) bool { return x.g.Declaration.Terms[key].Value == "" })
	return x.try(x.with(func(s *kube.Spec) { s.Slices = nil }), Change{
		Kind:    Slices,
		Text:    fmt.Sprintf("no longer ask for every %d in one %s", s.Size, x.usage.Tree.Levels[s.Level]),
		Setting: x.without(keys...),
		Command: x.command(edit{drop: keys}),
	})
}

// models proposes each other GPU model that holds the gang.
func (x *explainer) models() ([]Change, error) {
	if len(x.g.Spec.Models) == 0 {
		return nil, nil
	}
	var all []Change
	for _, product := range x.usage.Tree.Products {
		if slices.ContainsFunc(x.g.Spec.Models, func(m string) bool { return gpu.MatchesLabel(m, product) }) {
			continue
		}
		longer := append(slices.Clone(x.g.Spec.Models), product)
		value := strings.Join(longer, ",")
		found, err := x.try(x.with(func(s *kube.Spec) { s.Models = longer }), Change{
			Kind:    Models,
			Text:    "allow " + product + " too",
			Setting: fmt.Sprintf("%s: %q", kube.AnnotationGPUModels, value),
			Command: x.command(edit{set: map[string]string{kube.AnnotationGPUModels: value}}),
		})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// memory proposes to accept GPUs of less memory.
func (x *explainer) memory() ([]Change, error) {
	if x.g.Spec.Memory <= 0 {
		return nil, nil
	}
	return x.try(x.with(func(s *kube.Spec) { s.Memory = 0 }), Change{
		Kind:    Memory,
		Text:    fmt.Sprintf("accept GPUs with less memory than %s", strings.TrimPrefix(x.g.Spec.Memory.String(), ">=")),
		Setting: x.without(kube.AnnotationGPUMemory),
		Command: x.command(edit{drop: []string{kube.AnnotationGPUMemory}}),
	})
}

// fewer proposes the largest number of members that can start together now.
func (x *explainer) fewer() ([]Change, error) {
	have := len(x.g.Waiting) + len(x.g.Bound)
	least, most := max(len(x.g.Bound)+1, x.leastOfParts()), min(x.g.Spec.MinCount, have+1)
	if least >= most {
		return nil, nil
	}
	var failed error
	// The engine places any smaller number where it places a larger one.
	n := least + sort.Search(most-least, func(i int) bool {
		_, plan, err := x.p.solve(x.with(func(s *kube.Spec) { s.MinCount = least + i }))
		if err != nil {
			failed = err
		}
		return err != nil || plan.Refusal != nil
	}) - 1
	if failed != nil || n < least {
		return nil, failed
	}
	c := Change{Kind: Fewer, Text: fmt.Sprintf("start with %s instead of %d", pods(n), x.g.Spec.MinCount)}
	switch count := dialect.CountFieldOf(x.g.Declaration); {
	case x.g.Dialect == dialect.DialectKueue: // which takes as many pods and no more
		c.Setting = fmt.Sprintf("%s: \"%d\", and no more pods than that", count.Path[0], n)
	case count.Resource == "":
		c.Setting = fmt.Sprintf("%s: \"%d\"", count.Path[0], n)
	case x.origin(kube.AnnotationRoles).Word == "spec.subGroupPolicy":
		c.Setting = fmt.Sprintf("%s: %d, and no minSubGroups in spec.subGroupPolicy that add up to more", strings.Join(count.Path, "."), n)
	default:
		c.Setting = fmt.Sprintf("%s: %d", strings.Join(count.Path, "."), n)
		if !count.Fixed {
			c.Command = fmt.Sprintf("kubectl -n %s patch %s %s --type merge -p '%s'", x.g.Namespace, count.Resource, x.g.Name, count.Patch(n))
		}
	}
	return x.try(x.with(func(s *kube.Spec) { s.MinCount = n }), c)
}

// leastOfParts is the number of members that the roles of the gang need, which
// no other number makes smaller. The number of a workload's gang replaces what
// its roles need.
func (x *explainer) leastOfParts() int {
	if x.g.Dialect == kube.DialectAuto {
		return 0
	}
	return kube.LeastOf(x.g.Declaration.Roles)
}

// restart proposes to start the bound members again with the others.
func (x *explainer) restart() ([]Change, error) {
	if len(x.g.Bound) == 0 || len(x.g.Bound) >= x.g.Spec.MinCount {
		return nil, nil // what runs as a gang is not to be stopped
	}
	t := x.g.trial()
	t.gone = x.g.Bound
	t.waiting, t.bound = slices.Concat(unbound(x.g.Bound), x.g.Waiting), nil
	names := make([]string, len(x.g.Bound))
	for i, pod := range x.g.Bound {
		names[i] = pod.Name
	}
	return x.try(t, Change{
		Kind:    Restart,
		Text:    fmt.Sprintf("start again elsewhere: delete the %s with a node, if a controller creates them again", pods(len(x.g.Bound))),
		Command: "kubectl -n " + x.g.Namespace + " delete pod " + strings.Join(names, " "),
	})
}

// smaller proposes to ask for less of what is short, unless that is GPUs.
func (x *explainer) smaller() ([]Change, error) {
	var all []Change
	for _, name := range slices.Sorted(maps.Keys(x.shortOf())) {
		c, _ := x.usage.ResourceIndex(name)
		found, err := x.lessOf(c)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// shortOf are the resources, GPUs apart, that bound how many members fit on
// some node that may be used.
func (x *explainer) shortOf() map[string]bool {
	found := map[string]bool{}
	request := x.members.Roles[x.scarce].Request
	for n := range x.usage.Tree.Nodes {
		id := topology.NodeID(n)
		if !x.usable(id) {
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

// lessOf finds the largest request for one resource with which the gang fits,
// in steps of a sixteenth of what is asked.
func (x *explainer) lessOf(column int) ([]Change, error) {
	const steps = 16
	name := x.usage.Resources[column]
	request := x.members.Roles[x.scarce].Request
	asked := request[column]
	for step := steps - 1; step > 0; step-- {
		amount := rounded(name, asked*int64(step)/steps)
		if amount <= 0 || amount >= asked {
			continue
		}
		members, err := x.p.members(x.g.trial())
		if err != nil {
			return nil, err
		}
		for r := range members.Roles {
			if members.Roles[r].Request[column] > amount {
				members.Roles[r].Request[column] = amount
			}
		}
		plan := placement.Solve(x.p.cluster.Usage(), &members.Gang)
		if plan.Refusal != nil {
			continue
		}
		c := Change{
			Kind:    Smaller,
			Text:    fmt.Sprintf("ask for %s %s a pod instead of %s", Amount(name, amount), name, Amount(name, asked)),
			Setting: fmt.Sprintf("resources.requests.%s: %s", name, Amount(name, amount)),
		}
		x.conclude(&c, members, plan)
		return []Change{c}, nil
	}
	return nil, nil
}
