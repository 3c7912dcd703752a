// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The annotation that describes the links of a node's GPUs, and NVIDIA's resource.
const (
	LinksAnnotation = "muster.sh/gpu-links"
	Resource        = "nvidia.com/gpu"
)

// NodeFacts is what the API server says of a node.
type NodeFacts struct {
	Labels, Annotations   map[string]string
	Allocatable, Capacity map[string]int64
}

// Node is what the facts of a node mean.
type Node struct {
	Product Product
	// MemoryMiB is what the label of the memory says; 0 if it is missing.
	MemoryMiB int
	// hasDevices says that there are devices of any vendor.
	hasDevices bool
	// GPUs is the number that is allocatable as nvidia.com/gpu. Product.IsWhole
	// reports whether they are devices of their own.
	GPUs int
	// Slices are the MIG instances that are advertised by profile (strategy
	// "mixed"), by name.
	Slices []SliceCount
	// Links are those of the annotation, or of the product's known shape; nil
	// if neither is known.
	Links *Links
	// Warnings are sentences on what is contradictory or missing.
	Warnings []string
}

// SliceCount is a kind of MIG instance on a node.
type SliceCount struct {
	Profile string
	Count   int
	// Known says that the board of the node offers the profile.
	Known bool
}

// ReadNode makes sense of the facts of a node. It takes the node as it is: what
// contradicts itself is used with care and is listed in Warnings.
func ReadNode(f NodeFacts) Node {
	d := ReadDeviceLabels(f.Labels, f.Annotations)
	n := Node{Product: ParseProduct(d.Product), GPUs: int(f.Allocatable[Resource])}
	n.MemoryMiB = n.readMemory(f.Labels, d.Memory)
	for name, count := range f.Allocatable {
		n.hasDevices = n.hasDevices || count > 0 && IsDevice(name)
	}
	labelled := n.readNumber(d.CountLabel, d.Count)
	n.readSharing(d, labelled, f)
	if d.CountLabel != CountLabel {
		labelled = 0
	}
	n.readSlices(f.Allocatable)
	n.readLinks(f.Annotations[LinksAnnotation], deviceCount(f, labelled))
	n.readCounts(f, labelled)
	return n
}

// readSharing finds out whether what a node advertises as whole devices is less.
// One that advertises a multiple of the devices that are labelled gives each to
// several pods, as HAMi does.
func (n *Node) readSharing(d DeviceLabels, labelled int, f NodeFacts) {
	advertised := int(d.Advertised(func(resource string) int64 { return f.Capacity[resource] }))
	for name := range f.Capacity {
		d.Shared = d.Shared || f.Annotations[HAMiAnnotation] == "" && SharesMemory(name)
	}
	if d.Partition != "" && n.Product.Profile == "" {
		n.Product.Profile = canonicalProfile(d.Partition)
	}
	n.Product.Virtual = n.Product.Virtual || d.Virtual
	replicas := n.readNumber(ReplicasLabel, d.Replicas)
	multiplied := n.Product.Profile == "" && labelled > 0 && advertised > labelled && advertised%labelled == 0
	if multiplied && replicas <= 1 && !d.Shared && !n.Product.Shared {
		n.addWarning("the label %s is %d, but %d GPUs are advertised; each is taken as shared", d.CountLabel, labelled, advertised)
	}
	if n.Product.Virtual || n.hasDevices && (replicas > 1 || d.Shared || multiplied) {
		n.Product.Shared = true // even where the product label does not say so
	}
}

// ModelName returns the product of a node as MatchesLabel reads it: its label, with
// the suffixes that say how devices are shared where the label leaves them out; ""
// for a node without a product.
func (n *Node) ModelName() string {
	name := n.Product.Label
	if name == "" {
		return ""
	}
	told := ParseProduct(name)
	if n.Product.Profile != told.Profile {
		if strings.Contains(n.Product.Profile, "_nps") {
			name += "-" + n.Product.Profile
		} else {
			name += "-MIG-" + strings.ReplaceAll(n.Product.Profile, "+", ".")
		}
	}
	if n.Product.Shared && !told.Shared {
		name += "-SHARED"
	}
	return name
}

// deviceCount is the number of devices of a node: as advertised, or as labelled
// where a DRA driver has them and no device plugin counts them.
func deviceCount(f NodeFacts, labelled int) int {
	if advertised := int(f.Capacity[Resource]); advertised > 0 {
		return advertised
	}
	return labelled
}

