// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Level is how near a gang comes to fit in one domain of a level.
type Level struct {
	Level string `json:"level"`
	// Domains is the number of domains of that level.
	Domains int `json:"domains"`
	// Best is the path of the domain with the most room, empty if none has
	// any. Room is the number of members that fit there, of the Want that must.
	Best string `json:"best,omitempty"`
	Room int    `json:"room"`
	Want int    `json:"want"`
	Fits bool   `json:"fits"`
	// Asked is "required" or "preferred" for the level that the gang names.
	Asked string `json:"asked,omitempty"`
}

// levels asks the engine for the gang in one domain of every level in use, as
// if that level were required.
func (x *explainer) levels() ([]Level, error) {
	tree := x.usage.Tree
	var all []Level
	for l := topology.ClusterLevel; int(l) < len(tree.Levels); l++ {
		if len(tree.DomainsAt(l)) == 0 {
			continue
		}
		spec := *x.g.Spec
		spec.Required, spec.Preferred, spec.Slices = l, topology.NoLevel, narrower(spec.Slices, l)
		if l == topology.ClusterLevel {
			spec.Required = topology.NoLevel
		}
		t := x.g.trial()
		t.spec = &spec
		_, plan, err := x.p.solve(t)
		if err != nil {
			return nil, err
		}
		level := Level{Level: tree.LevelName(l), Domains: len(tree.DomainsAt(l)), Want: max(x.g.Spec.MinCount, len(x.g.Bound))}
		x.fill(&level, l, plan)
		switch {
		case l >= 0 && l == x.g.Spec.Required:
			level.Asked = "required"
		case l >= 0 && l == x.g.Spec.Preferred:
			level.Asked = "preferred"
		}
		all = append(all, level)
	}
	return all, nil
}

// narrower are the slices that one domain of a level does not grant anyway.
func narrower(all []gang.Slice, l topology.Level) []gang.Slice {
	return slices.DeleteFunc(slices.Clone(all), func(s gang.Slice) bool { return s.Level <= l })
}

// fill says how near the gang comes at level l, for which this is the plan.
func (x *explainer) fill(level *Level, l topology.Level, plan placement.Plan) {
	if r := plan.Refusal; r != nil {
		level.Room = r.Room
		if d, ok := x.named(r.Best, l); ok {
			level.Best = x.usage.Tree.DomainPath(d)
		}
		level.Want = cmp.Or(r.Needed, level.Want)
		if r.Reason == placement.GangTooLarge { // it speaks of empty domains
			level.Best, level.Room = "", 0
			if d, room := x.roomiest(l); room > 0 {
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

// named is the domain of a level that a refusal calls by its name, or by its
// path where several have that name.
func (x *explainer) named(best string, l topology.Level) (topology.DomainID, bool) {
	tree := x.usage.Tree
	for _, d := range tree.DomainsAt(l) {
		if tree.Domains[d].Name == best || tree.DomainPath(d) == best {
			return d, true
		}
	}
	return 0, false
}

// roomiest is the domain of a level with the most room for the scarce role, the
// first of equals, and that room.
func (x *explainer) roomiest(l topology.Level) (topology.DomainID, int64) {
	best, most := topology.DomainID(0), int64(-1)
	for _, d := range x.usage.Tree.DomainsAt(l) {
		if room := x.roomIn(d); room > most {
			best, most = d, room
		}
	}
	return best, most
}

// roomIn is the number of members of the scarce role that fit in a domain now.
func (x *explainer) roomIn(d topology.DomainID) int64 {
	domain, room := &x.usage.Tree.Domains[d], int64(0)
	for n := domain.First; n < domain.End; n++ {
		room += x.room(n)
	}
	return room
}

// room is the number of members of the scarce role that fit on a node now.
func (x *explainer) room(n topology.NodeID) int64 {
	if !x.usable(n) {
		return 0
	}
	return fits(x.usage.FreeRow(n), x.members.Roles[x.scarce].Request)
}

// fits is how often a request goes into what is there.
func fits(row, request []int64) int64 {
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

// stands says where pods are, level by level and node by node.
func (p *Picture) stands(bound []*v1.Pod) ([]Stand, []Host) {
	if len(bound) == 0 {
		return nil, nil
	}
	tree := p.Usage().Tree
	on, linked := map[topology.NodeID][]string{}, map[topology.NodeID]*Links{}
	for _, pod := range bound {
		if n, ok := tree.NodeByName(pod.Spec.NodeName); ok {
			on[n] = append(on[n], pod.Name)
			linked[n] = cmp.Or(linked[n], linksOf(pod, p.Node(n), holds))
		}
	}
	var nodes []topology.NodeID
	for n := range on {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	var stands []Stand
	for l := range tree.Levels {
		s := Stand{Level: tree.Levels[l]}
		last := topology.DomainID(-1)
		for _, n := range nodes {
			d, ok := tree.DomainAt(n, topology.Level(l))
			if !ok {
				continue
			}
			if d != last {
				s.Domains, last = append(s.Domains, Share{Path: tree.DomainPath(d)}), d
			}
			s.Domains[len(s.Domains)-1].Pods += len(on[n])
		}
		if len(s.Domains) > 0 {
			stands = append(stands, s)
		}
	}
	var hosts []Host
	for _, n := range nodes {
		slices.Sort(on[n])
		hosts = append(hosts, Host{Node: tree.Nodes[n].Name, Pods: on[n], Links: linked[n]})
	}
	return stands, hosts
}
