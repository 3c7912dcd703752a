// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mixed is a workload of whole GPUs, two sizes of shares and large pods.
func mixed() Workload {
	var t RequestHistogram
	for range 6 {
		t.AddPod(whole(8, 1))
	}
	for range 3 {
		t.AddPod(share(8, 470))
		t.AddPod(share(3, 650))
	}
	for range 6 {
		t.AddPod(share(3, 320))
	}
	t.AddPod(whole(64, 8))
	return t.TypicalWorkload(1)
}

func onModel(n *NodeState, model int) *NodeState {
	n.Model = model
	return n
}

func TestScore_Prefers(t *testing.T) {
	for _, tc := range []struct {
		name          string
		pod           Request
		better, worse *NodeState
	}{
		{"the broken node for a small pod", whole(8, 1),
			node(64, 1000, 1000, 1000), node(96, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000)},
		{"the hole that a share fills", share(8, 470),
			node(32, 530, 1000), node(32, 680, 1000)},
		{"a fresh device to the hole that another size fits", share(8, 470),
			node(32, 1000), node(32, 680)},
		{"processors to spare", whole(28, 1),
			node(64, 1000, 1000), node(32, 1000, 1000)},
		{"the node whose GPUs are gone, for a pod without", Request{CPUMilli: 8000},
			node(16, 0, 0), node(16, 1000, 1000)},
		{"a fit to none", whole(8, 2), node(16, 1000, 1000), node(16, 1000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewScorer(mixed(), []int{100}, DefaultWeights())
			better, _ := s.ScoreNode(tc.better, &tc.pod)
			worse, _ := s.ScoreNode(tc.worse, &tc.pod)
			assert.Greater(t, better, worse)
		})
	}
}

func TestScore_KeepsScarceModelsForThoseWhoNeedThem(t *testing.T) {
	choosy := whole(8, 1)
	choosy.Models = 1 << 1
	s := NewScorer(tally(whole(8, 1), whole(8, 1), whole(8, 1), choosy).TypicalWorkload(1), []int{80, 20}, DefaultWeights())
	easy := whole(8, 1)
	plenty, _ := s.ScoreNode(onModel(node(64, 1000, 1000), 0), &easy)
	scarce, _ := s.ScoreNode(onModel(node(64, 1000, 1000), 1), &easy)
	assert.Greater(t, plenty, scarce)

	_, device := s.ScoreNode(onModel(node(64, 1000), 7), &easy)
	assert.Equal(t, -1, device, "a model that the scorer was not told of")
	_, device = s.ScoreNode(onModel(node(64, 1000), -1), &easy)
	assert.Equal(t, -1, device)
}

func TestScore_PicksTheDevice(t *testing.T) {
	s := NewScorer(mixed(), []int{100}, DefaultWeights())
	for _, tc := range []struct {
		name   string
		pod    Request
		node   *NodeState
		device int
	}{
		{"the hole of its own kind", share(3, 320), node(64, 1000, 530, 350, 1000), 2},
		{"of equal devices the first", share(3, 320), node(64, 200, 1000, 1000), 1},
		{"none for whole devices", whole(8, 1), node(64, 1000), -1},
		{"none without room", share(8, 470), node(64, 400), -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			score, device := s.ScoreNode(tc.node, &tc.pod)
			assert.Equal(t, tc.device, device)
			assert.Equal(t, tc.node.HasRoomFor(&tc.pod), score != Unfit)
		})
	}
}

func TestQuantize_RoundsDown(t *testing.T) {
	s := NewScorer(nil, nil, Weights{Quantum: 1})
	const unit = 100 * valueUnit / MilliPerGPU
	for lost, want := range map[int64]int64{0: 0, unit: -1, unit - 1: -1, 1: -1, -1: 0, -unit: 1, -unit - 1: 1, unit + 1: -2} {
		assert.Equal(t, want, s.quantizeLoss(lost), "loss %d", lost)
	}
}

