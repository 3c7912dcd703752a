// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"cmp"
	"slices"
)

// MilliPerGPU is one device in thousandths, the unit of shares.
const MilliPerGPU = 1000

// ModelSet is a set of GPU models, by their numbers in the caller's list. The
// empty set stands for any model.
type ModelSet uint64

// MaxModels is the number of models that a ModelSet tells apart.
const MaxModels = 64

// HasModel reports whether a model is in the set.
func (s ModelSet) HasModel(model int) bool {
	return s == 0 || model >= 0 && s&(1<<model) != 0
}

// Request is what one pod asks of a node. Two pods with equal requests are
// treated alike.
type Request struct {
	// CPUMilli is the processor request.
	CPUMilli int64
	// GPUs is the number of devices, 0 for a pod without GPUs.
	GPUs int
	// GPUMilli is how much of each device is asked for: Whole, or with GPUs 1
	// a smaller share, which has to fit on one device.
	GPUMilli int
	// Models are the models that the pod accepts.
	Models ModelSet
}

// TotalMilli is the GPU request in thousandths of a device.
func (r *Request) TotalMilli() int { return r.GPUs * r.GPUMilli }

// sharesDevice reports whether the pod leaves part of its device to others.
func (r *Request) sharesDevice() bool { return r.GPUs == 1 && r.GPUMilli < MilliPerGPU }

// isValid reports whether the fields are within their bounds.
func (r *Request) isValid() bool {
	if r.GPUs <= 0 {
		return r.GPUs == 0
	}
	return r.GPUMilli == MilliPerGPU || r.GPUs == 1 && r.GPUMilli > 0 && r.GPUMilli < MilliPerGPU
}

// normalizedRequest is the request with the fields cleared that mean nothing.
func (r Request) normalizedRequest() Request {
	if r.GPUs <= 0 {
		return Request{CPUMilli: r.CPUMilli}
	}
	return r
}

// MaxNodeGPUs is the largest number of devices of a NodeState.
const MaxNodeGPUs = 16

// NodeState is what is free on a node. Where devices are counted only, free
// ones stand before used ones.
type NodeState struct {
	// Model is the number of the node's GPU model.
	Model int
	// CPUMilli is the free processor time.
	CPUMilli int64
	// GPUs is the number of devices, at most MaxNodeGPUs.
	GPUs int
	// Free is what is free of each device, in thousandths.
	Free [MaxNodeGPUs]int16
}

// CountedNode is the state of a node on which total devices are counted, free of
// them free; only whole devices are used there. Devices beyond MaxNodeGPUs are
// left out, used ones first.
func CountedNode(model int, cpuMilli int64, free, total int) NodeState {
	total = max(0, min(total, MaxNodeGPUs))
	n := NodeState{Model: model, CPUMilli: cpuMilli, GPUs: total}
	for i := range min(free, total) {
		n.Free[i] = MilliPerGPU
	}
	return n
}

// isValid reports whether the fields are within their bounds.
func (n *NodeState) isValid() bool {
	if n.GPUs < 0 || n.GPUs > MaxNodeGPUs {
		return false
	}
	for _, f := range n.Free[:n.GPUs] {
		if f < 0 || f > MilliPerGPU {
			return false
		}
	}
	return true
}

// FreeMilli is what is free of all devices together.
func (n *NodeState) FreeMilli() int {
	sum := 0
	for _, f := range n.Free[:n.GPUs] {
		sum += int(f)
	}
	return sum
}

// HasRoomFor reports whether a pod finds room on the node. On a node or for a pod that
// cannot be (17 devices, half a device more than free) nothing fits.
func (n *NodeState) HasRoomFor(pod *Request) bool {
	if n.CPUMilli < pod.CPUMilli || !n.isValid() || !pod.isValid() {
		return false
	}
	if pod.GPUs == 0 {
		return true
	}
	if !pod.Models.HasModel(n.Model) {
		return false
	}
	room := 0
	for _, f := range n.Free[:n.GPUs] {
		if int(f) >= pod.GPUMilli {
			room++
		}
	}
	return room >= pod.GPUs
}

// AllocatePod puts a pod that fits on the node. A pod that shares goes on the given
// device; others take the first devices with room.
func (n *NodeState) AllocatePod(pod *Request, device int) {
	n.CPUMilli -= pod.CPUMilli
	if pod.sharesDevice() {
		n.Free[device] -= int16(pod.GPUMilli)
		return
	}
	left := pod.GPUs
	for i := 0; i < n.GPUs && left > 0; i++ {
		if int(n.Free[i]) >= pod.GPUMilli {
			n.Free[i] -= int16(pod.GPUMilli)
			left--
		}
	}
}

