// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpuslices

import (
	"cmp"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

const (
	// farPairs bridges device i with device i+4 of eight, and cubeMesh is a DGX-1.
	farPairs = "SYS;SYS,SYS;SYS,SYS,SYS;NV12,SYS,SYS,SYS;SYS,NV12,SYS,SYS,SYS;SYS,SYS,NV12,SYS,SYS,SYS;SYS,SYS,SYS,NV12,SYS,SYS,SYS"
	cubeMesh = "NV1;NV1,NV2;NV2,NV1,NV2;NV2,SYS,SYS,SYS;SYS,NV2,SYS,SYS,NV1;SYS,SYS,NV1,SYS,NV1,NV2;SYS,SYS,SYS,NV1,NV2,NV1,NV2"
)

// allocatorClasses are the device classes of the tests.
type allocatorClasses struct{}

func (allocatorClasses) List() ([]*resourceapi.DeviceClass, error) { return nil, nil }

func (allocatorClasses) Get(name string) (*resourceapi.DeviceClass, error) {
	return &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil
}

// compiled are the expressions of the tests.
var compiled = cel.NewCache(100, cel.Features{})

// firstFit has Kubernetes' allocator choose count devices of a node, of which an
// expression is true.
func firstFit(t *testing.T, published []*resourceapi.ResourceSlice, node *v1.Node, taken sets.Set[structured.DeviceID], count int, expression string) []string {
	t.Helper()
	allocator, err := structured.NewAllocator(t.Context(), structured.Features{PartitionableDevices: true, DeviceTaints: true},
		structured.AllocatedState{AllocatedDevices: taken}, allocatorClasses{}, published, compiled)
	require.NoError(t, err)
	claim := &resourceapi.ResourceClaim{Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
		Name: "r", Exactly: &resourceapi.ExactDeviceRequest{
			DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: int64(count),
			Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: expression}}},
		},
	}}}}}
	results, err := allocator.Allocate(t.Context(), node, []*resourceapi.ResourceClaim{claim})
	require.NoError(t, err)
	var names []string
	for _, result := range results {
		for _, device := range result.Devices.Results {
			names = append(names, device.Device)
		}
	}
	return names
}

const (
	wholeGPU = "device.attributes['" + Driver + "'].type == 'gpu'"
	profile  = "device.attributes['" + Driver + "'].type == 'mig' && device.attributes['" + Driver + "'].profile == '%s'"
)

func gpuNode(name, links string) *v1.Node {
	return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{gpu.LinksAnnotation: links}}}
}

// eightGPUs publishes eight GPUs of a node, in the order of their numbers.
func eightGPUs(node string) *resourceapi.ResourceSlice {
	var devices []resourceapi.Device
	for i := range 8 {
		devices = append(devices, device(fmt.Sprintf("gpu-%d", i), "type", "gpu", "uuid", fmt.Sprintf("GPU-%d", i),
			"resource.kubernetes.io/pciBusID", fmt.Sprintf("0000:%02x:00.0", 16+i)))
	}
	return slice(node, 1, 1, devices...)
}

// TestDeviceOrder_Links measures which links pods get that come and go on nodes of
// eight GPUs: go test -v -run TestDeviceOrder_Links ./pkg/gpuslices. Of ten pods six ask
// for one GPU, and two each for two and four.
func TestDeviceOrder_Links(t *testing.T) {
	for name, matrix := range map[string]string{"pairs": farPairs, "cube mesh": cubeMesh} {
		links, err := gpu.ParseLinks(matrix)
		require.NoError(t, err)
		for _, load := range []float64{0.5, 0.7, 0.85} {
			published, ordered := measureLinks(t, links, load, false), measureLinks(t, links, load, true)
			for _, count := range []int{2, 4} {
				t.Logf("%s, load %.2f, %d GPUs: the best link for %3.0f %% as published, %3.0f %% in order; all in NVLink's reach %3.0f %% and %3.0f %%, where they could be %3.0f %% and %3.0f %%", name, load, count,
					published.best(count), ordered.best(count), published.linked(count), ordered.linked(count), published.linkable(count), ordered.linkable(count))
				assert.GreaterOrEqual(t, ordered.best(count), 95.0)
			}
			assert.Less(t, published.best(2), 75.0, "the order as published is as good")
		}
	}
}

// linkFigures are the links that pods got, by the number of their GPUs.
type linkFigures struct{ pods, got, nvlink, couldNVLink [5]int }

