// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"math/bits"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tables are typed in by hand, so that their rows are held against the
// geometry of the board.
func TestBoards(t *testing.T) {
	for _, b := range AllBoards() {
		t.Run(b.Name, func(t *testing.T) {
			assert.NotEmpty(t, b.Source)
			seen := map[string]bool{}
			for _, p := range b.Profiles {
				assert.False(t, seen[p.Name], "%s stands twice", p.Name)
				seen[p.Name] = true
				assert.Equal(t, byte('0'+p.Slices), p.Name[0], "%s", p.Name)
				taken := UnitSet(0)
				for _, start := range p.Starts {
					i := Instance{&p, start}
					assert.Zero(t, taken&i.OccupiedUnits(), "starts of %s overlap", p.Name)
					taken |= i.OccupiedUnits()
				}
				assert.LessOrEqual(t, bits.Len16(uint16(taken)), b.Units, "%s sticks out", p.Name)
				if !p.hasMedia() {
					assert.Equal(t, len(p.Starts), p.Max, "%s: as many as places", p.Name)
				}
			}
			whole := b.Profiles[len(b.Profiles)-1]
			assert.Equal(t, b.Units, whole.Size)
			assert.Equal(t, b.Slices, whole.Slices)
		})
	}
}

func TestBoardProfile(t *testing.T) {
	for _, tc := range []struct{ name, board, asked, want string }{
		{"the driver's name", "A100-40GB", "1g.5gb", "1g.5gb"},
		{"as a resource", "A100-80GB", "nvidia.com/mig-1g.10gb", "1g.10gb"},
		{"media engines as a resource", "A100-80GB", "nvidia.com/mig-1g.10gb.me", "1g.10gb+me"},
		{"graphics", "RTX-PRO-6000-96GB", "2g.48gb.gfx", "2g.48gb+gfx"},
		{"all media engines", "RTX-PRO-6000-96GB", "1g.24gb.me.all", "1g.24gb+me.all"},
		{"no media engines", "RTX-PRO-6000-96GB", "1g.24gb-me", "1g.24gb-me"},
		{"as the driver prints it", "B200-180GB", "MIG 2g.45gb", "2g.45gb"},
		{"one slice, another memory", "H200-141GB", "1g.35gb", "1g.35gb"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, ok := FindBoard(tc.board)
			require.True(t, ok)
			p, err := b.FindProfile(tc.asked)
			require.NoError(t, err)
			assert.Equal(t, tc.want, p.Name)
		})
	}
}

func TestBoardProfile_RefusesWhatTheBoardLacks(t *testing.T) {
	a100, _ := FindBoard("A100-40GB")
	for _, asked := range []string{"", "1g.6gb", "5g.25gb", "1g.20gb", "1c.3g.20gb", "7g.80gb", "2g.10gb+me"} {
		_, err := a100.FindProfile(asked)
		var invalid *InvalidMIGProfile
		require.ErrorAs(t, err, &invalid, asked)
		assert.Equal(t, "A100-40GB", invalid.Board)
		assert.Contains(t, err.Error(), "1g.5gb, 1g.5gb+me, 1g.10gb")
	}
	_, err := (*Board)(nil).FindProfile("1g.5gb")
	assert.EqualError(t, err, `MIG profile "1g.5gb": the board of the node has no MIG table`)
	_, ok := FindBoard("T4")
	assert.False(t, ok)
}

// carved puts instances such as "3g.20gb@4" on a fresh device.
func carved(t *testing.T, board string, instances string) *MIGLayout {
	t.Helper()
	b, ok := FindBoard(board)
	require.True(t, ok)
	c := &MIGLayout{Board: b}
	for word := range strings.FieldsSeq(instances) {
		name, at, _ := strings.Cut(word, "@")
		p, err := b.FindProfile(name)
		require.NoError(t, err)
		require.NoError(t, c.PlaceInstance(Instance{p, int(at[0] - '0')}))
	}
	return c
}

