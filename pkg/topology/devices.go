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
