// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

const wishKey fwk.StateKey = "muster.sh/wish"

// wish is what Score needs to know of a pod, read once per cycle.
type wish struct {
	// node is the planned node of a member; "" for a single pod.
	node string
	// device is the extended resource that the pod asks most of, and amount
	// how much; "" when it asks for none.
	device v1.ResourceName
	amount int64
}

// Clone returns the wish itself, which nobody changes.
func (w *wish) Clone() fwk.StateData { return w }

// PreScore reads what the pod wishes for.
func (pl *Plugin) PreScore(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if plan := planOf(state); plan != nil {
		state.Write(wishKey, &wish{node: plan.nodes[pod.UID]})
		return nil
	}
	w := &wish{}
	for name, quantity := range kube.Requests(pod) {
		amount := quantity.Value()
		if isDevice(name) && (amount > w.amount || amount == w.amount && name < w.device) {
			w.device, w.amount = name, amount
		}
	}
	state.Write(wishKey, w)
	return nil
}

// Score steers a member to its planned node, packs a single pod's devices onto
// nodes that are in use already, so that whole nodes stay free for gangs, and
// keeps pods without devices off nodes that have some.
func (pl *Plugin) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	data, err := state.Read(wishKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	w := data.(*wish)
	switch {
	case w.node != "":
		if node.Node().Name == w.node {
			return fwk.MaxNodeScore, nil
		}
		return 0, nil
	case w.device != "":
		return packed(w, node), nil
	case hasDevices(node):
		return 0, nil
	}
	return fwk.MaxNodeScore, nil
}

// ScoreExtensions returns nil: scores are on the framework's scale already.
func (pl *Plugin) ScoreExtensions() fwk.ScoreExtensions { return nil }

// packed is the share of the node's devices that are in use once the pod is
// there, in percent.
func packed(w *wish, node fwk.NodeInfo) int64 {
	total := node.GetAllocatable().GetScalarResources()[w.device]
	if total <= 0 {
		return 0
	}
	used := node.GetRequested().GetScalarResources()[w.device] + w.amount
	return min(fwk.MaxNodeScore*used/total, fwk.MaxNodeScore)
}

func hasDevices(node fwk.NodeInfo) bool {
	for name, amount := range node.GetAllocatable().GetScalarResources() {
		if amount > 0 && isDevice(name) {
			return true
		}
	}
	return false
}

// deviceDomains are the resource name prefixes of accelerators.
var deviceDomains = []string{"nvidia.com/", "amd.com/", "gpu.intel.com/", "habana.ai/", "google.com/tpu", "aws.amazon.com/neuron"}

func isDevice(name v1.ResourceName) bool {
	return slices.ContainsFunc(deviceDomains, func(prefix string) bool { return strings.HasPrefix(string(name), prefix) })
}
