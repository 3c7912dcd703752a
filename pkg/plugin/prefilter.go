// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

const modelsKey fwk.StateKey = "muster.sh/models"

// models is the GPU models that a single pod asks for.
type models []string

// Clone returns the list itself, which nobody changes.
func (m models) Clone() fwk.StateData { return m }

// PreFilter pins a member to its planned node. A member that the plan leaves
// out (one beyond the minimum, without room) is refused without a look at any
// node. For a single pod it reads the models that the pod asks for.
func (pl *Plugin) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	plan := planOf(state)
	if plan == nil {
		return pl.preFilterSingle(state, pod)
	}
	state.Write(planKey, plan)
	node, ok := plan.nodes[pod.UID]
	if !ok {
		return nil, fwk.NewStatus(fwk.Unschedulable, "the gang runs, but its domain has no room for this member now")
	}
	if plan.open != "" {
		return nil, nil
	}
	return &fwk.PreFilterResult{NodeNames: sets.New(node)}, nil
}

func (pl *Plugin) preFilterSingle(state fwk.CycleState, pod *v1.Pod) (*fwk.PreFilterResult, *fwk.Status) {
	text, ok := pod.Annotations[kube.AnnotationGPUModels]
	if _, member := groupName(pod); !ok || member {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	list, err := kube.ParseModels(text)
	if err != nil {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, string(kube.InvalidGangSpec)+": "+err.Error())
	}
	state.Write(modelsKey, models(list))
	return nil, nil
}

// PreFilterExtensions returns nil: nothing here depends on other pods.
func (pl *Plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

func wantedModels(state fwk.CycleState) models {
	data, err := state.Read(modelsKey)
	if err != nil {
		return nil
	}
	return data.(models)
}
