// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// byLabel knows the gangs that are declared by a label.
type byLabel struct{ Groups }

func (byLabel) GroupOf(pod *v1.Pod) string {
	if name := pod.Labels[kube.LabelGang]; name != "" {
		return kube.GroupName(kube.DialectLabel, name)
	}
	return ""
}

func TestPreFilter_APodJoinsNoGangAfterItsCreation(t *testing.T) {
	pod := want("p", gpu.Resource, 1)
	free := offer("a", "NVIDIA-A100-PCIE-40GB", gpu.Resource, 4, 0)
	assert.Empty(t, refusedBy(t, alone(), pod, free))
	pod.Labels = map[string]string{kube.LabelGang: "train"}
	assert.Equal(t, "InvalidGangSpec: pod p was not in gang train when it was created, and cannot join it now; delete it and create it again with its gang",
		refusedBy(t, alone(), pod, free))
}
