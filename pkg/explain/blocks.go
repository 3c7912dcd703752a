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

// Block is a group of nodes that are alike to the gang.
type Block struct {
	// Why is "with room", or what keeps the gang off these nodes, such as
	// "cordoned", "full: nvidia.com/gpu" or "too small: nvidia.com/gpu".
	Why string `json:"why"`
	// Nearest and Cluster count such nodes in the nearest domain and in the
	// whole cluster; Room is how many members those in the nearest one hold.
	Nearest int `json:"nearest"`
	Cluster int `json:"cluster"`
	Room    int `json:"room,omitempty"`
	// Names are those in the nearest domain, else in the cluster.
	Names []string `json:"names,omitempty"`
	// Taints are what the members do not tolerate, as key=value:effect.
	Taints []string `json:"taints,omitempty"`

	order int
	far   []string
}

const withRoom = "with room"

// blocks sorts the nodes by what keeps the gang off them.
func (x *explainer) blocks() (string, []Block) {
	tree := x.usage.Tree
	nearest := x.nearest()
	found := map[string]*Block{}
	for i := range tree.Nodes {
		n := topology.NodeID(i)
		order, why := x.why(n)
		b := found[why]
		if b == nil {
			b = &Block{Why: why, order: order}
			found[why] = b
		}
		b.Cluster++
		b.far = append(b.far, tree.Nodes[n].Name)
		if tree.ContainsNode(nearest, n) {
			b.Nearest++
			b.Room += int(x.room(n))
			b.Names = append(b.Names, tree.Nodes[n].Name)
		}
		if order == int(gang.Tainted) {
			b.addTaints(x.untolerated(n))
		}
	}
	var all []Block
	for _, b := range found {
		if b.Nearest == 0 {
			b.Names = b.far
		}
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b Block) int { return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Why, b.Why)) })
	return tree.DomainPath(nearest), all
}

// nearest is the domain that the refusal speaks of; where it names none, the
// one with the most room.
func (x *explainer) nearest() topology.DomainID {
	if d, ok := x.pinned(); ok {
		return d
	}
	if d, ok := x.named(x.refusal.Best, x.level()); ok && x.refusal.Reason == placement.NoFittingDomain {
		return d
	}
	d, _ := x.roomiest(x.level())
	return d
}

// level is the one whose domains have to hold the gang, or at least the scarce
// role.
func (x *explainer) level() topology.Level {
	return max(x.g.Spec.Required, x.members.Roles[x.scarce].Required, topology.ClusterLevel)
}

// pinned is the domain that the bound members leave.
func (x *explainer) pinned() (topology.DomainID, bool) {
	for _, b := range x.members.Bound {
		if b.Role != x.scarce && x.level() > x.g.Spec.Required {
			continue // it need not stand with the scarce role
		}
		if d, ok := x.usage.Tree.DomainAt(b.Node, x.level()); ok && b.Node >= 0 {
			return d, true
		}
	}
	return 0, false
}

// why says what keeps the scarce role off a node, and where that stands in the
// list.
func (x *explainer) why(n topology.NodeID) (int, string) {
	role := &x.members.Roles[x.scarce]
	if role.Filter != nil && role.Filter.Exclusions[n] != gang.Eligible {
		why := role.Filter.Exclusions[n]
		return int(why), why.String()
	}
	if x.wrongModel(n) {
		return int(gang.WrongModel), gang.WrongModel.String()
	}
	free, capacity := x.usage.FreeRow(n), x.usage.CapacityRow(n)
	if fits(free, role.Request) > 0 {
		return -1, withRoom
	}
	last := int(gang.NumExclusions)
	if c := short(capacity, role.Request); c >= 0 {
		return last + 1, "too small: " + x.usage.Resources[c]
	}
	return last, "full: " + x.usage.Resources[short(free, role.Request)]
}

// short is the column of which the row holds least of what is asked, or -1 when
// it holds enough of all.
func short(row, request []int64) int {
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

// untolerated are the taints of a node that the scarce role does not tolerate.
func (x *explainer) untolerated(n topology.NodeID) []v1.Taint {
	pods := x.members.Pods[x.scarce]
	if len(pods) == 0 {
		return nil
	}
	var taints []v1.Taint
	for _, taint := range x.p.Node(n).Spec.Taints {
		if taint.Effect != v1.TaintEffectPreferNoSchedule && !corev1helpers.TolerationsTolerateTaint(logger, pods[0].Spec.Tolerations, &taint, false) {
			taints = append(taints, taint)
		}
	}
	return taints
}

func (b *Block) addTaints(taints []v1.Taint) {
	for i := range taints {
		if text := taints[i].ToString(); !slices.Contains(b.Taints, text) {
			b.Taints = append(b.Taints, text)
		}
	}
}

// usable reports whether the scarce role may use a node at all.
func (x *explainer) usable(n topology.NodeID) bool {
	f := x.members.Roles[x.scarce].Filter
	return (f == nil || f.Exclusions[n] == gang.Eligible) && !x.wrongModel(n)
}

// wrongModel reports whether a node has none of the GPU models asked for, or
// another one than the bound members have chosen.
func (x *explainer) wrongModel(n topology.NodeID) bool {
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