// addWarning adds a sentence to Warnings.
func (n *Node) addWarning(format string, args ...any) {
	n.Warnings = append(n.Warnings, fmt.Sprintf(format, args...))
}

// readNumber reads the value of a label; 0 stands for a missing one.
func (n *Node) readNumber(key, text string) int {
	if text == "" {
		return 0
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 {
		n.addWarning("the label %s is %q, which is no number", key, text)
		return 0
	}
	return value
}

// readMemory reads the memory of a device: NVIDIA's label is a number of MiB and
// nothing else.
func (n *Node) readMemory(labels map[string]string, text string) int {
	if labels[MemoryLabel] == text {
		return n.readNumber(MemoryLabel, text)
	}
	return parseMemoryMiB(text)
}

func (n *Node) readSlices(allocatable map[string]int64) {
	board, _ := FindBoard(n.Product.Board)
	for _, name := range slices.Sorted(maps.Keys(allocatable)) {
		if !strings.HasPrefix(name, ResourcePrefix) || allocatable[name] <= 0 {
			continue
		}
		s := SliceCount{Profile: canonicalProfile(strings.TrimSuffix(name, ".shared")), Count: int(allocatable[name])}
		if _, err := board.FindProfile(s.Profile); err != nil {
			n.addWarning("%v", err)
		} else {
			s.Known = true
		}
		n.Slices = append(n.Slices, s)
	}
}

func (n *Node) readLinks(annotation string, devices int) {
	if annotation != "" {
		links, err := ParseLinks(annotation)
		switch {
		case err != nil:
			n.addWarning("%v", err)
		case devices > 0 && links.DeviceCount() != devices:
			n.addWarning("the annotation %s has %d devices, the node %d", LinksAnnotation, links.DeviceCount(), devices)
		default:
			n.Links = links
			return
		}
	}
	if n.Product.IsWhole() {
		n.Links, _ = KnownLinks(n.Product, devices)
	}
}

func (n *Node) readCounts(f NodeFacts, labelled int) {
	capacity := int(f.Capacity[Resource])
	switch {
	case n.GPUs == 0 && capacity > 0:
		n.addWarning("none of its %d GPUs is allocatable; the device plugin may be starting again", capacity)
	case n.GPUs < capacity:
		n.addWarning("%d of %d GPUs are not allocatable", capacity-n.GPUs, capacity)
	case n.GPUs == 0 && len(n.Slices) == 0 && labelled > 0:
		n.addWarning("the label %s is %d, but no GPU is advertised as %s", CountLabel, labelled, Resource)
	}
	if n.GPUs > 0 && n.Product.Label == "" {
		n.addWarning("%d GPUs are advertised, but the label %s is missing", n.GPUs, ProductLabel)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Capacity)) {
		if name == Resource || !IsDevice(name) {
			continue
		}
		if lost := f.Capacity[name] - f.Allocatable[name]; lost > 0 {
			n.addWarning("%d of %d %s are not allocatable", lost, f.Capacity[name], name)
		}
		if f.Allocatable[name] > 0 && n.Product.Label == "" {
			n.addWarning("%d %s are advertised, but %s", f.Allocatable[name], name, UnlabelledText)
		}
	}
	n.readContradictions(capacity, labelled)
}

// UnlabelledText is in the warnings of nodes whose model cannot be told, which are of
// no concern to a pod that takes any.
const UnlabelledText = "no label tells their model"

// readContradictions looks for labels that do not fit what the node advertises.
func (n *Node) readContradictions(capacity, labelled int) {
	if n.Product.IsWhole() && len(n.Slices) == 0 && labelled > 0 && capacity > 0 && labelled != capacity {
		n.addWarning("the label %s is %d, but %d GPUs are advertised", CountLabel, labelled, capacity)
	}
	if labelContradicts(n.Product, n.MemoryMiB) {
		n.addWarning("the label %s is %d, but %s has %d GB; the node may have GPUs of several kinds", MemoryLabel, n.MemoryMiB, n.Product.Label, n.Product.MemoryGB)
	}
}

// Requirements is what a pod asks of the GPUs that it requests as nvidia.com/gpu.
type Requirements struct {
	// Models is the ordered list of models, see MatchesProduct; empty: any.
	Models []string
	// Memory is the least memory of each GPU.
	Memory MemoryFloor
	// AnyShare accepts slices and shared devices in place of whole ones.
	// Without it a pod gets whole devices, unless the entry of Models that the
	// node satisfies asks for a slice or for shared devices.
	AnyShare bool
}

