// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

// Devices are the devices of the nodes that are handed out one by one. They do not add
// up as the columns of a Usage do: which of them a member can have depends on which
// others have. So there are states instead of amounts: to take is to go to another
// state, to give back is to return to the one before.
//
// The answers depend on the arguments alone. None of the methods changes what a state
// means.
type Devices interface {
	// StateOf returns the state of the devices of node n: what is there, and what is
	// taken of it. EmptyStateOf is the state in which nothing is taken.
	StateOf(n NodeID) DeviceState
	EmptyStateOf(n NodeID) DeviceState
	// Fit returns how many more members with these claims find their devices in a
	// state, and how many steps it took to find out for the first time in this plan.
	Fit(s DeviceState, c Claims) (members, steps int)
	// Take returns the state after so many members with these claims took their
	// devices; ok is false where they do not fit.
	Take(s DeviceState, c Claims, members int) (after DeviceState, ok bool)
}

// DeviceState is a state of the devices of one node. Equal states compare equal; the
// rest is known to the Devices that it is of.
type DeviceState any

// Claims is what one member asks for of the devices of its node, nil for nothing. Equal
// ones compare equal; the rest is known to the Devices of the Usage.
type Claims interface {
	// String returns what is asked for as a refusal names it, such as "devices of class
	// gpu.example.com".
	String() string
}

// BindsModel reports whether the choice of a GPU model binds members with these claims,
// as it does unless the claims have a method of this name that says otherwise.
func BindsModel(c Claims) bool {
	says, ok := c.(interface{ BindsModel() bool })
	return c != nil && (!ok || says.BindsModel())
}

// emptyDevices are devices of which nothing is taken.
type emptyDevices struct{ Devices }

// StateOf returns the state in which nothing is taken.
func (d emptyDevices) StateOf(n NodeID) DeviceState { return d.EmptyStateOf(n) }

// WithoutTaken returns the same devices with nothing taken of them, nil for nil.
func WithoutTaken(d Devices) Devices {
	if d == nil {
		return nil
	}
	return emptyDevices{d}
}

// takenDevices are devices of which some are taken.
type takenDevices struct {
	Devices
	states map[NodeID]DeviceState
}

// StateOf returns the state of node n with what is taken.
func (d takenDevices) StateOf(n NodeID) DeviceState {
	if s, ok := d.states[n]; ok {
		return s
	}
	return d.Devices.StateOf(n)
}

// WithTaken returns the devices after members with these claims took theirs, one for each
// time that a node is listed. Negative nodes are passed over.
func WithTaken(d Devices, c Claims, nodes []NodeID) Devices {
	if d == nil || c == nil {
		return d
	}
	out := takenDevices{d, map[NodeID]DeviceState{}}
	for _, n := range nodes {
		if n < 0 {
			continue
		}
		if after, ok := d.Take(out.StateOf(n), c, 1); ok {
			out.states[n] = after
		}
	}
	return out
}

// arrangedDevices are devices of the nodes of a view.
type arrangedDevices struct {
	Devices
	source []NodeID
}

// StateOf returns the state of node n of the view.
func (d arrangedDevices) StateOf(n NodeID) DeviceState { return d.Devices.StateOf(d.source[n]) }

// EmptyStateOf returns the state of node n of the view with nothing taken.
func (d arrangedDevices) EmptyStateOf(n NodeID) DeviceState {
	return d.Devices.EmptyStateOf(d.source[n])
}
