// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// farPairs bridges device i with device i+4 of eight.
const farPairs = "SYS;SYS,SYS;SYS,SYS,SYS;NV12,SYS,SYS,SYS;SYS,NV12,SYS,SYS,SYS;SYS,SYS,NV12,SYS,SYS,SYS;SYS,SYS,SYS,NV12,SYS,SYS,SYS"

func TestOrderDevices(t *testing.T) {
	links, err := ParseLinks(farPairs)
	require.NoError(t, err)
	all := AllDevices(8)
	for _, test := range []struct {
		name  string
		free  DeviceSet
		count int
		want  []int
	}{
		{"a pair is linked", all, 2, []int{0, 4, 1, 2, 3, 5, 6, 7}},
		{"a single takes from a broken pair", all &^ 1, 1, []int{4, 1, 2, 3, 5, 6, 7, 0}},
		{"a pair leaves a broken one", all &^ 1, 2, []int{1, 5, 2, 3, 4, 6, 7, 0}},
		{"four are two pairs", all &^ (1<<1 | 1<<6), 4, []int{0, 3, 4, 7, 2, 5, 1, 6}},
		{"more than are free", 1<<2 | 1<<7, 4, []int{2, 7, 0, 1, 3, 4, 5, 6}},
		{"none", all, 0, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"all are taken", 0, 2, []int{0, 1, 2, 3, 4, 5, 6, 7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, links.OrderDevices(test.free, test.count))
		})
	}
}

func TestOrderInstances(t *testing.T) {
	board, _ := FindBoard("A100-40GB")
	packer := EvenPacker(board)
	assert.Same(t, packer, EvenPacker(board), "it is made once")
	one := func(device, start int) PublishedInstance { return PublishedInstance{device, 1 << start} }
	for _, test := range []struct {
		name      string
		used      []UnitSet
		instances []PublishedInstance
		first     int
	}{
		{"a whole device stays whole", []UnitSet{0, 1}, []PublishedInstance{one(0, 6), one(1, 1), one(1, 5)}, 1},
		{"the end of the device has least to lose", []UnitSet{0}, []PublishedInstance{one(0, 0), one(0, 3), one(0, 6)}, 2},
		{"what is taken comes last", []UnitSet{1 << 6}, []PublishedInstance{one(0, 6), one(0, 0)}, 1},
		{"of equal ones the first", []UnitSet{0, 0}, []PublishedInstance{one(0, 6), one(1, 6)}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			order := packer.OrderInstances(test.used, test.instances)
			assert.Equal(t, test.first, order[0])
			assert.Len(t, order, len(test.instances))
		})
	}
}

// TestOrderInstances_AsThePacker has a first fit over the order choose what
// BestOption chooses, in many states.
func TestOrderInstances_AsThePacker(t *testing.T) {
	for _, board := range AllBoards() {
		packer := EvenPacker(board)
		for p := range board.Profiles {
			profile := &board.Profiles[p]
			var instances []PublishedInstance
			for device := range 2 {
				for _, start := range profile.Starts {
					instances = append(instances, PublishedInstance{device, Instance{profile, start}.OccupiedUnits()})
				}
			}
			for used := UnitSet(0); used < 1<<board.Units; used += 7 {
				devices := []*MIGLayout{{Board: board, used: used}, {Board: board, used: used / 2}}
				best, found := packer.BestOption(devices, profile)
				if !found {
					continue
				}
				first := instances[packer.OrderInstances([]UnitSet{used, used / 2}, instances)[0]]
				require.Equal(t, PublishedInstance{best.Device, Instance{profile, best.Start}.OccupiedUnits()}, first, "%s %s %b", board.Name, profile.Name, used)
			}
		}
	}
}

func TestLinksOfPlaces(t *testing.T) {
	assert.Equal(t, "PHB;NODE,NODE;SYS,SYS,SYS", LinksOfPlaces([]string{"a", "a", "b", "c"}, []int{0, 0, 0, 1}).String())
	assert.Equal(t, "PHB;SYS,SYS", LinksOfPlaces([]string{"a", "a", ""}, []int{-1, -1, -1}).String())
	assert.Nil(t, LinksOfPlaces([]string{"", ""}, []int{-1, -1}))
	assert.Nil(t, LinksOfPlaces([]string{"a"}, []int{0}))
	assert.Nil(t, LinksOfPlaces(make([]string, MaxDevices+1), make([]int, MaxDevices+1)))
}