// Mismatch is the stable name of what keeps a pod off a node.
type Mismatch string

// What can keep a pod off a node.
const (
	// WrongModel: no entry of the list of models admits the product.
	WrongModel Mismatch = "WrongGPUModel"
	// NotWhole: the GPUs are slices or shared, and whole ones are wanted.
	NotWhole Mismatch = "GPUsNotWhole"
	// TooLittleMemory: each GPU has less memory than wanted.
	TooLittleMemory Mismatch = "TooLittleGPUMemory"
	// UnknownModel and UnknownMemory: no label tells what is asked for.
	UnknownModel  Mismatch = "UnknownGPUModel"
	UnknownMemory Mismatch = "UnknownGPUMemory"
)

// Refusal is why a node does not meet the requirements of a pod.
type Refusal struct {
	Mismatch Mismatch
	// Found and Want are both sides of it.
	Found, Want string
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("the node has %s; the pod wants %s", r.Found, r.Want)
}

// MatchModels returns the index of the first entry of Requirements.Models that the node
// satisfies (0 if the list is empty), or why it does not suit: the reason that
// came nearest to a fit.
func (n *Node) MatchModels(w Requirements) (int, *Refusal) {
	if len(w.Models) == 0 {
		return 0, n.checkEntry(w, "")
	}
	nearest := &Refusal{WrongModel, n.describeGPUs(), strings.Join(w.Models, " or ")}
	if n.Product.Label == "" && n.hasDevices {
		nearest.Mismatch = UnknownModel
	}
	for i, entry := range w.Models {
		if !MatchesProduct(entry, n.Product) {
			continue
		}
		why := n.checkEntry(w, entry)
		if why == nil {
			return i, nil
		}
		nearest = why
	}
	return 0, nearest
}

// checkEntry judges the node under one entry that admits its product.
func (n *Node) checkEntry(w Requirements, entry string) *Refusal {
	asked := parseModelEntry(entry)
	sliced := n.Product.Profile != "" && asked.Profile == ""
	shared := n.Product.Shared && !asked.Shared
	if (sliced || shared) && !w.AnyShare {
		return &Refusal{NotWhole, n.describeGPUs(), "whole GPUs"}
	}
	if w.Memory.IsSatisfiedBy(n.Product, n.MemoryMiB) {
		return nil
	}
	why := &Refusal{TooLittleMemory, n.describeGPUs(), "GPUs with " + w.Memory.String()}
	if n.hasDevices && n.MemoryMiB == 0 && n.Product.MemoryGB == 0 && n.Product.partMemoryGB() == 0 {
		why.Mismatch = UnknownMemory
		why.Found += ", of whose memory no label tells"
	}
	return why
}

// describeGPUs returns the node's GPUs as a refusal words them.
func (n *Node) describeGPUs() string {
	name := deviceName(n.Product.Label)
	if name == "" {
		name = "GPUs without a product label"
	}
	if n.Product.Profile != "" {
		name = fmt.Sprintf("%s cut into %s", name, n.Product.Profile)
	}
	switch {
	case n.Product.Virtual:
		name += ", each a virtual GPU"
	case n.Product.Shared:
		name += ", each advertised several times"
	}
	return name
}

// SliceScore returns how well the node suits a pod that asks for MIG instances by
// their profile, the higher the better. Free is what is free of each of
// Node.Slices, freeGPUs what is free of the whole devices beside them. Nodes
// with whole devices stay whole for those who need one; among the others the
// pod goes where the least is left to lose, so that devices run empty elsewhere
// and can be cut anew. This stands in for Packer, which knows what a place costs
// a device: the device plugin advertises instances by profile and node, and does
// not tell which of them share a device. While the cuts stay as they are, an
// instance of a profile is worth the same on every node.
func (n *Node) SliceScore(free []int, freeGPUs int) int64 {
	const perDevice = 1 << 20 // more than the units of any node
	board, _ := FindBoard(n.Product.Board)
	score := -int64(max(0, freeGPUs)) * perDevice
	for i, s := range n.Slices[:min(len(free), len(n.Slices))] {
		size := 1
		if p, err := board.FindProfile(s.Profile); err == nil {
			size = p.Size
		}
		score -= int64(max(0, free[i]) * size)
	}
	return score
}
