// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// UnitSet is a set of the units of one device: bit i stands for unit i.
type UnitSet uint16

// Instance is one MIG instance on a device.
type Instance struct {
	Profile *Profile
	// Start is the first unit that it takes up.
	Start int
}

// OccupiedUnits is the set of units that the instance takes up.
func (i Instance) OccupiedUnits() UnitSet {
	return UnitSet(1<<i.Profile.Size-1) << i.Start
}

// MIGLayout is how one device is cut at a moment. The zero value with a board
// set is a device without instances.
type MIGLayout struct {
	Board     *Board
	Instances []Instance
	used      UnitSet
}

// UsedUnits is the set of units that are taken.
func (c *MIGLayout) UsedUnits() UnitSet { return c.used }

// CheckInstance tells why an instance cannot be placed, or returns nil: the start must
// be one of the profile's, its units free, the profile's largest number not
// reached, and at most one instance of a device carries the media engines.
func (c *MIGLayout) CheckInstance(i Instance) error {
	switch c.findObstacle(i) {
	case wrongStart:
		return fmt.Errorf("%s cannot start at unit %d of %s; it starts at %v", i.Profile.Name, i.Start, c.Board.Name, i.Profile.Starts)
	case unitsTaken:
		return fmt.Errorf("%s at unit %d of %s: units %012b are taken", i.Profile.Name, i.Start, c.Board.Name, c.used&i.OccupiedUnits())
	case mediaTaken:
		return fmt.Errorf("%s: another instance of the device has the media engines", i.Profile.Name)
	case tooMany:
		return fmt.Errorf("%s: a device holds at most %d of them", i.Profile.Name, i.Profile.Max)
	case noObstacle:
	}
	return nil
}

type obstacle int

const (
	noObstacle obstacle = iota
	wrongStart
	unitsTaken
	mediaTaken
	tooMany
)

func (c *MIGLayout) findObstacle(i Instance) obstacle {
	if !slices.Contains(i.Profile.Starts, i.Start) {
		return wrongStart
	}
	if c.used&i.OccupiedUnits() != 0 {
		return unitsTaken
	}
	same := 0
	for _, other := range c.Instances {
		if other.Profile == i.Profile {
			same++
		}
		if i.Profile.hasMedia() && other.Profile.hasMedia() {
			return mediaTaken
		}
	}
	if same >= i.Profile.Max {
		return tooMany
	}
	return noObstacle
}

// hasMedia reports whether instances carry the media extensions, of which a
// device has one set.
func (p *Profile) hasMedia() bool { return strings.Contains(p.Name, "+me") }

// PlaceInstance adds an instance. It changes nothing and says why if it does not fit.
func (c *MIGLayout) PlaceInstance(i Instance) error {
	if err := c.CheckInstance(i); err != nil {
		return err
	}
	c.Instances = append(c.Instances, i)
	c.used |= i.OccupiedUnits()
	return nil
}

// RemoveInstance takes an instance away and reports whether it was there.
func (c *MIGLayout) RemoveInstance(i Instance) bool {
	at := slices.Index(c.Instances, i)
	if at < 0 {
		return false
	}
	c.Instances = slices.Delete(c.Instances, at, at+1)
	c.used &^= i.OccupiedUnits()
	return true
}

// FreePlaces is the number of instances of the profile that still find a place,
// other profiles aside. The starts of a profile never overlap one another.
func (p *Profile) FreePlaces(used UnitSet) int {
	room := 0
	for _, start := range p.Starts {
		if used&(Instance{p, start}).OccupiedUnits() == 0 {
			room++
		}
	}
	return min(room, p.Max)
}

// ProfileMix is how often each profile of a board is asked for, aligned with
// Board.Profiles. Nil means that nothing is known: every profile counts alike.
type ProfileMix []float64

// RemainingValue measures what can still be placed on a device: over the profiles,
// the sum of their share in the mix, times the room for them, times the cube
// of the units of one instance. A place for a large instance is worth more
// than the small ones that fit in it, since few devices have one; of the powers
// from 1 to 6 those near 3 let in the most instances in the MIG replay of
// package packing.
func (b *Board) RemainingValue(used UnitSet, mix ProfileMix) float64 {
	freedom := 0.0
	for i := range b.Profiles {
		share := 1.0
		if mix != nil {
			share = mix[i]
		}
		p := &b.Profiles[i]
		freedom += float64(share * float64(p.FreePlaces(used)*p.Size*p.Size*p.Size))
	}
	return freedom
}

// Packer chooses places for instances so that the devices of one board keep
// as much freedom as they can. It is safe for concurrent use.
type Packer struct {
	board *Board
	// remainingValue is that of a device by the set of its taken units.
	remainingValue []float64
}

// NewPacker prepares a packer for a board and a mix.
func NewPacker(board *Board, mix ProfileMix) *Packer {
	k := &Packer{board: board, remainingValue: make([]float64, 1<<board.Units)}
	for used := range k.remainingValue {
		k.remainingValue[used] = board.RemainingValue(UnitSet(used), mix)
	}
	return k
}

// InstanceOption is one place for an instance.
type InstanceOption struct {
	// Device is the index of the device in the list that was given.
	Device int
	// Start is the first unit.
	Start int
	// ValueLoss is the freedom that is lost by taking it.
	ValueLoss float64
}

// InstanceOptions runs over every place that the devices have for a profile of the
// packer's board, in the order of the devices, then of the starts. Devices of
// other boards are passed over.
func (k *Packer) InstanceOptions(devices []*MIGLayout, profile *Profile) iter.Seq[InstanceOption] {
	return func(yield func(InstanceOption) bool) {
		for d, c := range devices {
			if c.Board != k.board {
				continue
			}
			for _, start := range profile.Starts {
				i := Instance{profile, start}
				if c.used&i.OccupiedUnits() != 0 || c.findObstacle(i) != noObstacle {
					continue
				}
				if !yield(InstanceOption{d, start, k.remainingValue[c.used] - k.remainingValue[c.used|i.OccupiedUnits()]}) {
					return
				}
			}
		}
	}
}

// BestOption is the option with the least loss, of equal ones the first, and tells
// whether there is any.
func (k *Packer) BestOption(devices []*MIGLayout, profile *Profile) (best InstanceOption, found bool) {
	for o := range k.InstanceOptions(devices, profile) {
		if !found || o.ValueLoss < best.ValueLoss {
			best, found = o, true
		}
	}
	return best, found
}