// TypicalRequest is a request that a cluster sees often.
type TypicalRequest struct {
	Request
	// Share is how often it comes, in parts of a billion of the workload.
	Share int64
}

// shareUnit is the sum of all shares of a workload, but for rounding.
const shareUnit = 1_000_000_000

// Workload is what a cluster usually runs, the most frequent request first.
type Workload []TypicalRequest

// RequestHistogram counts the pods that were seen, to find out what is typical. The zero
// value has seen nothing.
type RequestHistogram struct {
	counts map[Request]int
	total  int
}

// AddPod counts one pod.
func (t *RequestHistogram) AddPod(pod Request) { t.AddPods(pod, 1) }

// AddPods counts a number of equal pods; none and fewer count nothing.
func (t *RequestHistogram) AddPods(pod Request, times int) {
	if times < 1 {
		return
	}
	if t.counts == nil {
		t.counts = map[Request]int{}
	}
	t.counts[pod.normalizedRequest()] += times
	t.total += times
}

// PodCount is the number of pods that were counted.
func (t *RequestHistogram) PodCount() int { return t.total }

// halveCounts halves all counts; what was seen once is forgotten.
func (t *RequestHistogram) halveCounts() {
	t.total = 0
	for r, n := range t.counts {
		if n /= 2; n > 0 {
			t.counts[r] = n
			t.total += n
		} else {
			delete(t.counts, r)
		}
	}
}

// maxTypical bounds a workload, and with it the time that a score takes. The
// most varied of the openb lists has 127 requests.
const maxTypical = 256

// TypicalWorkload returns the most frequent requests: the fewest that make up the
// given part of all pods, from 0 to 1, but at most 256. Of equally frequent
// ones the larger come first. The paper that introduced typical pods covers 0.95 (Weng et al.,
// "Beware of Fragmentation", USENIX ATC 2023).
func (t *RequestHistogram) TypicalWorkload(cover float64) Workload {
	all := make(Workload, 0, len(t.counts))
	for r, n := range t.counts {
		all = append(all, TypicalRequest{r, int64(n)})
	}
	slices.SortFunc(all, func(a, b TypicalRequest) int {
		return -cmp.Or(cmp.Compare(a.Share, b.Share), cmp.Compare(a.CPUMilli, b.CPUMilli),
			cmp.Compare(a.GPUMilli, b.GPUMilli), cmp.Compare(a.GPUs, b.GPUs), cmp.Compare(a.Models, b.Models))
	})
	kept, sum := 0, int64(0)
	for kept < min(len(all), maxTypical) && float64(sum) < cover*float64(t.total) {
		sum += all[kept].Share
		kept++
	}
	all = all[:kept]
	for i := range all {
		all[i].Share = all[i].Share * shareUnit / sum
	}
	return all
}

// NodeFragmentation is the free GPU of a node that a typical pod cannot use, in
// thousandths of a device, averaged over the workload. To a pod that does not
// fit on the node everything free is of no use; to one that fits, the devices
// with less than it asks for. This is the measure of Weng et al., "Beware of
// Fragmentation", USENIX ATC 2023.
func (w Workload) NodeFragmentation(n *NodeState) float64 {
	return float64(w.scaledFragmentation(n)) / shareUnit
}

// scaledFragmentation is Fragmentation in parts of a billion.
func (w Workload) scaledFragmentation(n *NodeState) int64 {
	free := n.FreeMilli()
	sum := int64(0)
	for i := range w {
		sum += w[i].Share * int64(unusableMilli(n, &w[i].Request, free))
	}
	return sum
}

// unusableMilli is what a pod cannot use of the free thousandths of a node.
func unusableMilli(n *NodeState, pod *Request, free int) int {
	if pod.GPUs == 0 || n.CPUMilli < pod.CPUMilli || !pod.Models.HasModel(n.Model) {
		return free
	}
	room, small := 0, 0
	for _, f := range n.Free[:n.GPUs] {
		if int(f) >= pod.GPUMilli {
			room++
		} else {
			small += int(f)
		}
	}
	if room < pod.GPUs {
		return free
	}
	return small
}
