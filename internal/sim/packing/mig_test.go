// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

func TestMIGReplay_MusterLetsInMoreThanFitting(t *testing.T) {
	for _, name := range []string{"A100-80GB", "H100-94GB"} {
		board, ok := gpu.FindBoard(name)
		require.True(t, ok)
		sum := map[string]float64{}
		for seed := int64(1); seed <= 4; seed++ {
			replay := MIGReplay{Board: board, Devices: 64, Arrivals: 3000, Load: 1, Seed: seed}
			for _, p := range MIGPolicies() {
				got, err := replay.Run(p)
				require.NoError(t, err)
				assert.Equal(t, 2250, got.Offered, "the first quarter is not counted")
				sum[p.Name] += got.UnitAcceptance() / 4
			}
		}
		assert.Greater(t, sum["muster"], sum["best-fit"]+1, name)
		assert.Greater(t, sum["best-fit"], sum["first-fit"], name)
	}
}

// migOrder is what DRA's allocator does with nodes of eight devices: it takes the
// first node with room, and there the first instance that fits, in the order that
// the scheduler gives the instances.
type migOrder struct{ packer *gpu.Packer }

func (migOrder) observeProfile(int) {}

func (m migOrder) pickPlace(devices []*gpu.MIGLayout, profile *gpu.Profile) (int, int) {
	const size = 8
	for first := 0; first < len(devices); first += size {
		node := devices[first:min(first+size, len(devices))]
		var used []gpu.UnitSet
		var places []gpu.InstanceOption
		var published []gpu.PublishedInstance
		for d, layout := range node {
			used = append(used, layout.UsedUnits())
			for _, start := range profile.Starts {
				places = append(places, gpu.InstanceOption{Device: d, Start: start})
				published = append(published, gpu.PublishedInstance{Device: d, Units: gpu.Instance{Profile: profile, Start: start}.OccupiedUnits()})
			}
		}
		for _, i := range m.packer.OrderInstances(used, published) {
			if node[places[i].Device].CheckInstance(gpu.Instance{Profile: profile, Start: places[i].Start}) == nil {
				return first + places[i].Device, places[i].Start
			}
		}
	}
	return -1, 0
}

// TestMIGReplay_OrderOfDevices holds the order that is given to DRA's allocator
// against the order in which the driver publishes, which is first fit, and against
// the best start of all devices: of one node, and of eight.
func TestMIGReplay_OrderOfDevices(t *testing.T) {
	ordered := MIGPolicy{"ordered", func(b *gpu.Board) migPicker { return migOrder{gpu.EvenPacker(b)} }}
	for _, name := range []string{"A100-80GB", "H100-94GB"} {
		board, _ := gpu.FindBoard(name)
		for _, devices := range []int{8, 64} {
			sum := map[string]float64{}
			for seed := int64(1); seed <= 6; seed++ {
				replay := MIGReplay{Board: board, Devices: devices, Arrivals: 2000, Load: 0.9, Seed: seed}
				for _, p := range append(MIGPolicies(), ordered) {
					got, err := replay.Run(p)
					require.NoError(t, err)
					sum[p.Name] += got.InstanceAcceptance() / 6
				}
			}
			t.Logf("%s, %d devices: %.1f %% of instances as published, %.1f %% in order, %.1f %% with the best start of all", name, devices, sum["first-fit"], sum["ordered"], sum["muster"])
			assert.Greater(t, sum["ordered"], sum["first-fit"]+0.5, name)
			if devices == 8 { // of several nodes the first is not the best
				assert.Greater(t, sum["ordered"], sum["muster"]-0.5, name)
			}
		}
	}
}

func TestMIGReplay_RefusesNothingWithoutNeed(t *testing.T) {
	board, _ := gpu.FindBoard("A30-24GB")
	mix := make(gpu.ProfileMix, len(board.Profiles))
	mix[0] = 1 // 1g.6gb only: any place is as good as another
	for _, p := range MIGPolicies() {
		got, err := MIGReplay{Board: board, Devices: 16, Arrivals: 2000, Load: 0.3, Mix: mix, Seed: 1}.Run(p)
		require.NoError(t, err)
		assert.Equal(t, 100.0, got.InstanceAcceptance(), p.Name)
		assert.Equal(t, got.Offered, got.OfferedUnits, "one unit each")
	}
}

func TestMIGReplay_GivesTheSameTwice(t *testing.T) {
	board, _ := gpu.FindBoard("RTX-PRO-6000-96GB")
	replay := MIGReplay{Board: board, Devices: 8, Arrivals: 500, Load: 1.2, Seed: 3}
	for _, p := range MIGPolicies() {
		first, err := replay.Run(p)
		require.NoError(t, err)
		again, err := replay.Run(p)
		require.NoError(t, err)
		assert.Equal(t, first, again, p.Name)
	}
}

func TestMIGReplay_SaysWhatIsWrong(t *testing.T) {
	board, _ := gpu.FindBoard("A30-24GB")
	_, err := MIGReplay{Board: board, Arrivals: 1, Load: 1}.Run(MIGPolicies()[0])
	require.EqualError(t, err, "MIG replay of 1 arrivals on 0 devices at load 1: a board and positive numbers are wanted")
	_, err = MIGReplay{Board: board, Devices: 1, Arrivals: 1, Load: 1, Mix: gpu.ProfileMix{1}}.Run(MIGPolicies()[0])
	require.EqualError(t, err, "MIG replay: 1 weights for the 5 profiles of A30-24GB")
	_, err = MIGReplay{Board: board, Devices: 1, Arrivals: 1, Load: 1, Mix: make(gpu.ProfileMix, 5)}.Run(MIGPolicies()[0])
	require.EqualError(t, err, "MIG replay: weights from 0 to 0 for A30-24GB; they must not be negative, nor all 0")
	_, err = MIGReplay{Board: board, Devices: 1, Arrivals: 1, Load: 1, Mix: gpu.ProfileMix{1, 0, -1, 0, 0}}.Run(MIGPolicies()[0])
	require.ErrorContains(t, err, "weights from -1 to 1")
}

func TestWriteMIGTable(t *testing.T) {
	var out strings.Builder
	require.NoError(t, WriteMIGTable(&out, MIGOptions{Boards: []string{"A30-24GB"}, Loads: []float64{0.9}, Devices: 8, Arrivals: 400, Seeds: []int64{1, 2}}))
	lines := strings.Split(out.String(), "\n")
	assert.Equal(t, "MIG instances that found a place, in % (in brackets: of the units asked for); 400 arrivals on 8 devices, mean of seeds [1 2]", lines[0])
	assert.Regexp(t, `^board +load +muster +first-fit +best-fit`, lines[2])
	assert.Regexp(t, `^A30-24GB +0\.90 +\d+\.\d \(\d+\.\d\)`, lines[3])
	err := WriteMIGTable(&out, MIGOptions{Boards: []string{"T4"}})
	require.EqualError(t, err, `board "T4" has no MIG table`)
}
