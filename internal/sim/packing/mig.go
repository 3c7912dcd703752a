// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// MIGReplay is a stream of MIG instances that come and go on devices of one
// board, which are cut as instances come. An instance that finds no place is
// refused for good.
//
// The rule of the draw: every profile of the board without media engines gets
// a weight, the cube of a number uniform in 0 to 1 (so that some profiles
// dominate and some are rare), or the weights of Mix. One instance arrives each
// step, its profile drawn by the weights; it stays for an exponential time,
// with the mean chosen so that the units offered amount to Load of all units.
// Everything comes from the seed; all policies see the same stream. The first
// quarter of the arrivals fills the devices and is not counted.
type MIGReplay struct {
	Board    *gpu.Board
	Devices  int
	Arrivals int
	// Load is the units offered per unit there is: 1 is just too much for a
	// perfect packing.
	Load float64
	// Mix is the weight of each profile; nil draws it.
	Mix  gpu.ProfileMix
	Seed int64
}

// MIGResult is what became of one stream, counted after the first quarter.
type MIGResult struct {
	Offered, Accepted           int
	OfferedUnits, AcceptedUnits int
}

// Acceptance is the part of the instances that found a place, in percent.
func (r MIGResult) Acceptance() float64 { return 100 * float64(r.Accepted) / float64(r.Offered) }

// UnitAcceptance is the part of the units asked for that was given, in percent.
func (r MIGResult) UnitAcceptance() float64 {
	return 100 * float64(r.AcceptedUnits) / float64(r.OfferedUnits)
}

// MIGPolicy picks a device and a start for a profile.
type MIGPolicy struct {
	Name string
	// new makes a picker; learn is told of each arrival before it is placed.
	new func(*gpu.Board) migPicker
}

type migPicker interface {
	learn(profile int)
	pick(devices []*gpu.MIGLayout, profile *gpu.Profile) (device, start int)
}

// MIGPolicies are those that the replay knows: Muster's, which learns the mix
// as it goes; the first device and start with room; and the device with the
// fewest units left over.
func MIGPolicies() []MIGPolicy {
	return []MIGPolicy{
		{"muster", func(b *gpu.Board) migPicker {
			return &migMuster{board: b, packer: gpu.NewPacker(b, nil), seen: make(gpu.ProfileMix, len(b.Profiles)), next: firstMIGLesson}
		}},
		{"first-fit", func(*gpu.Board) migPicker { return migFit{} }},
		{"best-fit", func(*gpu.Board) migPicker { return migFit{best: true} }},
	}
}

type migMuster struct {
	board  *gpu.Board
	packer *gpu.Packer
	seen   gpu.ProfileMix
	total  int
	next   int
}

// firstMIGLesson is the number of instances after which the packer is first made
// anew for the mix seen.
const firstMIGLesson = 16

func (m *migMuster) learn(profile int) {
	m.seen[profile]++
	if m.total++; m.total >= m.next {
		m.next += m.next / 2
		m.packer = gpu.NewPacker(m.board, m.seen)
	}
}

func (m *migMuster) pick(devices []*gpu.MIGLayout, profile *gpu.Profile) (int, int) {
	o, found := m.packer.BestOption(devices, profile)
	if !found {
		return -1, 0
	}
	return o.Device, o.Start
}

type migFit struct{ best bool }

func (migFit) learn(int) {}

func (f migFit) pick(devices []*gpu.MIGLayout, profile *gpu.Profile) (device, start int) {
	device, least := -1, math.MaxInt
	for d, c := range devices {
		left := 0
		if f.best {
			left = freeUnits(c)
		}
		if left >= least {
			continue
		}
		for _, s := range profile.Starts {
			i := gpu.Instance{Profile: profile, Start: s}
			if c.UsedUnits()&i.OccupiedUnits() == 0 && c.CheckInstance(i) == nil {
				device, start, least = d, s, left
				break
			}
		}
	}
	return device, start
}

func freeUnits(c *gpu.MIGLayout) int {
	free := c.Board.Units
	for _, i := range c.Instances {
		free -= i.Profile.Size
	}
	return free
}

