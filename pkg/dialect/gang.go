// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// Gang is a gang as the scheduler sees it.
type Gang struct {
	// Group stands for the gang, and Declaration is what its user declared;
	// kube.ReadSpec reads both.
	Group       *schedulingapi.PodGroup
	Declaration *kube.Declaration
	// Pods are the members that have not ended, by name, each with its
	// spec.schedulingGroup set.
	Pods []*v1.Pod
}
