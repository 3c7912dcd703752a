// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// verdict is why a gang does not run: a stable reason and a sentence.
type verdict struct {
	reason  kube.Reason
	message string
	// lacks is the least that must be given back of each resource that the gang
	// asks for before it can fit; empty when that is not known.
	lacks amounts
}

// Error is what stands in the pods' conditions.
func (v *verdict) Error() string { return fmt.Sprintf("%s: %s", v.reason, v.message) }

// Is makes a verdict pass as the scheduler's own "pod group is unschedulable",
// which is not exported: the scheduler then logs a refusal as a refusal and not
// as an error of the plugin.
func (v *verdict) Is(target error) bool { return target.Error() == "pod group is unschedulable" }

// needsCapacity reports whether room in the cluster could change the verdict,
// rather than the user.
func (v *verdict) needsCapacity() bool {
	switch v.reason {
	case kube.NoFittingDomain, kube.GangTooLarge, kube.TopologyLevelUnused, kube.TopologyDrift, kube.InvalidMIGProfile:
		return true
	}
	return false
}

// needsRoom reports whether pods that leave could change the verdict. The other
// lacks of capacity are those of the nodes themselves.
func (v *verdict) needsRoom() bool { return v.reason == kube.NoFittingDomain }

// anyPod is what a gang lacks that any pod that leaves may help.
var anyPod = amounts{string(v1.ResourcePods): 1}

func (v *verdict) lacking() amounts {
	if len(v.lacks) == 0 {
		return anyPod
	}
	return v.lacks
}

// status maps a verdict to the framework's answer. Only a lack of room is worth
// preempting for.
func (v *verdict) status() *fwk.Status {
	if v == nil {
		return nil
	}
	code := fwk.UnschedulableAndUnresolvable
	if v.reason == kube.NoFittingDomain {
		code = fwk.Unschedulable
	}
	return fwk.NewStatus(code).WithError(v)
}
