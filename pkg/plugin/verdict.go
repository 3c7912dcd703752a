// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// newVerdict returns a verdict with what can change it, by its reason.
func newVerdict(reason kube.Reason, format string, args ...any) *queue.Verdict {
	return &queue.Verdict{Reason: string(reason), Message: fmt.Sprintf(format, args...), Remedy: remedyFor(reason)}
}

// remedyFor returns what can change a verdict: room, nodes, or the user.
func remedyFor(reason kube.Reason) queue.Remedy {
	switch reason {
	case kube.NoFittingDomain, kube.RoomBeingMade:
		return queue.ByRoom
	case kube.GangTooLarge, kube.GangTooComplex, kube.TopologyLevelUnused, kube.TopologyUnknownLevel, kube.TopologyDrift, kube.InvalidMIGProfile:
		return queue.ByNodes
	}
	return queue.ByUser
}

// statusOf maps a verdict to the framework's answer; nil to success. Only a lack
// of room is worth preempting for.
func statusOf(v *queue.Verdict) *fwk.Status {
	if v == nil {
		return nil
	}
	code := fwk.UnschedulableAndUnresolvable
	if v.Reason == string(kube.NoFittingDomain) {
		code = fwk.Unschedulable
	}
	return fwk.NewStatus(code).WithError(refusalError{v})
}

// refusalError is a verdict as an error of the framework.
type refusalError struct{ *queue.Verdict }

// Error is what stands in the pods' conditions.
func (e refusalError) Error() string { return textOf(e.Verdict) }

// Is makes a verdict pass as the scheduler's own "pod group is unschedulable",
// which is not exported: the scheduler then logs a refusal as a refusal and not
// as an error of the plugin.
func (e refusalError) Is(target error) bool { return target.Error() == "pod group is unschedulable" }

// textOf is the reason and the sentence of a verdict.
func textOf(v *queue.Verdict) string { return v.Reason + ": " + v.Message }
