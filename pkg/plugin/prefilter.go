// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const gpuWishKey fwk.StateKey = "muster.sh/gpu-wish"

// gpuWish is what a single pod asks of the GPUs of its node.
type gpuWish struct{ kube.GPUWish }

// Clone returns the wish itself, which nobody changes.
func (w *gpuWish) Clone() fwk.StateData { return w }

// PreFilter pins a member to its planned node. A member that the plan leaves
// out (one beyond the minimum, without room) is refused without a look at any
// node. For a single pod it reads what the pod asks of GPUs.
func (pl *Plugin) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	plan := planOf(state)
	if plan == nil {
		return pl.preFilterSingle(state, pod, nodes)
	}
	state.Write(planKey, plan)
	node, ok := plan.nodes[pod.UID]
	if !ok {
		return nil, fwk.NewStatus(fwk.Unschedulable, "the gang runs, but its domain has no room for this member now")
	}
	pl.gpus.observe(pod, pl.gpus.sharing.GPUWishOf(pod, plan.spec.Models, plan.spec.Memory))
	if plan.open != "" {
		return nil, nil
	}
	return &fwk.PreFilterResult{NodeNames: sets.New(node)}, nil
}

func (pl *Plugin) preFilterSingle(state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if kube.GroupOf(pod) != "" {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	if group := pl.reports.groups.GroupOf(pod); group != "" {
		_, gang := kube.SplitGroupName(group)
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf(
			"%s: pod %s was not in gang %s when it was created, and cannot join it now; delete it and create it again with its gang",
			kube.InvalidGangSpec, pod.Name, gang))
	}
	wish, err := pl.gpus.wishOf(pod)
	if err != nil {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, string(kube.InvalidGangSpec)+": "+err.Error())
	}
	if bad := kube.CheckProfiles(pod, nodes); bad != nil {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, bad.Error())
	}
	pl.gpus.observe(pod, wish)
	if wish.Any() {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	state.Write(gpuWishKey, &gpuWish{wish})
	return nil, nil
}

// wishOf reads the annotations of a single pod.
func (a *appraiser) wishOf(pod *v1.Pod) (kube.GPUWish, error) {
	var models []string
	var memory gpu.MemoryFloor
	var err error
	if text, ok := pod.Annotations[kube.AnnotationGPUModels]; ok {
		if models, err = kube.ParseModels(text); err != nil {
			return kube.GPUWish{}, fmt.Errorf("%s: %w", kube.AnnotationGPUModels, err)
		}
	}
	if text, ok := pod.Annotations[kube.AnnotationGPUMemory]; ok {
		if memory, err = gpu.ParseMemoryFloor(text); err != nil {
			return kube.GPUWish{}, fmt.Errorf("%s: %w", kube.AnnotationGPUMemory, err)
		}
	}
	return a.sharing.GPUWishOf(pod, models, memory), nil
}

// PreFilterExtensions returns nil: nothing here depends on other pods.
func (pl *Plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }
