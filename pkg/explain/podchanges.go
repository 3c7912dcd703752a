// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// withEditedPods returns the gang with changed copies of its pods. The bound
// ones change with the others, so that they stay in one role.
func (x *explainer) withEditedPods(edit func(*v1.PodSpec)) scenario {
	t := x.gang.currentScenario()
	t.waiting, t.bound = copyPods(x.gang.Waiting, edit), copyPods(x.gang.Bound, edit)
	return t
}

// copyPods returns edited copies.
func copyPods(pods []*v1.Pod, edit func(*v1.PodSpec)) []*v1.Pod {
	all := make([]*v1.Pod, len(pods))
	for i, pod := range pods {
		changed := *pod
		changed.Spec = *pod.Spec.DeepCopy()
		edit(&changed.Spec)
		changed.Generation = 0 // what is remembered of that version does not hold for it
		all[i] = &changed
	}
	return all
}

// unboundCopies returns pods as if they were created again.
func unboundCopies(bound []*v1.Pod) []*v1.Pod {
	return copyPods(bound, func(s *v1.PodSpec) { s.NodeName = "" })
}

// proposeTolerations proposes to tolerate a taint, or all of them where no
// single one is enough.
func (x *explainer) proposeTolerations() ([]Change, error) {
	const most = 8
	var taints []v1.Taint
	for i := range x.usage.Tree.Nodes {
		n := topology.NodeID(i)
		if f := x.members.Roles[x.bottleneck].Filter; f == nil || f.Exclusions[n] != gang.Tainted {
			continue
		}
		for _, taint := range x.untoleratedTaints(n) {
			taint.TimeAdded = nil
			if !slices.Contains(taints, taint) && len(taints) < most {
				taints = append(taints, taint)
			}
		}
	}
	var all []Change
	for _, taint := range taints {
		found, err := x.tryTolerations(taint)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) > 0 || len(taints) < 2 {
		return all, nil
	}
	return x.tryTolerations(taints...)
}

// tryTolerations tries the gang with pods that tolerate the taints.
func (x *explainer) tryTolerations(taints ...v1.Taint) ([]Change, error) {
	words, settings := make([]string, len(taints)), make([]string, len(taints))
	for i := range taints {
		words[i] = taints[i].ToString()
		settings[i] = fmt.Sprintf("{key: %s, operator: Equal, value: %q, effect: %s}", taints[i].Key, taints[i].Value, taints[i].Effect)
	}
	t := x.withEditedPods(func(spec *v1.PodSpec) {
		for _, taint := range taints {
			spec.Tolerations = append(spec.Tolerations, v1.Toleration{Key: taint.Key, Operator: v1.TolerationOpEqual, Value: taint.Value, Effect: taint.Effect})
		}
	})
	noun := "taint "
	if len(taints) > 1 {
		noun = "taints "
	}
	return x.tryChange(t, Change{
		Kind: ChangeTolerations, Text: "let its pods tolerate the " + noun + joinWords(words),
		Setting: "tolerations: [" + strings.Join(settings, ", ") + "]",
	})
}

// proposeSelectors proposes to drop one entry of the pods' node selector, or
// their required node affinity, or both altogether. It proposes no command: a
// pod's selector is immutable, and the template is the user's.
func (x *explainer) proposeSelectors() ([]Change, error) {
	role := &x.members.Roles[x.bottleneck]
	if role.Filter == nil || !slices.Contains(role.Filter.Exclusions, gang.Unselected) || len(x.members.Pods[x.bottleneck]) == 0 {
		return nil, nil
	}
	spec := &x.members.Pods[x.bottleneck][0].Spec
	var all []Change
	for _, key := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		found, err := x.tryChange(x.withEditedPods(func(s *v1.PodSpec) { delete(s.NodeSelector, key) }), Change{
			Kind: ChangeSelector, Text: fmt.Sprintf("drop %s=%s from the pods' node selector", key, spec.NodeSelector[key]),
		})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if a := spec.Affinity; len(all) == 0 && a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		return x.tryChange(x.withEditedPods(dropAffinity), Change{Kind: ChangeSelector, Text: "drop the pods' required node affinity"})
	}
	if len(all) == 0 && len(spec.NodeSelector) > 1 {
		return x.tryChange(x.withEditedPods(func(s *v1.PodSpec) { s.NodeSelector = nil }), Change{Kind: ChangeSelector, Text: "drop the pods' node selector"})
	}
	return all, nil
}

// dropAffinity removes the required node affinity.
func dropAffinity(s *v1.PodSpec) {
	if s.Affinity != nil && s.Affinity.NodeAffinity != nil {
		s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
	}
}