func (f *linkFigures) best(count int) float64   { return percent(f.got[count], f.pods[count]) }
func (f *linkFigures) linked(count int) float64 { return percent(f.nvlink[count], f.pods[count]) }
func (f *linkFigures) linkable(count int) float64 {
	return percent(f.couldNVLink[count], f.pods[count])
}

func percent(part, of int) float64 { return 100 * float64(part) / float64(of) }

// measureLinks fills nodes to a load and has pods go by chance to make room.
func measureLinks(t *testing.T, links *gpu.Links, load float64, inOrder bool) *linkFigures {
	const nodes, steps = 4, 500
	draw := rand.New(rand.NewSource(1))
	var f linkFigures
	type pod struct {
		node    int
		devices []string
	}
	var running []pod
	var order [nodes]DeviceOrder
	var taken [nodes]sets.Set[structured.DeviceID]
	for i := range taken {
		taken[i] = sets.New[structured.DeviceID]()
	}
	held := 0
	node, published := gpuNode("n", links.String()), []*resourceapi.ResourceSlice{eightGPUs("n")}
	for range steps {
		count := []int{1, 1, 1, 1, 1, 1, 2, 2, 4, 4}[draw.Intn(10)]
		for held+count > int(load*nodes*8) {
			gone := draw.Intn(len(running))
			taken[running[gone].node] = taken[running[gone].node].Difference(allocated("n", running[gone].devices...))
			held -= len(running[gone].devices)
			running = slices.Delete(running, gone, gone+1)
		}
		at := draw.Intn(nodes)
		free := gpu.AllDevices(8)
		for i := range 8 {
			if taken[at].Has(structured.MakeDeviceID(Driver, "n", fmt.Sprintf("gpu-%d", i))) {
				free &^= 1 << i
			}
		}
		could, fits := links.BestDevices(free, count)
		if !fits {
			continue
		}
		all := published
		if inOrder {
			all = order[at].OrderSlices(published, []*v1.Node{node}, taken[at], count)
		}
		chosen := firstFit(t, all, node, taken[at], count, wholeGPU)
		require.Len(t, chosen, count)
		var set gpu.DeviceSet
		for _, name := range chosen {
			set |= 1 << trailingIndex(name)
		}
		got, _ := links.BestDevices(set, count)
		f.pods[count]++
		if got.Link == could.Link && got.Direct == could.Direct {
			f.got[count]++
		}
		if got.Link.IsNVLink() {
			f.nvlink[count]++
		}
		if could.Link.IsNVLink() {
			f.couldNVLink[count]++
		}
		taken[at] = taken[at].Union(allocated("n", chosen...))
		running, held = append(running, pod{at, chosen}), held+count
	}
	return &f
}

// cutGPUs publishes two GPUs that can be cut, as NVIDIA's driver does.
func cutGPUs(node, product string) []*resourceapi.ResourceSlice {
	board, _ := gpu.FindBoard(gpu.ParseProduct(product).Board)
	counters := func(instance gpu.Instance) map[string]resourceapi.Counter {
		all := map[string]resourceapi.Counter{}
		for i := range board.Units {
			if instance.OccupiedUnits()&(1<<i) != 0 {
				all[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: resource.MustParse("1")}
			}
		}
		return all
	}
	whole := gpu.Instance{Profile: &board.Profiles[len(board.Profiles)-1]}
	shared := slice(node, 1, 3)
	shared.Name = "0"
	published := []*resourceapi.ResourceSlice{shared}
	for g := range 2 {
		set := fmt.Sprintf("gpu-%d-counter-set", g)
		shared.Spec.SharedCounters = append(shared.Spec.SharedCounters, resourceapi.CounterSet{Name: set, Counters: counters(whole)})
		devices := []resourceapi.Device{device(fmt.Sprintf("gpu-%d", g), "type", "gpu", "uuid", fmt.Sprint(g), "productName", product)}
		devices[0].ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: set, Counters: counters(whole)}}
		for p := range board.Profiles {
			for _, start := range board.Profiles[p].Starts {
				name := fmt.Sprintf("gpu-%d-mig-%s-%d", g, strings.NewReplacer(".", "", "+", "-").Replace(board.Profiles[p].Name), start)
				d := device(name, "type", "mig", "parentUUID", fmt.Sprint(g), "productName", product, "profile", board.Profiles[p].Name)
				d.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: set, Counters: counters(gpu.Instance{Profile: &board.Profiles[p], Start: start})}}
				devices = append(devices, d)
			}
		}
		slices.SortFunc(devices, func(a, b resourceapi.Device) int { return cmp.Compare(a.Name, b.Name) })
		one := slice(node, 1, 3, devices...)
		one.Name = fmt.Sprint(g + 1)
		published = append(published, one)
	}
	return published
}

