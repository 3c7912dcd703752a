// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// view is the states of all nodes for gangs to which the same attributes matter.
type view struct {
	key     string
	all     bool
	matters []bool // by number of the name
	nodes   []*Node
	// states and empty are those of the nodes at the versions seen.
	states, empty []*state
	seen          []uint64
}

// viewOf returns the view for some attributes, up to date. nodes are those of a tree, in
// its order.
func (v *Inventory) viewOf(nodes []*Node, attributes []string, all bool) *view {
	key := strings.Join(attributes, " ")
	if all {
		key = "all"
	}
	at := slices.IndexFunc(v.views, func(w *view) bool { return w.key == key && w.all == all })
	var w *view
	if at >= 0 {
		w = v.views[at]
		v.views = slices.Delete(v.views, at, at+1)
	} else {
		w = &view{key: key, all: all}
	}
	if v.views = append(v.views, w); len(v.views) > maxViews {
		v.views = slices.Delete(v.views, 0, 1)
	}
	if !sameNodes(w.nodes, nodes) {
		w.nodes = nodes
		w.states, w.empty, w.seen = make([]*state, len(nodes)), make([]*state, len(nodes)), make([]uint64, len(nodes))
	}
	w.matters = v.names.mattering(attributes)
	for i, n := range nodes {
		if w.states[i] != nil && w.seen[i] == n.version {
			continue
		}
		config := v.configOf(n, w)
		w.states[i], w.empty[i], w.seen[i] = v.stateOf(config, &n.taken), v.stateOf(config, &taken{}), n.version
	}
	return w
}

// sameNodes reports whether two lists are one.
func sameNodes(a, b []*Node) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// maxGangSteps bounds what is counted for one gang, in steps of some 4 ns, whether or
// not it is remembered.
const maxGangSteps = 40_000_000

// GangView is the devices of all nodes as the members of one gang see them. It
// implements topology.Devices.
type GangView struct {
	inventory *Inventory
	view      *view
	// counted are the answers that were used; their steps are spent once.
	counted map[question]bool
	matched map[*matching]bool
	// rests are what is left of answers that stop at the number of members that wait.
	rests map[question]*chain
	spent int
	// incomplete says that not all was counted that was asked for.
	incomplete bool
	note       string
}

// ViewFor returns the devices as members with these claims see them. nodes are those of
// a tree, in its order.
func (v *Inventory) ViewFor(nodes []*Node, claims []*Claims) *GangView {
	var attributes []string
	all := false
	for _, c := range claims {
		attributes = append(attributes, c.attributes...)
		all = all || c.all
	}
	slices.Sort(attributes)
	attributes = slices.Compact(attributes)
	return &GangView{
		inventory: v, view: v.viewOf(nodes, attributes, all),
		counted: map[question]bool{}, matched: map[*matching]bool{}, rests: map[question]*chain{},
	}
}

// StateOf returns the state of node n.
func (g *GangView) StateOf(n topology.NodeID) topology.DeviceState { return g.view.states[n] }

// EmptyStateOf returns the state of node n with nothing taken.
func (g *GangView) EmptyStateOf(n topology.NodeID) topology.DeviceState { return g.view.empty[n] }

// Fit returns how many more members find what they claim in a state.
func (g *GangView) Fit(s topology.DeviceState, c topology.Claims) (members, steps int) {
	chain, steps := g.ask(question{s.(*state), c.(*Claims)})
	return chain.members(), steps
}

// Take returns the state after so many members took what they claim.
func (g *GangView) Take(s topology.DeviceState, c topology.Claims, members int) (topology.DeviceState, bool) {
	if members == 0 {
		return s, true
	}
	chain, _ := g.ask(question{s.(*state), c.(*Claims)})
	switch {
	case members > chain.members():
		return s, false
	case chain.free:
		return s, true
	}
	return chain.after[members-1], true
}

// IsComplete reports whether everything was counted that was asked for so far. Where it
// was not, no member was said to fit.
func (g *GangView) IsComplete() bool { return !g.incomplete }

// Note returns the first thing about the claims that the allocator would not do, "" for
// none.
func (g *GangView) Note() string { return g.note }

// Count counts, for one role, all nodes that it may use, so that a plan can.
func (g *GangView) Count(c *Claims, usable func(topology.NodeID) bool) {
	if g.inventory.isLoose(c) {
		g.incomplete = true
		return
	}
	for n, s := range g.view.states {
		if usable != nil && !usable(topology.NodeID(n)) {
			continue
		}
		chain, _ := g.ask(question{s, c})
		if g.incomplete {
			return
		}
		if chain.note != "" && g.note == "" {
			g.note = "node " + g.view.nodes[n].name + ": " + chain.note
		}
	}
}

// ask returns an answer, from memory if it is there, and what it costs.
func (g *GangView) ask(q question) (*chain, int) {
	if rest, ok := g.rests[q]; ok {
		return rest, 1
	}
	if g.counted[q] {
		return g.inventory.answer(q), 1
	}
	if g.spent > maxGangSteps {
		g.incomplete = true
		return &chain{}, 1
	}
	matching, answer := g.inventory.matchingOf(q.state.config, q.claims), g.inventory.answer(q)
	steps := answer.steps(0)
	if !g.matched[matching] {
		g.matched[matching] = true
		steps += matching.steps
	}
	g.spent += steps
	g.incomplete = g.incomplete || answer.unknown
	g.counted[q] = true
	for i, after := range answer.after { // what is left was counted with it
		rest := question{after, q.claims}
		if answer.ended {
			g.counted[rest] = true
		} else {
			g.rests[rest] = answer.rest(i + 1)
		}
	}
	return answer, steps
}

// Assume takes what one member claims on node n, though no claim says so: for plans that
// follow a plan that is not carried out.
func (g *GangView) Assume(n topology.NodeID, c *Claims) {
	after, ok := g.Take(g.view.states[n], c, 1)
	if !ok {
		return
	}
	g.view.states[n] = after.(*state)
	node := g.view.nodes[n]
	node.assumed = after.(*state).taken.clone()
	g.inventory.touch(node)
	g.inventory.allocated = nil
}
