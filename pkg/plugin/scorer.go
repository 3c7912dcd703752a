// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// podScorer filters and scores nodes for single pods, and steers members of gangs
// to their nodes.
type podScorer struct {
	handle  fwk.Handle // nil in benchmarks, which have no snapshot to log from
	gpus    *gpuInventory
	planner *planner
	reports *reporter
}

const (
	scoreKey  fwk.StateKey = "muster.sh/score"
	filterKey fwk.StateKey = "muster.sh/filter"
)

// filterState is what a single pod demands of its node, read once per cycle.
type filterState struct {
	gpus kube.GPURequirements
	// asks is what the pod asks for, and held what is kept from it, by node; nil
	// where nothing is.
	asks queue.Quantities
	held map[string]queue.Quantities
}

// Clone returns the state itself, which nobody changes.
func (s *filterState) Clone() fwk.StateData { return s }

// scoreState is what Score needs to know of a pod, read once per cycle.
type scoreState struct {
	kind podKind
	// node is the planned node of a member.
	node string
	// request and scorer are those of a pod that asks for nvidia.com/gpu.
	request gpu.Request
	scorer  *gpu.Scorer
	devices devices
	// inOrder says that the pod takes the GPUs that come first on its node.
	inOrder bool
	// device is the extended resource that a pod with other devices asks most
	// of, and amount how much.
	device v1.ResourceName
	amount int64
	// table is what is known of the nodes; nil for a pod without devices.
	table *scoreTable
	// noPreference says that the pod itself prefers no node to another, so that
	// only what its GPUs leave behind counts.
	noPreference bool
}

// Clone returns the state itself, which nobody changes.
func (s *scoreState) Clone() fwk.StateData { return s }

// podKind is the way in which nodes are scored for a pod.
type podKind uint8

const (
	gangMember  podKind = iota // its planned node
	gpuCount                   // GPUs, by count or by claim: what is left for others
	migInstance                // nvidia.com/mig-*: what is cut already
	otherDevice                // what is in use already
	noDevice                   // nodes without devices
)

// preFilterMember pins a member to its planned node. A member that the plan leaves
// out (one beyond the minimum, without room) is refused without a look at any
// node.
func (s *podScorer) preFilterMember(plan *gangPlan, pod *v1.Pod) (*fwk.PreFilterResult, *fwk.Status) {
	node, ok := plan.nodes[pod.UID]
	switch {
	case plan.spec.Runs.IsLater(pod):
		return nil, fwk.NewStatus(fwk.Unschedulable, textOf(newVerdict(kube.GangConfigConflict, "%s", plan.spec.Runs.Message)))
	case !ok:
		return nil, fwk.NewStatus(fwk.Unschedulable, "the gang runs, but its domain has no room for this member now")
	}
	s.gpus.observePod(pod, s.gpus.sharing.GPURequirementsOf(pod, plan.spec.Models, plan.spec.Memory))
	if plan.unmodelled != "" {
		return nil, nil
	}
	return &fwk.PreFilterResult{NodeNames: sets.New(node)}, nil
}

// preFilterSingle reads what a single pod demands of its node.
func (s *podScorer) preFilterSingle(state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if kube.GroupOf(pod) != "" {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	if group := s.reports.groups.GroupOf(pod); group != "" {
		_, gang := kube.SplitGroupName(group)
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf(
			"%s: pod %s was not in gang %s when it was created, and cannot join it now; delete it and create it again with its gang",
			kube.InvalidGangSpec, pod.Name, gang))
	}
	demands, err := s.gpus.requirementsOf(pod)
	if err != nil {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, string(kube.InvalidGangSpec)+": "+err.Error())
	}
	if bad := kube.CheckProfiles(pod, nodes); bad != nil {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, bad.Error())
	}
	s.gpus.observePod(pod, demands)
	held := s.planner.gangs.reservedAgainst(pod)
	if demands.AcceptsAny() && held == nil {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	state.Write(filterKey, &filterState{gpus: demands, asks: requestsOf(pod), held: held})
	return nil, nil
}

// filterSingle keeps a single pod off nodes whose GPUs are not what it asks for: another
// model, too little memory, or slices and shared devices where whole ones are
// wanted; and off room that is kept for gangs that go before it. Members of gangs
// were planned with both in mind.
func (s *podScorer) filterSingle(state fwk.CycleState, node fwk.NodeInfo) *fwk.Status {
	data, err := state.Read(filterKey)
	if err != nil {
		return nil // the pod demands nothing
	}
	demands := data.(*filterState)
	if held := demands.held[node.Node().Name]; held != nil && !fitsBeside(demands.asks, held, node) {
		return fwk.NewStatus(fwk.Unschedulable, "the node's free devices are kept for a gang that waits longer, while pods end there")
	}
	if why := demands.gpus.CheckNode(node.Node()); why != nil {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why.Error())
	}
	return nil
}

// fitsBeside reports whether a pod fits a node beside what is held there. Only
// devices are kept: processors and memory are seldom what a gang waits for, and
// pods without devices are not to wait for gangs.
func fitsBeside(asks, held queue.Quantities, node fwk.NodeInfo) bool {
	allocatable, requested := node.GetAllocatable().GetScalarResources(), node.GetRequested().GetScalarResources()
	for name, kept := range held {
		resource := v1.ResourceName(name)
		if asks[name] == 0 || !gpu.TakesDevice(name) {
			continue
		}
		if allocatable[resource]-requested[resource]-kept < asks[name] {
			return false
		}
	}
	return true
}