func TestCarving(t *testing.T) {
	for _, tc := range []struct{ name, board, have, add, want string }{
		{"4g and 3g fill a device", "A100-40GB", "4g.20gb@0", "3g.20gb@4", ""},
		{"two 3g fit", "A100-40GB", "3g.20gb@0", "3g.20gb@4", ""},
		{"4g starts in front only", "A100-40GB", "3g.20gb@0", "4g.20gb@4", "4g.20gb cannot start at unit 4 of A100-40GB; it starts at [0]"},
		{"a 1g at 4 keeps a 3g away", "H100-80GB", "1g.10gb@4", "3g.40gb@4", "3g.40gb at unit 4 of H100-80GB: units 000000010000 are taken"},
		{"seven 1g", "A100-40GB", "1g.5gb@0 1g.5gb@1 1g.5gb@2 1g.5gb@3 1g.5gb@4 1g.5gb@5", "1g.5gb@6", ""},
		{"no eighth 1g", "A100-40GB", "", "1g.5gb@7", "1g.5gb cannot start at unit 7 of A100-40GB; it starts at [0 1 2 3 4 5 6]"},
		{"the double-memory slice uses the eighth unit", "A100-40GB", "4g.20gb@0 2g.10gb@4", "1g.10gb@6", ""},
		{"one instance with media engines", "A30-24GB", "1g.6gb+me@0", "2g.12gb+me@2", "2g.12gb+me: another instance of the device has the media engines"},
		{"RTX PRO counts in twelfths", "RTX-PRO-6000-96GB", "1g.24gb@3 1g.24gb@6", "2g.48gb@6", "2g.48gb at unit 6 of RTX-PRO-6000-96GB: units 000111000000 are taken"},
		{"a graphics slice beside a plain one", "RTX-PRO-6000-96GB", "2g.48gb@0", "1g.24gb+gfx@6", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := carved(t, tc.board, tc.have)
			name, at, _ := strings.Cut(tc.add, "@")
			p, err := c.Board.FindProfile(name)
			require.NoError(t, err)
			before := c.UsedUnits()
			err = c.PlaceInstance(Instance{p, int(at[0] - '0')})
			if tc.want != "" {
				require.EqualError(t, err, tc.want)
				assert.Equal(t, before, c.UsedUnits())
				return
			}
			require.NoError(t, err)
			assert.True(t, c.RemoveInstance(Instance{p, int(at[0] - '0')}))
			assert.Equal(t, before, c.UsedUnits())
			assert.False(t, c.RemoveInstance(Instance{p, int(at[0] - '0')}))
		})
	}
}

func TestPacker(t *testing.T) {
	for _, tc := range []struct {
		name, profile string
		devices       []string
		device, start int
	}{
		{"the first 1g goes where it blocks least", "1g.5gb", []string{""}, 0, 6},
		{"a cut device before a whole one", "1g.5gb", []string{"", "4g.20gb@0"}, 1, 6},
		{"a 2g stays off the place of the 4g", "2g.10gb", []string{""}, 0, 4},
		{"a 3g leaves room for a 4g", "3g.20gb", []string{""}, 0, 4},
		{"of equal devices the first", "7g.40gb", []string{"", ""}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var devices []*MIGLayout
			for _, d := range tc.devices {
				devices = append(devices, carved(t, "A100-40GB", d))
			}
			board := devices[0].Board
			p, err := board.FindProfile(tc.profile)
			require.NoError(t, err)
			k := NewPacker(board, nil)
			best, found := k.BestOption(devices, p)
			require.True(t, found)
			assert.Equal(t, tc.device, best.Device)
			assert.Equal(t, tc.start, best.Start)
			for o := range k.InstanceOptions(devices, p) {
				assert.GreaterOrEqual(t, o.ValueLoss, best.ValueLoss)
				assert.NoError(t, devices[o.Device].CheckInstance(Instance{p, o.Start}))
			}
		})
	}
}

func TestPacker_FindsNothing(t *testing.T) {
	full := carved(t, "A100-40GB", "7g.40gb@0")
	_, found := NewPacker(full.Board, nil).BestOption([]*MIGLayout{full}, &full.Board.Profiles[0])
	assert.False(t, found, "on a full device")
	other, _ := FindBoard("A30-24GB")
	_, found = NewPacker(other, nil).BestOption([]*MIGLayout{full}, &other.Profiles[0])
	assert.False(t, found, "on another board")
	media := carved(t, "A100-40GB", "1g.5gb+me@0")
	_, found = NewPacker(media.Board, nil).BestOption([]*MIGLayout{media}, &media.Board.Profiles[1])
	assert.False(t, found, "for a second instance with media engines")
}

func TestFreedom_WeighsByTheMix(t *testing.T) {
	b, _ := FindBoard("A100-40GB")
	mix := make(ProfileMix, len(b.Profiles))
	mix[len(mix)-1] = 1 // whole devices only
	assert.Equal(t, 8.0*8*8, b.RemainingValue(0, mix))
	assert.Zero(t, b.RemainingValue(1, mix))
}

func FuzzBoardProfile(f *testing.F) {
	for _, s := range []string{"1g.5gb", "nvidia.com/mig-1g.10gb.me", "MIG 7g.80gb", "1g.24gb-me", "+me", ".me.all"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, b := range AllBoards() {
			p, err := b.FindProfile(name)
			if (p == nil) == (err == nil) {
				t.Fatalf("%s, %q: %v, %v", b.Name, name, p, err)
			}
			if p == nil {
				continue
			}
			if back, err := b.FindProfile(p.Name); err != nil || back != p {
				t.Fatalf("%s, %q: %s reads back as %v, %v", b.Name, name, p.Name, back, err)
			}
		}
	})
}
