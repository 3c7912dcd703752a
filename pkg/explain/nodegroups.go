// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// NodeGroup is the nodes that are excluded for one reason, or that have room.
type NodeGroup struct {
	// Reason is "with room", or what excludes these nodes, such as
	// "cordoned", "full: nvidia.com/gpu" or "too small: nvidia.com/gpu".
	Reason string `json:"why"`
	// Nearest and Cluster count such nodes in the nearest domain and in the
	// whole cluster; Room is how many members those in the nearest one hold.
	Nearest int `json:"nearest"`
	Cluster int `json:"cluster"`
	Room    int `json:"room,omitempty"`
	// Names are those in the nearest domain, else in the cluster.
	Names []string `json:"names,omitempty"`
	// Taints are what the members do not tolerate, as key=value:effect.
	Taints []string `json:"taints,omitempty"`

	// rank is the position in the list; namesElsewhere are all names, for a reason
	// that the nearest domain does not have.
	rank           int
	namesElsewhere []string
}

// reasonWithRoom is the reason of nodes on which members fit.
const reasonWithRoom = "with room"

// nodeGroups returns the nearest domain and the nodes by the reason that
// excludes the gang from them. Groups are counted in that domain and in the
// whole cluster.
func (x *explainer) nodeGroups() (string, []NodeGroup) {
	tree := x.usage.Tree
	nearest := x.nearestDomain()
	found := map[string]*NodeGroup{}
	for i := range tree.Nodes {
		n := topology.NodeID(i)
		order, why := x.exclusionReason(n)
		b := found[why]
		if b == nil {
			b = &NodeGroup{Reason: why, rank: order}
			found[why] = b
		}
		b.Cluster++
		b.namesElsewhere = append(b.namesElsewhere, tree.Nodes[n].Name)
		if tree.ContainsNode(nearest, n) {
			b.Nearest++
			b.Room += int(x.nodeCapacity(n))
			b.Names = append(b.Names, tree.Nodes[n].Name)
		}
		if order == int(gang.Tainted) {
			b.addTaints(x.untoleratedTaints(n))
		}
	}
	var all []NodeGroup
	for _, b := range found {
		if b.Nearest == 0 {
			b.Names = b.namesElsewhere
		}
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b NodeGroup) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Reason, b.Reason)) })
	return tree.DomainPath(nearest), all
}

// nearestDomain returns the domain that the refusal names; where it names none,
// the one in which most members fit.
func (x *explainer) nearestDomain() topology.DomainID {
	if d, ok := x.pinnedDomain(); ok {
		return d
	}
	if d, ok := x.domainNamed(x.refusal.Best, x.requiredLevel()); ok && x.refusal.Reason == placement.NoFittingDomain {
		return d
	}
	d, _ := x.largestDomain(x.requiredLevel())
	return d
}

// requiredLevel returns the level whose domains have to hold the gang, or at
// least the bottleneck role.
func (x *explainer) requiredLevel() topology.Level {
	return max(x.gang.Spec.Required, x.members.Roles[x.bottleneck].Required, topology.ClusterLevel)
}

// pinnedDomain returns the domain that the bound members leave as the only one,
// and false if nothing is bound yet.
func (x *explainer) pinnedDomain() (topology.DomainID, bool) {
	for _, b := range x.members.Bound {
		if b.Role != x.bottleneck && x.requiredLevel() > x.gang.Spec.Required {
			continue // it need not be with the bottleneck role
		}
		if d, ok := x.usage.Tree.DomainAt(b.Node, x.requiredLevel()); ok && b.Node >= 0 {
			return d, true
		}
	}
	return 0, false
}

// exclusionReason returns why the bottleneck role cannot use a node, after the
// position of that reason in the list. A node can have several; the filter's
// comes first, since free resources would not help there.
func (x *explainer) exclusionReason(n topology.NodeID) (int, string) {
	role := &x.members.Roles[x.bottleneck]
	if role.Filter != nil && role.Filter.Exclusions[n] != gang.Eligible {
		why := role.Filter.Exclusions[n]
		return int(why), why.String()
	}
	if x.hasWrongModel(n) {
		return int(gang.WrongModel), gang.WrongModel.String()
	}
	free, capacity := x.usage.FreeRow(n), x.usage.CapacityRow(n)
	if capacityOf(free, role.Request) > 0 {
		return -1, reasonWithRoom
	}
	last := int(gang.NumExclusions)
	if c := scarcestColumn(capacity, role.Request); c >= 0 {
		return last + 1, "too small: " + x.usage.Resources[c]
	}
	return last, "full: " + x.usage.Resources[scarcestColumn(free, role.Request)]
}

// scarcestColumn returns the column of which the row holds the least share of
// the request, or -1 when it holds enough of all.
func scarcestColumn(row, request []int64) int {
	column, least := -1, 1.0
	for c, q := range request {
		if q > 0 && row[c] < q {
			if share := float64(row[c]) / float64(q); column < 0 || share < least {
				column, least = c, share
			}
		}
	}
	return column
}

// untoleratedTaints returns the taints of a node that the bottleneck role does
// not tolerate.
func (x *explainer) untoleratedTaints(n topology.NodeID) []v1.Taint {
	pods := x.members.Pods[x.bottleneck]
	if len(pods) == 0 {
		return nil
	}
	var taints []v1.Taint
	for _, taint := range x.view.Node(n).Spec.Taints {
		if taint.Effect != v1.TaintEffectPreferNoSchedule && !corev1helpers.TolerationsTolerateTaint(logger, pods[0].Spec.Tolerations, &taint, false) {
			taints = append(taints, taint)
		}
	}
	return taints
}

// addTaints adds each taint once: nodes of a pool mostly have the same.
func (b *NodeGroup) addTaints(taints []v1.Taint) {
	for i := range taints {
		if text := taints[i].ToString(); !slices.Contains(b.Taints, text) {
			b.Taints = append(b.Taints, text)
		}
	}
}

// isUsable reports whether the bottleneck role may use a node at all, full or
// not.
func (x *explainer) isUsable(n topology.NodeID) bool {
	f := x.members.Roles[x.bottleneck].Filter
	return (f == nil || f.Exclusions[n] == gang.Eligible) && !x.hasWrongModel(n)
}

// hasWrongModel reports whether a node has none of the GPU models asked for, or
// another one than the bound members have.
func (x *explainer) hasWrongModel(n topology.NodeID) bool {
	models := x.members.Models
	if len(models) == 0 {
		return false
	}
	tree := x.usage.Tree
	for _, b := range x.members.Bound {
		if b.Node >= 0 && tree.ProductIndex(b.Node) >= 0 {
			return tree.ProductIndex(b.Node) != tree.ProductIndex(n)
		}
	}
	return !slices.ContainsFunc(models, func(model string) bool {
		return gpu.MatchesLabel(model, tree.Nodes[n].Model)
	})
}
