// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// deviceBudget is what the budget of a gang with claims has on top: a step of an
// allocator of devices is many of the solver's, and few nodes may have many devices.
const deviceBudget = 8_000_000

// hasClaims reports whether a role of g asks for devices.
func hasClaims(g *gang.Gang) bool {
	return slices.ContainsFunc(g.Roles, func(r gang.Role) bool { return r.Claims != nil })
}

// deviceHeadroom returns the number of members whose claims fit on node n.
func (h *headroom) deviceHeadroom(n topology.NodeID, devices topology.DeviceState) int64 {
	d := h.usage.Devices
	if d == nil {
		return 0
	}
	if devices == nil {
		devices = d.StateOf(n)
	}
	members, steps := d.Fit(devices, h.claims)
	h.deviceSteps += steps
	return int64(members)
}

// devicesOn returns the state of the devices of node n with what the plan at hand has
// taken, nil where it has taken none.
func (s *solver) devicesOn(n topology.NodeID) topology.DeviceState {
	if len(s.planner.takenDevices) == 0 {
		return nil
	}
	return s.planner.takenDevices[n]
}

// takeDevices takes the devices of one member of a role on node n, and returns the state
// before. The solver counted them: should they not fit after all, nothing is taken,
// and Check refuses the plan.
func (s *solver) takeDevices(role *roleState, n topology.NodeID) (before topology.DeviceState) {
	if role.Claims == nil || s.planner.usage.Devices == nil {
		return nil
	}
	if len(s.planner.takenDevices) != len(s.tree.Nodes) {
		s.planner.takenDevices = make([]topology.DeviceState, len(s.tree.Nodes))
	}
	before = s.planner.takenDevices[n]
	if after, ok := s.planner.usage.Devices.Take(s.currentDevices(n), role.Claims, 1); ok {
		s.planner.takenDevices[n] = after
	}
	s.spend(1)
	return before
}

// currentDevices returns the state of the devices of node n, whether or not the plan at
// hand has taken some.
func (s *solver) currentDevices(n topology.NodeID) topology.DeviceState {
	if taken := s.devicesOn(n); taken != nil {
		return taken
	}
	return s.planner.usage.Devices.StateOf(n)
}

// giveBackDevices returns the devices of node n to a state that takeDevices returned.
func (s *solver) giveBackDevices(n topology.NodeID, before topology.DeviceState) {
	if len(s.planner.takenDevices) > 0 {
		s.planner.takenDevices[n] = before
	}
}

// holdDevices reports whether node n has the devices of all the counted members.
func (s *solver) holdDevices(n topology.NodeID) bool {
	d := s.planner.usage.Devices
	if d == nil {
		return true
	}
	state := d.StateOf(n)
	for r := range s.roles {
		role := &s.roles[r]
		if role.Claims == nil || role.toPlace == 0 {
			continue
		}
		members, steps := d.Fit(state, role.Claims)
		s.spend(steps)
		if members < role.toPlace {
			return false
		}
		after, ok := d.Take(state, role.Claims, role.toPlace)
		if !ok {
			return false
		}
		state = after
	}
	return true
}

// unknownClaims returns what a role claims that no node has, whatever is taken; "" for
// nothing.
func (s *solver) unknownClaims() string {
	d := topology.WithoutTaken(s.planner.usage.Devices)
	for r := range s.roles {
		claims := s.roles[r].Claims
		if d == nil || claims == nil {
			continue
		}
		has := false
		for n := range s.tree.Nodes {
			members, _ := d.Fit(d.StateOf(topology.NodeID(n)), claims)
			has = has || members > 0
		}
		if !has {
			return claims.String()
		}
	}
	return ""
}

// sameDevices reports whether two nodes have equal devices that the plan at hand has
// not touched.
func (s *solver) sameDevices(n, m topology.NodeID) bool {
	d := s.planner.usage.Devices
	if d == nil || !hasClaims(s.gang) {
		return true
	}
	return s.devicesOn(n) == nil && s.devicesOn(m) == nil && d.StateOf(n) == d.StateOf(m)
}
