// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// node makes a node of model 0 from its free cores and devices.
func node(cores int64, free ...int16) *NodeState {
	n := &NodeState{CPUMilli: cores * 1000, GPUs: len(free)}
	copy(n.Free[:], free)
	return n
}

func whole(cores int64, gpus int) Request {
	return Request{CPUMilli: cores * 1000, GPUs: gpus, GPUMilli: MilliPerGPU}
}

func share(cores int64, milli int) Request {
	return Request{CPUMilli: cores * 1000, GPUs: 1, GPUMilli: milli}
}

func tally(pods ...Request) *RequestHistogram {
	var t RequestHistogram
	for _, p := range pods {
		t.AddPod(p)
	}
	return &t
}

func TestTallyWorkload(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cover float64
		seen  []Request
		want  Workload
	}{
		{"the most frequent first", 1, []Request{share(1, 500), whole(8, 1), whole(8, 1)},
			Workload{{whole(8, 1), 666_666_666}, {share(1, 500), 333_333_333}}},
		{"the larger of equally frequent ones", 1, []Request{whole(4, 1), whole(8, 1)},
			Workload{{whole(8, 1), 500_000_000}, {whole(4, 1), 500_000_000}}},
		{"the rare end is cut off", 0.6, []Request{share(1, 500), whole(8, 1), whole(8, 1)},
			Workload{{whole(8, 1), 1_000_000_000}}},
		{"a pod without GPUs has no model", 1, []Request{{CPUMilli: 1, Models: 2}, {CPUMilli: 1, GPUMilli: 7}},
			Workload{{Request{CPUMilli: 1}, 1_000_000_000}}},
		{"nothing seen", 0.95, nil, Workload{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := tally(tc.seen...)
			assert.Equal(t, tc.want, seen.TypicalWorkload(tc.cover))
			assert.Equal(t, len(tc.seen), seen.PodCount())
		})
	}
}

func TestTallyWorkload_IsBounded(t *testing.T) {
	var seen RequestHistogram
	for i := range 1000 {
		seen.AddPod(share(1, i%999+1))
	}
	w := seen.TypicalWorkload(1)
	assert.Len(t, w, maxTypical)
	sum := int64(0)
	for _, typical := range w {
		sum += typical.Share
	}
	assert.InDelta(t, shareUnit, sum, maxTypical, "the shares of the rest are spread over those kept")
}

func TestFragmentation(t *testing.T) {
	onModelOne := whole(8, 1)
	onModelOne.Models = 1 << 1
	for _, tc := range []struct {
		name string
		pod  Request
		node *NodeState
		want float64
	}{
		{"all of use", whole(8, 1), node(16, 1000, 1000), 0},
		{"a hole is of no use", whole(8, 1), node(16, 1000, 300), 300},
		{"but to a pod that fits it", share(8, 300), node(16, 1000, 300), 0},
		{"no processors, no use", whole(32, 1), node(16, 1000, 1000), 2000},
		{"too few whole devices", whole(8, 4), node(16, 1000, 1000, 500, 1000), 3500},
		{"another model", onModelOne, node(16, 1000), 1000},
		{"a pod without GPUs uses none", Request{CPUMilli: 1}, node(16, 1000), 1000},
		{"a full node has nothing to waste", whole(8, 1), node(16, 0, 0), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, tally(tc.pod).TypicalWorkload(1).NodeFragmentation(tc.node))
		})
	}
	both := tally(whole(8, 1), share(1, 300)).TypicalWorkload(1)
	assert.Equal(t, 150.0, both.NodeFragmentation(node(16, 1000, 300)), "the mean over the workload")
}

func TestNodeState(t *testing.T) {
	bad := node(8, 1000)
	bad.GPUs = MaxNodeGPUs + 1
	overfull := node(8, 1001)
	for _, tc := range []struct {
		name string
		node *NodeState
		pod  Request
		fits bool
	}{
		{"whole devices", node(8, 1000, 400, 1000), whole(8, 2), true},
		{"one too many", node(8, 1000, 400, 1000), whole(8, 3), false},
		{"a share in a hole", node(8, 300, 400), share(1, 400), true},
		{"a share does not span devices", node(8, 300, 300), share(1, 400), false},
		{"no processors", node(7, 1000), whole(8, 1), false},
		{"no GPU asked for", node(8), Request{CPUMilli: 8000}, true},
		{"another model", node(8, 1000), Request{GPUs: 1, GPUMilli: MilliPerGPU, Models: 2}, false},
		{"more devices than a node can have", bad, whole(1, 1), false},
		{"more free than there is", overfull, whole(1, 1), false},
		{"half of each of two devices", node(8, 1000, 1000), Request{GPUs: 2, GPUMilli: 500}, false},
		{"a share of nothing", node(8, 1000), Request{GPUs: 1}, false},
		{"fewer than no GPUs", node(8, 1000), Request{GPUs: -1}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.fits, tc.node.HasRoomFor(&tc.pod))
		})
	}
	n := node(8, 1000, 400, 1000)
	two := whole(3, 2)
	n.AllocatePod(&two, -1)
	assert.Equal(t, node(5, 0, 400, 0), n)
	part := share(1, 150)
	n.AllocatePod(&part, 1)
	assert.Equal(t, node(4, 0, 250, 0), n)
}

