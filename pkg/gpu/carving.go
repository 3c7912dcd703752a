// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"iter"
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
	switch c.check(i) {
	case wrongStart:
		return fmt.Errorf("%s cannot start at unit %d of %s; it starts at %v", i.Profile.Name, i.Start, c.Board.Name, i.Profile.Starts)
	case unitsTaken:
		return fmt.Errorf("%s at unit %d of %s: units %012b are taken", i.Profile.Name, i.Start, c.Board.Name, c.used&i.Units())
	case mediaTaken:
		return fmt.Errorf("%s: another instance of the device has the media engines", i.Profile.Name)
	case tooMany:
		return fmt.Errorf("%s: a device holds at most %d of them", i.Profile.Name, i.Profile.Max)
	case fits:
	}
	return nil
}

type obstacle int

const (
	fits obstacle = iota
	wrongStart
	unitsTaken
	mediaTaken
	tooMany
)

func (c *Carving) check(i Instance) obstacle {
	if !slices.Contains(i.Profile.Starts, i.Start) {
		return wrongStart
	}
	if c.used&i.Units() != 0 {
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
	return fits
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
// the sum of their share in the mix, times the room for them, times the cube
// of the units of one instance. A place for a large instance is worth more
// than the small ones that fit in it, since few devices have one; of the powers
// from 1 to 6 those near 3 let in the most instances in the MIG replay of
// package packing.
func (b *Board) Freedom(used Units, mix Mix) float64 {
	freedom := 0.0
	for i := range b.Profiles {
		share := 1.0
		if mix != nil {
			share = mix[i]
		}
		p := &b.Profiles[i]
		freedom += float64(share * float64(p.Room(used)*p.Size*p.Size*p.Size))
	}
	return freedom
}

// Packer chooses places for instances so that the devices of one board keep
// as much freedom as they can. It is safe for concurrent use.
type Packer struct {
	board *Board
	// freedom is that of a device by the set of its taken units.
	freedom []float64
}

// NewPacker prepares a packer for a board and a mix.
func NewPacker(board *Board, mix Mix) *Packer {
	k := &Packer{board: board, freedom: make([]float64, 1<<board.Units)}
	for used := range k.freedom {
		k.freedom[used] = board.Freedom(Units(used), mix)
	}
	return k
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

// Options runs over every place that the devices have for a profile of the
// packer's board, in the order of the devices, then of the starts. Devices of
// other boards are passed over.
func (k *Packer) Options(devices []*Carving, profile *Profile) iter.Seq[Option] {
	return func(yield func(Option) bool) {
		for d, c := range devices {
			if c.Board != k.board {
				continue
			}
			for _, start := range profile.Starts {
				i := Instance{profile, start}
				if c.used&i.Units() != 0 || c.check(i) != fits {
					continue
				}
				if !yield(Option{d, start, k.freedom[c.used] - k.freedom[c.used|i.Units()]}) {
					return
				}
			}
		}
	}
}

// Best is the option with the least loss, of equal ones the first, and tells
// whether there is any.
func (k *Packer) Best(devices []*Carving, profile *Profile) (best Option, found bool) {
	for o := range k.Options(devices, profile) {
		if !found || o.Loss < best.Loss {
			best, found = o, true
		}
	}
	return best, found
}
