// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"strconv"
	"strings"
)

// Board is how one kind of device may be cut into MIG instances.
type Board struct {
	// Name is the key of the board, such as "A100-40GB".
	Name string
	// Units is the number of places on the device: eight on seven-slice
	// boards, where the eighth holds memory only. Start and size of an
	// instance count in them.
	Units int
	// Slices is the number of compute slices of the whole device.
	Slices int
	// Profiles are the instances that the driver offers, smallest first.
	Profiles []Profile
	// Source is where the names, counts and positions were taken from.
	Source string
}

// Profile is one kind of MIG instance on one board.
type Profile struct {
	// Name is the driver's name, such as "1g.5gb" or "1g.5gb+me".
	Name string
	// Slices is the number of compute slices.
	Slices int
	// Size is the number of the board's units that an instance takes up.
	Size int
	// MemoryGB is the memory as the name has it.
	MemoryGB int
	// Max is the largest number of instances of this profile on one device.
	Max int
	// Starts are the units at which an instance may begin, in rising order.
	Starts []int
}

// InvalidMIGProfile is returned for a profile that the board does not offer.
type InvalidMIGProfile struct {
	// Profile is what was asked for.
	Profile string
	// Board is the name of the board; empty if no board is known.
	Board string
	// Offered are the names of the board's profiles.
	Offered []string
}

// Error implements error.
func (e *InvalidMIGProfile) Error() string {
	if e.Board == "" {
		return fmt.Sprintf("MIG profile %q: the board of the node has no MIG table", e.Profile)
	}
	return fmt.Sprintf("MIG profile %q does not exist on %s; it offers %s",
		e.Profile, e.Board, strings.Join(e.Offered, ", "))
}

// FindBoard returns the MIG tables of a board, see Product.Board.
func FindBoard(name string) (*Board, bool) {
	for i := range boards {
		if boards[i].Name == name {
			return &boards[i], true
		}
	}
	return nil, false
}

// AllBoards returns all boards that can be cut, in a fixed order.
func AllBoards() []*Board {
	all := make([]*Board, len(boards))
	for i := range boards {
		all[i] = &boards[i]
	}
	return all
}

// FindProfile looks a profile up by any of its spellings: the driver's name, the
// form in which it stands in resource names and labels ("." for "+", as in
// "1g.5gb.me"), or the whole resource name ("nvidia.com/mig-1g.5gb"). The error
// is an *InvalidMIGProfile. A nil board offers nothing.
func (b *Board) FindProfile(name string) (*Profile, error) {
	want := canonicalProfile(name)
	if b == nil {
		return nil, &InvalidMIGProfile{Profile: name}
	}
	offered := make([]string, 0, len(b.Profiles))
	for i := range b.Profiles {
		if b.Profiles[i].Name == want {
			return &b.Profiles[i], nil
		}
		offered = append(offered, b.Profiles[i].Name)
	}
	return nil, &InvalidMIGProfile{Profile: name, Board: b.Name, Offered: offered}
}

// ResourcePrefix is what the names of MIG resources begin with under the
// strategy "mixed". Behind it stands the name of the profile, with "." for a
// "+", which is not allowed there.
const ResourcePrefix = "nvidia.com/mig-"

// IsMIGProfile reports whether a name in any spelling has the form of a profile,
// such as "1g.5gb" or "nvidia.com/mig-2g.48gb.gfx", on whatever board.
func IsMIGProfile(name string) bool {
	name = canonicalProfile(name)
	slices, _, found := strings.Cut(name, "g.")
	n, err := strconv.Atoi(slices)
	return found && err == nil && n > 0 && n < 8 && Product{Profile: name}.partMemoryGB() > 0
}

// attributes are the endings that make a variant of a profile: the media
// engines (one instance, all of them, or none) and graphics.
var attributes = []string{"me.all", "me", "gfx"}

// canonicalProfile turns any spelling of a profile into the driver's. What it
// does not understand it returns as it is, for the table to refuse.
func canonicalProfile(name string) string {
	s := strings.ToLower(strings.TrimSpace(name))
	s = strings.TrimPrefix(s, ResourcePrefix)
	s = strings.TrimPrefix(strings.TrimPrefix(s, "mig-"), "mig ")
	for _, a := range attributes {
		if base, found := strings.CutSuffix(s, "."+a); found {
			return base + "+" + a
		}
	}
	return s
}
