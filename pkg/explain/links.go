// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// Links is the quality of the links between the GPUs of a pod.
type Links struct {
	// Link is the slowest on the best path between any two of them, as
	// nvidia-smi calls it: "NV18".
	Link string `json:"link"`
	// Basis is exact where every choice of GPUs comes to the same, and estimated
	// where it depends on those that the kubelet picks: then Link is that of the
	// middle one of the possible cases.
	Basis Basis `json:"basis"`
}

// Basis is how sure a statement is.
type Basis string

// How sure.
const (
	Exact     Basis = "exact"
	Estimated Basis = "estimated"
)

// linksOf returns the links of a pod that gets its GPUs from so many free ones
// of a node, or nil if nothing is known of them, or it asks for fewer than two.
// Which GPUs a running pod has is as little known as which ones are free: free
// is then what it has.
func linksOf(pod *v1.Pod, node *v1.Node, free func(asked int) int) *Links {
	request := resource.PodRequests(pod, resource.PodResourcesOptions{})[gpu.Resource]
	asked := int(request.Value())
	links := kube.GPUNode(node).Links
	if asked < 2 || links == nil || asked > links.DeviceCount() || free(asked) > links.DeviceCount() {
		return nil
	}
	reach, ok := links.EstimateQuality(free(asked), asked)
	switch {
	case !ok:
		return nil
	case reach.Exact:
		return &Links{reach.Link.String(), Exact}
	}
	return &Links{reach.Link.String(), Estimated}
}

// heldGPUs returns the number of GPUs from which those of a running pod are
// taken: the ones it has.
func heldGPUs(asked int) int { return asked }

// freeGPUs returns a function that returns the number of free GPUs of a node,
// whatever is asked.
func (v *ClusterView) freeGPUs(node string) func(int) int {
	info := v.infos[v.index[node]]
	free := info.GetAllocatable().GetScalarResources()[gpu.Resource] - info.GetRequested().GetScalarResources()[gpu.Resource]
	return func(int) int { return int(max(0, free)) }
}