// preScore reads what the nodes are scored by for a pod.
func (s *podScorer) preScore(state fwk.CycleState, pod *v1.Pod) *fwk.Status {
	if plan := planOf(state); plan != nil {
		state.Write(scoreKey, &scoreState{kind: gangMember, node: plan.nodes[pod.UID]})
		return nil
	}
	w := &scoreState{noPreference: len(kube.PreferencesOf(&pod.Spec)) == 0}
	w.classifyPod(pod, s.gpus)
	if w.kind == gpuCount {
		demands, err := s.gpus.requirementsOf(pod)
		if err != nil {
			return fwk.AsStatus(err)
		}
		w.request, w.scorer = s.gpus.requestOf(pod, demands), s.gpus.currentScorer()
		w.devices, w.inOrder = s.gpus.claims.snapshotDevices(), s.gpus.claims.takesInOrder(pod)
	}
	if w.kind != noDevice {
		var err error
		if w.table, err = s.planner.scoreTable(s.gpus); err != nil {
			return fwk.AsStatus(err)
		}
	}
	state.Write(scoreKey, w)
	return nil
}

// classifyPod finds the device that a pod asks most of, whole ones first, and by
// that its kind.
func (s *scoreState) classifyPod(pod *v1.Pod, gpus *gpuInventory) {
	s.kind = noDevice
	for name, quantity := range kube.PodRequests(pod) {
		amount := quantity.Value()
		kind := gpu.KindOf(string(name))
		if kind == gpu.NoDevice || amount <= 0 {
			continue
		}
		if s.device == "" || cmp.Or(cmp.Compare(kind, gpu.KindOf(string(s.device))), cmp.Compare(s.amount, amount), cmp.Compare(name, s.device)) < 0 {
			s.kind, s.device, s.amount = otherDevice, name, amount
		}
	}
	switch {
	case s.device == gpu.Resource || s.device == "" && gpus.claims.claimedGPUs(pod) > 0:
		s.kind = gpuCount
	case strings.HasPrefix(string(s.device), gpu.ResourcePrefix):
		s.kind = migInstance
	}
}

// scoreNode steers a member to its planned node. It puts a single pod where its GPUs
// leave the most to the pods that the cluster usually runs, packs MIG instances
// and other devices, so that whole nodes stay free for gangs, keeps both off the
// domains that gangs need, see placement.IdleIndex, and pods without devices off nodes
// that have some.
func (s *podScorer) scoreNode(state fwk.CycleState, node fwk.NodeInfo) (int64, *fwk.Status) {
	data, err := state.Read(scoreKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	w := data.(*scoreState)
	switch w.kind {
	case gangMember:
		if node.Node().Name == w.node {
			return fwk.MaxScore, nil
		}
		return 0, nil
	case gpuCount, migInstance, otherDevice:
		return w.table.scoreNode(w, node), nil
	case noDevice:
		if hasDevices(node) {
			return 0, nil
		}
	}
	return fwk.MaxScore, nil
}

// preferenceMargin is how far the best node stands out for a pod without
// preferences of its own. With the plugin's weight of 20 it is more than what
// kube-scheduler's scores for spare processors and memory, for balance and for
// cached images come to (100 each): spreading pods is what breaks up whole nodes.
const preferenceMargin = 16

// normalizeScores brings the scores of a pod with devices to the framework's scale.
// Exactly one node is the best: of equal ones the first by name, since the
// framework would pick one by chance.
func (s *podScorer) normalizeScores(ctx context.Context, state fwk.CycleState, pod *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	data, err := state.Read(scoreKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	w := data.(*scoreState)
	if w.kind == gangMember || w.kind == noDevice || len(scores) == 0 {
		return nil
	}
	best := bestNode(scores)
	scores[0], scores[best] = scores[best], scores[0]
	values := make([]int64, len(scores))
	for i, one := range scores {
		values[i] = one.Score
	}
	gpu.NormalizeScores(values, fwk.MaxScore)
	for i, value := range values {
		if w.noPreference && i > 0 {
			value = max(0, value-preferenceMargin)
		}
		scores[i].Score = value
	}
	scores[0], scores[best] = scores[best], scores[0] // the list has an order of its own
	if w.kind == gpuCount && w.request.GPUs > 1 && s.handle != nil {
		s.logLinks(ctx, w, pod, scores[best].Name)
	}
	return nil
}

// bestNode is the index of the highest score; of equal ones the first by name.
func bestNode(scores fwk.NodeScoreList) int {
	best := 0
	for i, one := range scores {
		if one.Score > scores[best].Score || one.Score == scores[best].Score && one.Name < scores[best].Name {
			best = i
		}
	}
	return best
}

// logLinks writes down how well the GPUs of a pod will reach each other on the
// node that suits it best, and whether that is exact: the driver published which
// devices are free, and the pod takes the best of them; or estimated, from counts, or
// where the pod is particular about its devices.
func (s *podScorer) logLinks(ctx context.Context, w *scoreState, pod *v1.Pod, node string) {
	info, err := s.handle.SnapshotSharedLister().NodeInfos().Get(node)
	if err != nil {
		return
	}
	free := w.devices.freeOn(info)
	reach, known := s.gpus.nodeGPUsOf(info.Node()).reachOf(free, w.request.GPUs)
	if !known {
		return
	}
	basis := "estimated"
	if reach.Exact && (w.inOrder || !free.exact) {
		basis = "exact"
	}
	klog.FromContext(ctx).V(2).Info("Scored GPU links", "pod", klog.KObj(pod), "node", node, "gpus", w.request.GPUs,
		"link", reach.Link.String(), "direct", reach.Direct.String(), "score", reach.Score, "basis", basis)
}
