// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Filter keeps a single pod that names GPU models off nodes with other ones.
// Members of gangs were planned with their models in mind.
func (pl *Plugin) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	want := wantedModels(state)
	if len(want) == 0 {
		return nil
	}
	product := kube.GPUProduct(node.Node())
	for _, model := range want {
		if topology.MatchesModel(model, product) {
			return nil
		}
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable,
		fmt.Sprintf("node has GPU model %q, the pod asks for %s", product, strings.Join(want, " or ")))
}
