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

// The labels, annotations and resources of a node that say what its GPUs are.
// All but the annotation are written by NVIDIA's GPU Feature Discovery and
// device plugin (README of github.com/NVIDIA/k8s-device-plugin).
const (
	ProductLabel    = "nvidia.com/gpu.product"
	MemoryLabel     = "nvidia.com/gpu.memory"
	CountLabel      = "nvidia.com/gpu.count"
	ReplicasLabel   = "nvidia.com/gpu.replicas"
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
	// MemoryMiB is the label of that name; 0 if it is missing.
	MemoryMiB int
	// GPUs is how many are allocatable as nvidia.com/gpu. Whether they are
	// devices tells Product.IsWhole.
	GPUs int
	// Slices are the MIG instances that are advertised by profile (strategy
	// "mixed"), by name.
	Slices []SliceCount
	// Links are those of the annotation, or of the product's known shape; nil
	// if neither is known.
	Links *Links
	// Warnings says in sentences what does not fit together.
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
// contradicts itself is used with care and stands in Oddities.
func ReadNode(f NodeFacts) Node {
	n := Node{Product: ParseProduct(f.Labels[ProductLabel]), GPUs: int(f.Allocatable[Resource])}
	n.MemoryMiB = n.readNumber(f.Labels, MemoryLabel)
	if n.readNumber(f.Labels, ReplicasLabel) > 1 && n.GPUs > 0 {
		n.Product.Shared = true // even where the product label does not say so
	}
	labelled := n.readNumber(f.Labels, CountLabel)
	n.readSlices(f.Allocatable)
	n.readLinks(f.Annotations[LinksAnnotation], deviceCount(f, labelled))
	n.readCounts(f, labelled)
	return n
}

// deviceCount is the number of devices of a node: as advertised, or as labelled
// where a DRA driver has them and no device plugin counts them.
func deviceCount(f NodeFacts, labelled int) int {
	if advertised := int(f.Capacity[Resource]); advertised > 0 {
		return advertised
	}
	return labelled
}

func (n *Node) addWarning(format string, args ...any) {
	n.Warnings = append(n.Warnings, fmt.Sprintf(format, args...))
}

// readNumber reads a label; 0 stands for a missing one.
func (n *Node) readNumber(labels map[string]string, key string) int {
	text, found := labels[key]
	if !found {
		return 0
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 {
		n.addWarning("the label %s is %q, which is no number", key, text)
		return 0
	}
	return value
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
		if lost := f.Capacity[name] - f.Allocatable[name]; strings.HasPrefix(name, ResourcePrefix) && lost > 0 {
			n.addWarning("%d of %d %s are not allocatable", lost, f.Capacity[name], name)
		}
	}
	n.readContradictions(capacity, labelled)
}

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
	// TooLittleMemory: each GPU has less memory than wanted, or it is not known.
	TooLittleMemory Mismatch = "TooLittleGPUMemory"
)

// Refusal says why a node does not suit a wish.
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
	if !w.Memory.IsSatisfiedBy(n.Product, n.MemoryMiB) {
		return &Refusal{TooLittleMemory, n.describeGPUs(), "GPUs with " + w.Memory.String()}
	}
	return nil
}

// describeGPUs names the node's GPUs.
func (n *Node) describeGPUs() string {
	name := deviceName(n.Product.Label)
	if name == "" {
		name = "GPUs without a product label"
	}
	if n.Product.Profile != "" {
		name = fmt.Sprintf("%s cut into %s", name, n.Product.Profile)
	}
	if n.Product.Shared {
		name += ", each advertised several times"
	}
	return name
}

// SliceScore says how well the node suits a pod that asks for MIG instances by
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
