// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const wishKey fwk.StateKey = "muster.sh/wish"

// wish is what Score needs to know of a pod, read once per cycle.
type wish struct {
	kind kind
	// node is the planned node of a member.
	node string
	// request and scorer are those of a pod that asks for nvidia.com/gpu.
	request gpu.Request
	scorer  *gpu.Scorer
	devices devices
	// device is the extended resource that a pod with other devices asks most
	// of, and amount how much.
	device v1.ResourceName
	amount int64
	// board is what is known of the nodes; nil for a pod without devices.
	board *board
	// firm says that the pod itself prefers no node to another, so that only
	// what its GPUs leave behind counts.
	firm bool
}

// kind is the way in which nodes are scored for a pod.
type kind uint8

const (
	member     kind = iota // a member of a gang: its node
	fractional             // GPUs, by count or by claim: what is left for others
	sliced                 // nvidia.com/mig-*: what is cut already
	counted                // other devices: what is in use already
	plain                  // no devices: nodes without
)

// Clone returns the wish itself, which nobody changes.
func (w *wish) Clone() fwk.StateData { return w }

// PreScore reads what the pod wishes for.
func (pl *Plugin) PreScore(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if plan := planOf(state); plan != nil {
		state.Write(wishKey, &wish{kind: member, node: plan.nodes[pod.UID]})
		return nil
	}
	w := &wish{kind: plain, firm: !prefers(pod)}
	for name, quantity := range kube.Requests(pod) {
		amount := quantity.Value()
		if isDevice(name) && (amount > w.amount || amount == w.amount && name < w.device) {
			w.kind, w.device, w.amount = counted, name, amount
		}
	}
	switch {
	case w.device == gpu.Resource || w.device == "" && pl.gpus.claims.claimed(pod) > 0:
		gpus, err := pl.gpus.wishOf(pod)
		if err != nil {
			return fwk.AsStatus(err)
		}
		w.kind, w.request, w.scorer = fractional, pl.gpus.request(pod, gpus), pl.gpus.scorer()
		w.devices = pl.gpus.claims.look()
	case strings.HasPrefix(string(w.device), gpu.ResourcePrefix):
		w.kind = sliced
	}
	if w.kind != plain {
		var err error
		if w.board, err = pl.board(); err != nil {
			return fwk.AsStatus(err)
		}
	}
	state.Write(wishKey, w)
	return nil
}

// prefers tells whether the pod prefers some nodes to others by itself.
func prefers(pod *v1.Pod) bool {
	soft := func(c v1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == v1.ScheduleAnyway }
	if slices.ContainsFunc(pod.Spec.TopologySpreadConstraints, soft) {
		return true
	}
	a := pod.Spec.Affinity
	return a != nil && (a.NodeAffinity != nil && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 ||
		a.PodAffinity != nil && len(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 ||
		a.PodAntiAffinity != nil && len(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0)
}

// Score steers a member to its planned node. It puts a single pod where its
// GPUs leave the most to the pods that the cluster usually runs, packs MIG
// instances and other devices, so that whole nodes stay free for gangs, keeps
// both off the domains that gangs need, see placement.IdleIndex, and pods without
// devices off nodes that have some.
func (pl *Plugin) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	data, err := state.Read(wishKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	w := data.(*wish)
	switch w.kind {
	case member:
		if node.Node().Name == w.node {
			return fwk.MaxScore, nil
		}
		return 0, nil
	case fractional, sliced, counted:
		return w.board.score(w, node), nil
	case plain:
		if hasDevices(node) {
			return 0, nil
		}
	}
	return fwk.MaxScore, nil
}

// ScoreExtensions returns the plugin itself, see NormalizeScore.
func (pl *Plugin) ScoreExtensions() fwk.ScoreExtensions { return pl }

// lead is how far the best node stands out for a pod without preferences of its
// own. With the plugin's weight of 20 it is more than what kube-scheduler's
// scores for spare processors and memory, for balance and for cached images
// come to (100 each): spreading pods is what breaks up whole nodes.
const lead = 16

// NormalizeScore brings the scores of a pod with devices to the framework's
// scale. Exactly one node is the best: of equal ones the first by name, since
// the framework would pick one by chance.
func (pl *Plugin) NormalizeScore(ctx context.Context, state fwk.CycleState, pod *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	data, err := state.Read(wishKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	w := data.(*wish)
	if w.kind == member || w.kind == plain || len(scores) == 0 {
		return nil
	}
	best := 0
	for i, s := range scores {
		if s.Score > scores[best].Score || s.Score == scores[best].Score && s.Name < scores[best].Name {
			best = i
		}
	}
	scores[0], scores[best] = scores[best], scores[0]
	values := make([]int64, len(scores))
	for i, s := range scores {
		values[i] = s.Score
	}
	gpu.NormalizeScores(values, fwk.MaxScore)
	for i, value := range values {
		if w.firm && i > 0 {
			value = max(0, value-lead)
		}
		scores[i].Score = value
	}
	scores[0], scores[best] = scores[best], scores[0] // the list has an order of its own
	if w.kind == fractional && w.request.GPUs > 1 && pl.handle != nil {
		pl.tellLinks(ctx, w, pod, scores[best].Name)
	}
	return nil
}

// tellLinks writes down how well the GPUs of a pod will reach each other on the
// node that suits it best, and whether that is exact: the driver published which
// devices are free, and these are the best of them; or estimated from counts.
func (pl *Plugin) tellLinks(ctx context.Context, w *wish, pod *v1.Pod, node string) {
	info, err := pl.handle.SnapshotSharedLister().NodeInfos().Get(node)
	if err != nil {
		return
	}
	reach, known := pl.gpus.of(info.Node()).reachOf(w.devices.freeOn(info), w.request.GPUs)
	if !known {
		return
	}
	basis := "estimated"
	if reach.Exact {
		basis = "exact"
	}
	klog.FromContext(ctx).V(2).Info("Scored GPU links", "pod", klog.KObj(pod), "node", node, "gpus", w.request.GPUs,
		"link", reach.Link.String(), "direct", reach.Direct.String(), "score", reach.Score, "basis", basis)
}

// packed is the share of the node's devices that are in use once the pod is
// there, in percent.
func packed(w *wish, node fwk.NodeInfo) int64 {
	return percent(node.GetRequested().GetScalarResources()[w.device]+w.amount, node.GetAllocatable().GetScalarResources()[w.device])
}

func percent(used, total int64) int64 {
	if total <= 0 {
		return 0
	}
	return min(fwk.MaxScore*used/total, fwk.MaxScore)
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
