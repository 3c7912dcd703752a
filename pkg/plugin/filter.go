// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// Filter keeps a single pod off nodes whose GPUs are not what it asks for:
// another model, too little memory, or slices and shared devices where whole
// ones are wanted. Members of gangs were planned with their wish in mind.
func (pl *Plugin) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	data, err := state.Read(gpuWishKey)
	if err != nil {
		return nil // the pod wishes for nothing
	}
	if why := data.(*gpuWish).Refuse(node.Node()); why != nil {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why.Error())
	}
	return nil
}