func TestDeviceOrder_Instances(t *testing.T) {
	published, node := cutGPUs("n", "NVIDIA H100 80GB HBM3"), gpuNode("n", "")
	var order DeviceOrder
	taken := sets.New[structured.DeviceID]()
	for _, step := range []struct{ profile, ordered string }{
		{"1g.10gb", "gpu-0-mig-1g10gb-6"},
		{"4g.40gb", "gpu-0-mig-4g40gb-0"},
		{"3g.40gb", "gpu-1-mig-3g40gb-4"},
		{"1g.10gb", "gpu-0-mig-1g10gb-4"},
		{"1g.10gb", "gpu-0-mig-1g10gb-5"},
		{"4g.40gb", "gpu-1-mig-4g40gb-0"},
	} {
		got := firstFit(t, order.OrderSlices(published, []*v1.Node{node}, taken, 0), node, taken, 1, fmt.Sprintf(profile, step.profile))
		require.Equal(t, []string{step.ordered}, got)
		taken.Insert(structured.MakeDeviceID(Driver, "n", got[0]))
	}
	assert.Empty(t, firstFit(t, order.OrderSlices(published, []*v1.Node{node}, taken, 1), node, taken, 1, wholeGPU), "no GPU is whole")
}

func TestDeviceOrder_LeavesAsPublished(t *testing.T) {
	pairs, uniform := gpuNode("n", farPairs), gpuNode("n", "8*NV18")
	unnamed := gpuNode("n", "")
	product := gpuNode("n", "")
	product.Labels = map[string]string{gpu.ProductLabel: "NVIDIA-H100-80GB-HBM3"}
	incomplete := eightGPUs("n")
	incomplete.Spec.Pool.ResourceSliceCount = 2
	for _, test := range []struct {
		name      string
		published *resourceapi.ResourceSlice
		node      *v1.Node
		same      bool
	}{
		{"pairs are put in order", eightGPUs("n"), pairs, false},
		{"all links are the same", eightGPUs("n"), uniform, true},
		{"of the product it is known that they are", eightGPUs("n"), product, true},
		{"nothing is known of links", eightGPUs("n"), unnamed, true},
		{"the node is none that matters", eightGPUs("n"), gpuNode("other", farPairs), true},
		{"a pool that is not complete", incomplete, pairs, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var order DeviceOrder
			all := []*resourceapi.ResourceSlice{test.published, eightGPUs("m")}
			before := test.published.DeepCopy()
			got := order.OrderSlices(all, []*v1.Node{test.node}, sets.New[structured.DeviceID](), 2)
			require.Len(t, got, 2)
			assert.Equal(t, test.same, got[0] == test.published)
			assert.Same(t, all[1], got[1])
			assert.Equal(t, before, test.published, "what was published is not changed")
			assert.ElementsMatch(t, before.Spec.Devices, got[0].Spec.Devices)
		})
	}
}

func TestDeviceOrder_FollowsTheNode(t *testing.T) {
	var order DeviceOrder
	published := []*resourceapi.ResourceSlice{eightGPUs("n")}
	first := func(node *v1.Node) string {
		return order.OrderSlices(published, []*v1.Node{node}, nil, 2)[0].Spec.Devices[1].Name
	}
	assert.Equal(t, "gpu-4", first(gpuNode("n", farPairs)))
	assert.Equal(t, "gpu-1", first(gpuNode("n", "")))
	assert.Equal(t, "gpu-3", first(gpuNode("n", cubeMesh)))
	assert.Equal(t, "gpu-4", first(gpuNode("n", farPairs)))

	placed := eightGPUs("n")
	for i := range placed.Spec.Devices {
		root := fmt.Sprintf("pci0000:%d", i%4)
		placed.Spec.Devices[i].Attributes["resource.kubernetes.io/pcieRoot"] = resourceapi.DeviceAttribute{StringValue: &root}
	}
	published[0] = placed
	assert.Equal(t, "gpu-4", first(gpuNode("n", "")), "they share a PCIe root")
}