func TestCountedNode(t *testing.T) {
	assert.Equal(t, *node(8, 1000, 1000, 0), CountedNode(0, 8000, 2, 3))
	assert.Equal(t, *node(8, 1000), CountedNode(0, 8000, 5, 1), "not more free than there are")
	assert.Equal(t, *node(8), CountedNode(0, 8000, -1, -1))
	assert.Equal(t, MaxNodeGPUs, CountedNode(0, 8000, 80, 80).GPUs)
}

func TestDeviceValue(t *testing.T) {
	for _, tc := range []struct {
		name string
		pods []Request
		want map[int]int64
	}{
		{"half a device each", []Request{share(1, 500)}, map[int]int64{499: 0, 500: 500_000, 999: 500_000, 1000: 1_000_000}},
		{"a 470 pairs up", []Request{share(1, 470)}, map[int]int64{470: 500_000, 530: 500_000, 469: 0}},
		{"an 810 costs its whole device", []Request{share(1, 810), share(1, 470)}, map[int]int64{190: 0, 470: 500_000, 810: 1_000_000}},
		{"a rare filler is free", []Request{share(1, 810), share(1, 810), share(1, 150)}, map[int]int64{150: 0, 190: 0, 810: 1_000_000}},
		{"a frequent filler shares the cost", []Request{share(1, 700), share(1, 300)}, map[int]int64{700: 700_000}},
		{"nobody shares", []Request{whole(1, 1)}, map[int]int64{0: 0, 999: 0, 1000: 1_000_000}},
		{"nothing known", nil, map[int]int64{999: 0, 1000: 1_000_000}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			value := deviceValues(tally(tc.pods...).TypicalWorkload(1))
			for free, want := range tc.want {
				if tc.name == "a frequent filler shares the cost" {
					// The split between the two is free; together they are one.
					assert.Equal(t, int64(valueUnit), value[700]+value[300])
					continue
				}
				assert.Equal(t, want, value[free], "worth of %d", free)
			}
			for free := 1; free <= MilliPerGPU; free++ {
				require.GreaterOrEqual(t, value[free], value[free-1], "worth of %d", free)
			}
		})
	}
}

// No combination of pods that fits in a room may be worth more than the room,
// and the prices must lie between two bounds of the best packing.
func FuzzDeviceValue(f *testing.F) {
	f.Add(uint16(810), uint16(470), uint16(320), uint8(10), uint8(7), uint8(3))
	f.Add(uint16(1), uint16(999), uint16(500), uint8(1), uint8(0), uint8(255))
	f.Fuzz(func(t *testing.T, a, b, c uint16, m, n, o uint8) {
		var seen RequestHistogram
		volume, alone := 0.0, 0.0
		sizes := []int{int(a)%999 + 1, int(b)%999 + 1, int(c)%999 + 1}
		for i, count := range []uint8{m, n, o} {
			for range int(count) + 1 {
				seen.AddPod(share(1, sizes[i]))
			}
			volume += float64(int(count)+1) * float64(sizes[i]) / MilliPerGPU
			alone += float64(int(count)+1) / float64(MilliPerGPU/sizes[i])
		}
		value := deviceValues(seen.TypicalWorkload(1))
		devices := float64(int(m)+1)*float64(value[sizes[0]]) + float64(int(n)+1)*float64(value[sizes[1]]) + float64(int(o)+1)*float64(value[sizes[2]])
		devices /= valueUnit
		const rounding = 0.01
		if devices < volume-rounding || devices > alone+rounding {
			t.Fatalf("sizes %v: priced at %.3f devices, volume %.3f, each size alone %.3f", sizes, devices, volume, alone)
		}
		for x := 0; x < MilliPerGPU; x += 37 {
			for y := 0; x+y <= MilliPerGPU; y += 53 {
				if value[x]+value[y] > value[x+y]+2 {
					t.Fatalf("sizes %v: %d and %d are worth more apart", sizes, x, y)
				}
			}
		}
	})
}

func TestScarcity(t *testing.T) {
	on := func(models ModelSet, pods int) []Request {
		r := whole(1, 1)
		r.Models = models
		all := make([]Request, pods)
		for i := range all {
			all[i] = r
		}
		return all
	}
	join := func(lists ...[]Request) (all []Request) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	for _, tc := range []struct {
		name     string
		pods     []Request
		capacity []int
		want     []int64
	}{
		{"nobody is choosy", on(0, 4), []int{5, 5}, []int64{0, 0}},
		{"all models is any model", on(3, 4), []int{5, 5}, []int64{0, 0}},
		{"half of the pods want model 0", join(on(0, 2), on(1, 2)), []int{5, 5}, []int64{1_000_000, 0}},
		{"more is wanted than there is", on(1, 4), []int{5, 5}, []int64{2_000_000, 0}},
		{"a choice evens out", join(on(3, 1), on(0, 1)), []int{4, 4, 8}, []int64{1_000_000, 1_000_000, 0}},
		{"a choice avoids what others need", join(on(1, 1), on(3, 1), on(0, 2)), []int{4, 4, 8}, []int64{1_000_000, 1_000_000, 0}},
		{"a model that no node has", on(4, 4), []int{5, 5, 0}, []int64{0, 0, 0}},
		{"an empty cluster", on(1, 4), nil, []int64{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, modelScarcity(tally(tc.pods...).TypicalWorkload(1), tc.capacity))
		})
	}
}
