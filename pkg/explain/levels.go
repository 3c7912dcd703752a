// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Level is the fit of a gang in one domain of a level.
type Level struct {
	Level string `json:"level"`
	// Domains is the number of domains of that level.
	Domains int `json:"domains"`
	// Best is the path of the domain in which most members fit, empty if
	// none do. Room is the number of members that fit there, of the Want that must.
	Best string `json:"best,omitempty"`
	Room int    `json:"room"`
	Want int    `json:"want"`
	Fits bool   `json:"fits"`
	// Asked is "required" or "preferred" for the level that the gang names.
	Asked string `json:"asked,omitempty"`
}

// fitPerLevel asks the engine for the gang in one domain of every level in use,
// as if that level were required.
func (x *explainer) fitPerLevel() ([]Level, error) {
	tree := x.usage.Tree
	var all []Level
	for l := topology.ClusterLevel; int(l) < len(tree.Levels); l++ {
		if len(tree.DomainsAt(l)) == 0 {
			continue
		}
		spec := *x.gang.Spec
		spec.Required, spec.Preferred, spec.Slices = l, topology.NoLevel, narrowerSlices(tree, spec.Slices, l)
		if l == topology.ClusterLevel {
			spec.Required = topology.NoLevel
		}
		t := x.gang.currentScenario()
		t.spec = &spec
		_, plan, err := x.view.solveScenario(t)
		if err != nil {
			return nil, err
		}
		level := Level{Level: tree.LevelName(l), Domains: len(tree.DomainsAt(l)), Want: max(x.gang.Spec.MinCount, len(x.gang.Bound))}
		x.fillLevel(&level, l, plan)
		switch {
		case l >= 0 && l == x.gang.Spec.Required:
			level.Asked = "required"
		case l >= 0 && l == x.gang.Spec.Preferred:
			level.Asked = "preferred"
		}
		all = append(all, level)
	}
	return all, nil
}

// narrowerSlices returns the slices that one domain of a level does not grant
// anyway.
func narrowerSlices(tree *topology.Tree, all []gang.Slice, l topology.Level) []gang.Slice {
	return slices.DeleteFunc(slices.Clone(all), func(s gang.Slice) bool { return s.Level <= l && tree.AreOrdered(s.Level, l) })
}

// fillLevel writes into level how many members fit at level l, for which this
// is the plan.
func (x *explainer) fillLevel(level *Level, l topology.Level, plan placement.Plan) {
	if r := plan.Refusal; r != nil {
		level.Room = r.Room
		if d, ok := x.domainNamed(r.Best, l); ok {
			level.Best = x.usage.Tree.DomainPath(d)
		}
		level.Want = cmp.Or(r.Needed, level.Want)
		if r.Reason == placement.GangTooLarge { // it speaks of empty domains
			level.Best, level.Room = "", 0
			if d, room := x.largestDomain(l); room > 0 {
				level.Best, level.Room = x.usage.Tree.DomainPath(d), int(room)
			}
		}
		return
	}
	level.Fits = true
	level.Best = x.usage.Tree.DomainPath(plan.Domain)
	level.Room = len(x.members.Bound)
	for _, nodes := range plan.Nodes {
		for _, n := range nodes {
			if n != placement.NoNode {
				level.Room++
			}
		}
	}
}

// domainNamed returns the domain of a level that a refusal calls by its name,
// or by its path where several have that name.
func (x *explainer) domainNamed(best string, l topology.Level) (topology.DomainID, bool) {
	tree := x.usage.Tree
	for _, d := range tree.DomainsAt(l) {
		if tree.Domains[d].Name == best || tree.DomainPath(d) == best {
			return d, true
		}
	}
	return 0, false
}

// largestDomain returns the domain of a level in which most members of the
// bottleneck role fit, the first of equals, and their number.
func (x *explainer) largestDomain(l topology.Level) (topology.DomainID, int64) {
	best, most := topology.DomainID(0), int64(-1)
	for _, d := range x.usage.Tree.DomainsAt(l) {
		if room := x.domainCapacity(d); room > most {
			best, most = d, room
		}
	}
	return best, most
}

// domainCapacity returns the number of members of the bottleneck role that fit
// in a domain now.
func (x *explainer) domainCapacity(d topology.DomainID) int64 {
	room := int64(0)
	for n := range x.usage.Tree.NodesOf(d) {
		room += x.nodeCapacity(n)
	}
	return room
}

// nodeCapacity returns the number of members of the bottleneck role that fit on
// a node now.
func (x *explainer) nodeCapacity(n topology.NodeID) int64 {
	if !x.isUsable(n) {
		return 0
	}
	return capacityOf(x.usage.FreeRow(n), x.members.Roles[x.bottleneck].Request)
}

// capacityOf returns how often a request fits into a row.
func capacityOf(row, request []int64) int64 {
	room := int64(-1)
	for c, q := range request {
		if q <= 0 {
			continue
		}
		if n := max(0, row[c]) / q; room < 0 || n < room {
			room = n
		}
	}
	return max(room, 0)
}

// locatePods returns where pods are, level by level and node by node.
func (v *ClusterView) locatePods(bound []*v1.Pod) ([]LevelPlacement, []NodePlacement) {
	if len(bound) == 0 {
		return nil, nil
	}
	tree := v.Usage().Tree
	on, linked := map[topology.NodeID][]string{}, map[topology.NodeID]*Links{}
	for _, pod := range bound {
		if n, ok := tree.NodeByName(pod.Spec.NodeName); ok {
			on[n] = append(on[n], pod.Name)
			linked[n] = cmp.Or(linked[n], linksOf(pod, v.Node(n), heldGPUs))
		}
	}
	nodes := slices.Sorted(maps.Keys(on))
	var hosts []NodePlacement
	for _, n := range nodes {
		slices.Sort(on[n])
		hosts = append(hosts, NodePlacement{Node: tree.Nodes[n].Name, Pods: on[n], Links: linked[n]})
	}
	return podsByLevel(tree, nodes, on), hosts
}

// podsByLevel returns how many pods are in each domain, level by level; nodes are
// sorted.
func podsByLevel(tree *topology.Tree, nodes []topology.NodeID, on map[topology.NodeID][]string) []LevelPlacement {
	var placements []LevelPlacement
	for l := range tree.Levels {
		s := LevelPlacement{Level: tree.Levels[l]}
		at := map[topology.DomainID]int{}
		for _, n := range nodes {
			d, ok := tree.DomainAt(n, topology.Level(l))
			if !ok {
				continue
			}
			if _, known := at[d]; !known {
				at[d] = len(s.Domains)
				s.Domains = append(s.Domains, DomainPods{Path: tree.DomainPath(d)})
			}
			s.Domains[at[d]].Pods += len(on[n])
		}
		if len(s.Domains) > 0 {
			placements = append(placements, s)
		}
	}
	return placements
}