// Run replays the stream under a policy.
func (r MIGReplay) Run(policy MIGPolicy) (MIGResult, error) {
	draw := rand.New(rand.NewSource(r.Seed))
	mix, err := r.mix(draw)
	if err != nil {
		return MIGResult{}, err
	}
	stay, sum := r.meanStay(mix)
	devices := make([]*gpu.MIGLayout, r.Devices)
	for i := range devices {
		devices[i] = &gpu.MIGLayout{Board: r.Board}
	}
	picker := policy.new(r.Board)
	var leaving departures
	var res MIGResult
	for step := range r.Arrivals {
		for len(leaving) > 0 && leaving[0].at <= float64(step) {
			d := heap.Pop(&leaving).(departure)
			devices[d.device].RemoveInstance(d.instance)
		}
		p := pickWeighted(mix, draw.Float64()*sum)
		until := float64(step) + draw.ExpFloat64()*stay
		profile := &r.Board.Profiles[p]
		picker.learn(p)
		device, start := picker.pick(devices, profile)
		if step >= r.Arrivals/4 {
			res.count(profile, device >= 0)
		}
		if device < 0 {
			continue
		}
		i := gpu.Instance{Profile: profile, Start: start}
		if err := devices[device].PlaceInstance(i); err != nil {
			return res, fmt.Errorf("policy %s: %w", policy.Name, err)
		}
		heap.Push(&leaving, departure{until, step, device, i})
	}
	return res, nil
}

func (r *MIGResult) count(profile *gpu.Profile, accepted bool) {
	r.Offered++
	r.OfferedUnits += profile.Size
	if accepted {
		r.Accepted++
		r.AcceptedUnits += profile.Size
	}
}

// meanStay is the number of steps that an instance stays on the mean, for the
// load asked for, and the sum of the weights.
func (r MIGReplay) meanStay(mix gpu.ProfileMix) (stay, sum float64) {
	units := 0.0
	for i, weight := range mix {
		units += weight * float64(r.Board.Profiles[i].Size)
		sum += weight
	}
	return r.Load * float64(r.Devices*r.Board.Units) / (units / sum), sum
}

// mix is the weights given, or drawn.
func (r MIGReplay) mix(draw *rand.Rand) (gpu.ProfileMix, error) {
	if r.Board == nil || r.Devices < 1 || r.Arrivals < 1 || r.Load <= 0 {
		return nil, fmt.Errorf("MIG replay of %d arrivals on %d devices at load %g: a board and positive numbers are wanted",
			r.Arrivals, r.Devices, r.Load)
	}
	if r.Mix != nil {
		if len(r.Mix) != len(r.Board.Profiles) {
			return nil, fmt.Errorf("MIG replay: %d weights for the %d profiles of %s", len(r.Mix), len(r.Board.Profiles), r.Board.Name)
		}
		if slices.Min(r.Mix) < 0 || slices.Max(r.Mix) <= 0 {
			return nil, fmt.Errorf("MIG replay: weights from %g to %g for %s; they must not be negative, nor all 0",
				slices.Min(r.Mix), slices.Max(r.Mix), r.Board.Name)
		}
		return r.Mix, nil
	}
	mix := make(gpu.ProfileMix, len(r.Board.Profiles))
	for i := range mix {
		weight := math.Pow(draw.Float64(), 3)
		if !strings.Contains(r.Board.Profiles[i].Name, "+me") {
			mix[i] = weight
		}
	}
	return mix, nil
}

func pickWeighted(mix gpu.ProfileMix, at float64) int {
	last := 0
	for i, weight := range mix {
		if weight <= 0 {
			continue
		}
		last = i
		if at < weight {
			break
		}
		at -= weight
	}
	return last
}

// departures is a heap: the next to leave first, of a moment the first to come.
type departures []departure

type departure struct {
	at       float64
	order    int
	device   int
	instance gpu.Instance
}

// Len implements heap.Interface.
func (d departures) Len() int { return len(d) }

// Less implements heap.Interface.
func (d departures) Less(i, j int) bool {
	return d[i].at < d[j].at || d[i].at == d[j].at && d[i].order < d[j].order
}

// Swap implements heap.Interface.
func (d departures) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *departures) Push(x any) { *d = append(*d, x.(departure)) }

// Pop implements heap.Interface.
func (d *departures) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}
