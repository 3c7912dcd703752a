// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import "slices"

// Usage is the free and total amount of each resource on each node of one Tree
// at one moment. The rows are in NodeID order and the columns in the order of
// Resources; the caller chooses the unit of a column, such as millicores or
// whole GPUs. A Usage has no lock: readers may share it while nobody writes.
type Usage struct {
	// Tree is the shape; shared, never changed.
	Tree *Tree
	// Resources are the names of the columns, such as "nvidia.com/gpu".
	Resources []string
	// Free and Capacity are nodes x resources, row major. Free goes below zero
	// on a node that is promised more than it has.
	Free, Capacity []int64
	// Cordoned marks the nodes that no gang may use, whatever its filters say;
	// nil when there is none.
	Cordoned []bool
	// Devices are what Role.Claims asks for; shared, like the tree. nil where no
	// role has any.
	Devices Devices
}

// NewUsage returns a usage of t in which every node has nothing and nothing is
// free: the caller fills the rows.
func NewUsage(t *Tree, resources []string) *Usage {
	cells := len(t.Nodes) * len(resources)
	return &Usage{
		Tree:      t,
		Resources: slices.Clone(resources),
		Free:      make([]int64, cells),
		Capacity:  make([]int64, cells),
	}
}

// Clone returns a copy whose rows can be changed without touching u. The tree is
// shared. It costs a copy of two slices of nodes x resources.
func (u *Usage) Clone() *Usage {
	return &Usage{
		Tree:      u.Tree,
		Resources: u.Resources,
		Free:      slices.Clone(u.Free),
		Capacity:  slices.Clone(u.Capacity),
		Cordoned:  slices.Clone(u.Cordoned),
		Devices:   u.Devices,
	}
}

// OnMain returns u with the main tree alone: u itself where no level crosses it. The
// rows are shared.
func (u *Usage) OnMain() *Usage {
	if u.Tree.Main() == u.Tree {
		return u
	}
	main := *u
	main.Tree = u.Tree.Main()
	return &main
}

// ArrangedAs returns a copy of u over the nodes of a view of its tree.
func (u *Usage) ArrangedAs(v *View) *Usage {
	out := &Usage{Tree: v.Tree, Resources: u.Resources, Free: make([]int64, len(u.Free)), Capacity: make([]int64, len(u.Capacity))}
	for i, n := range v.Source {
		copy(out.FreeRow(NodeID(i)), u.FreeRow(n))
		copy(out.CapacityRow(NodeID(i)), u.CapacityRow(n))
	}
	if u.Cordoned != nil {
		out.Cordoned = make([]bool, len(u.Cordoned))
		for i, n := range v.Source {
			out.Cordoned[i] = u.Cordoned[n]
		}
	}
	if u.Devices != nil {
		out.Devices = arrangedDevices{u.Devices, v.Source}
	}
	return out
}

// ResourceIndex returns the column of a resource, and whether there is one.
func (u *Usage) ResourceIndex(name string) (int, bool) {
	c := slices.Index(u.Resources, name)
	return c, c >= 0
}

// FreeRow returns the row of Free of node n; writing to it changes u.
func (u *Usage) FreeRow(n NodeID) []int64 { return nodeRow(u.Free, n, len(u.Resources)) }

// CapacityRow returns the row of Capacity of node n; writing to it changes u.
func (u *Usage) CapacityRow(n NodeID) []int64 { return nodeRow(u.Capacity, n, len(u.Resources)) }

// nodeRow returns row n of a row-major table. Its capacity ends with the row, so
// that an append cannot run into the row of the next node.
func nodeRow(cells []int64, n NodeID, width int) []int64 {
	from := int(n) * width
	return cells[from : from+width : from+width]
}

// IsIdle reports whether node n has GPUs and none of them is in use. Resources
// that are no GPUs do not count: system pods hold some CPU on every node.
func (u *Usage) IsIdle(n NodeID) bool {
	free, capacity := u.FreeRow(n), u.CapacityRow(n)
	has := false
	for c, name := range u.Resources {
		if capacity[c] == 0 && free[c] == 0 || !IsGPU(name) {
			continue
		}
		if free[c] < capacity[c] {
			return false
		}
		has = true
	}
	return has
}

// AllocateOn subtracts request, aligned with Resources, from what is free on
// node n. It checks nothing: free goes below zero where the node has less.
func (u *Usage) AllocateOn(n NodeID, request []int64) {
	free := u.FreeRow(n)
	for c, q := range request {
		free[c] -= q
	}
}

// ReleaseOn gives back what AllocateOn took from node n.
func (u *Usage) ReleaseOn(n NodeID, request []int64) {
	free := u.FreeRow(n)
	for c, q := range request {
		free[c] += q
	}
}