// draw makes a node and a pod at random, some of them impossible.
func draw(r *rand.Rand) (*NodeState, *Request) {
	n := &NodeState{Model: r.Intn(4) - 1, CPUMilli: r.Int63n(96_000), GPUs: r.Intn(MaxNodeGPUs + 2)}
	for i := range n.Free {
		n.Free[i] = []int16{0, 190, 350, 530, 1000, 1000, int16(r.Intn(1002))}[r.Intn(7)]
	}
	pod := &Request{CPUMilli: r.Int63n(16_000), GPUs: r.Intn(3), GPUMilli: MilliPerGPU, Models: ModelSet(r.Intn(4))}
	if r.Intn(2) == 0 {
		pod.GPUMilli = r.Intn(MilliPerGPU + 1)
	}
	return n, pod
}

func TestScore_TheMemoChangesNothing(t *testing.T) {
	s := NewScorer(mixed(), []int{100, 20}, DefaultWeights())
	r := rand.New(rand.NewSource(1))
	for range 20_000 {
		n, pod := draw(r)
		kept := *n
		wantScore, wantDevice := s.computeScore(n, pod)
		for range 2 {
			score, device := s.ScoreNode(n, pod)
			require.Equal(t, wantScore, score, "%+v %+v", n, pod)
			require.Equal(t, wantDevice, device, "%+v %+v", n, pod)
		}
		require.Equal(t, kept, *n, "the node is left as it was")
	}
}

func TestScore_FromManyGoroutines(t *testing.T) {
	s := NewScorer(mixed(), []int{100, 20}, DefaultWeights())
	alone := NewScorer(mixed(), []int{100, 20}, DefaultWeights())
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			r := rand.New(rand.NewSource(2)) // all goroutines meet on the same shapes
			for range 2_000 {
				n, pod := draw(r)
				score, device := s.ScoreNode(n, pod)
				wantScore, wantDevice := alone.ScoreNode(n, pod)
				assert.Equal(t, wantScore, score)
				assert.Equal(t, wantDevice, device)
			}
		})
	}
	wait.Wait()
}

func TestScore_OfAKnownShapeTakesNoMemory(t *testing.T) {
	s := NewScorer(mixed(), []int{100}, DefaultWeights())
	n, pod := node(64, 1000, 530, 350), share(3, 320)
	s.ScoreNode(n, &pod)
	assert.Zero(t, testing.AllocsPerRun(100, func() { s.ScoreNode(n, &pod) }))
}

func FuzzScore(f *testing.F) {
	f.Add(int64(1), int64(64_000), 4, int16(350), int64(3_000), 1, 320, uint64(0))
	f.Add(int64(-1), int64(0), 99, int16(-5), int64(-1), -1, 5000, ^uint64(0))
	s := NewScorer(mixed(), []int{100, 20}, DefaultWeights())
	f.Fuzz(func(t *testing.T, model, cpu int64, gpus int, free int16, podCPU int64, podGPUs, milli int, models uint64) {
		n := &NodeState{Model: int(model), CPUMilli: cpu % (1 << 40), GPUs: gpus}
		for i := range n.Free {
			n.Free[i] = free
		}
		pod := &Request{CPUMilli: podCPU % (1 << 40), GPUs: podGPUs, GPUMilli: milli, Models: ModelSet(models)}
		score, device := s.ScoreNode(n, pod)
		if n.HasRoomFor(pod) != (score != Unfit) {
			t.Fatalf("%+v %+v: score %d", n, pod, score)
		}
		if device >= 0 && int(n.Free[device]) < pod.GPUMilli {
			t.Fatalf("%+v %+v: device %d has no room", n, pod, device)
		}
	})
}

func TestNormalize(t *testing.T) {
	for _, tc := range []struct {
		name       string
		raw        []int64
		most       int64
		normalized []int64
	}{
		{"the first of the best wins alone", []int64{-3, 7, 7, 5}, 100, []int64{90, 100, 99, 98}},
		{"distances are kept as far as they go", []int64{0, -50, -500}, 100, []int64{100, 50, 0}},
		{"no room is nothing", []int64{Unfit, -4, Unfit}, 100, []int64{0, 100, 0}},
		{"no room anywhere", []int64{Unfit, Unfit}, 100, []int64{0, 0}},
		{"no node", nil, 100, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := slices.Clone(tc.raw)
			NormalizeScores(got, tc.most)
			assert.Equal(t, tc.normalized, got)
		})
	}
}
