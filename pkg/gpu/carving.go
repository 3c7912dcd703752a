// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"slices"
	"strings"
)

// Units is a set of the units of one device: bit i stands for unit i.
type Units uint16

// Instance is one MIG instance on a device.
type Instance struct {
	Profile *Profile
	// Start is the first unit that it takes up.
	Start int
}

// Units is the set of units that the instance takes up.
func (i Instance) Units() Units {
	return Units(1<<i.Profile.Size-1) << i.Start
}

// Carving is how one device is cut at a moment. The zero value with a board
// set is a device without instances.
type Carving struct {
	Board     *Board
	Instances []Instance
	used      Units
}

// Used is the set of units that are taken.
func (c *Carving) Used() Units { return c.used }

// Fits tells why an instance cannot be placed, or returns nil: the start must
// be one of the profile's, its units free, the profile's largest number not
// reached, and at most one instance of a device carries the media engines.
func (c *Carving) Fits(i Instance) error {
	if !slices.Contains(i.Profile.Starts, i.Start) {
		return fmt.Errorf("%s cannot start at unit %d of %s; it starts at %v",
			i.Profile.Name, i.Start, c.Board.Name, i.Profile.Starts)
	}
	if taken := c.used & i.Units(); taken != 0 {
		return fmt.Errorf("%s at unit %d of %s: units %012b are taken", i.Profile.Name, i.Start, c.Board.Name, taken)
	}
	same := 0
	for _, other := range c.Instances {
		if other.Profile == i.Profile {
			same++
		}
		if i.Profile.hasMedia() && other.Profile.hasMedia() {
			return fmt.Errorf("%s: %s on the same device has the media engines", i.Profile.Name, other.Profile.Name)
		}
	}
	if same >= i.Profile.Max {
		return fmt.Errorf("%s: a device holds at most %d of them", i.Profile.Name, i.Profile.Max)
	}
	return nil
}

// hasMedia tells whether instances carry the media extensions, of which a
// device has one set.
func (p *Profile) hasMedia() bool { return strings.Contains(p.Name, "+me") }

// Place adds an instance. It changes nothing and says why if it does not fit.
func (c *Carving) Place(i Instance) error {
	if err := c.Fits(i); err != nil {
		return err
	}
	c.Instances = append(c.Instances, i)
	c.used |= i.Units()
	return nil
}

// Remove takes an instance away and tells whether it was there.
func (c *Carving) Remove(i Instance) bool {
	at := slices.Index(c.Instances, i)
	if at < 0 {
		return false
	}
	c.Instances = slices.Delete(c.Instances, at, at+1)
	c.used &^= i.Units()
	return true
}

// Room is the number of instances of the profile that still find a place,
// other profiles aside. The starts of a profile never overlap one another.
func (p *Profile) Room(used Units) int {
	room := 0
	for _, start := range p.Starts {
		if used&(Instance{p, start}).Units() == 0 {
			room++
		}
	}
	return min(room, p.Max)
}

// Mix is how often each profile of a board is asked for, aligned with
// Board.Profiles. Nil means that nothing is known: every profile counts alike.
type Mix []float64

// Freedom measures what can still be placed on a device: over the profiles,
// the sum of their share in the mix, times the room for them, times the units
// of one instance. Losing the last place for a large instance weighs more than
// losing one of many for a small one.
func (b *Board) Freedom(used Units, mix Mix) float64 {
	freedom := 0.0
	for i := range b.Profiles {
		share := 1.0
		if mix != nil {
			share = mix[i]
		}
		if share > 0 {
			freedom += share * float64(b.Profiles[i].Room(used)*b.Profiles[i].Size)
		}
	}
	return freedom
}

// Option is one place for an instance.
type Option struct {
	// Device is the index of the device in the list that was given.
	Device int
	// Start is the first unit.
	Start int
	// Loss is the freedom that is lost by taking it.
	Loss float64
}

// Options lists every place that the devices have for a profile, the least
// loss first; equal losses come in the order of the devices, then of the
// starts. Devices of other boards are passed over.
func Options(devices []*Carving, board *Board, profile *Profile, mix Mix) []Option {
	var options []Option
	for d, c := range devices {
		if c.Board != board {
			continue
		}
		before := board.Freedom(c.used, mix)
		for _, start := range profile.Starts {
			i := Instance{profile, start}
			if c.Fits(i) == nil {
				options = append(options, Option{d, start, before - board.Freedom(c.used|i.Units(), mix)})
			}
		}
	}
	slices.SortStableFunc(options, func(a, b Option) int {
		switch {
		case a.Loss < b.Loss:
			return -1
		case a.Loss > b.Loss:
			return 1
		default:
			return 0
		}
	})
	return options
}
