// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/topology"
)

const driver = "gpu.example.com"

// features are those that are on by default.
var features = structured.Features{
	AdminAccess: true, PrioritizedList: true, PartitionableDevices: true, DeviceTaints: true, ConsumableCapacity: true,
}

// world is nodes, classes and claims, with the allocator of the whole cluster beside
// the inventory.
type world struct {
	Objects
	inventory *Inventory
	nodes     []*Node
	taken     int
}

func newWorld(nodes int, publish func(node string) *resourceapi.ResourceSlice) *world {
	w := &world{}
	w.DeviceClasses = []*resourceapi.DeviceClass{
		class("any", ""), class("gpu", "device.attributes['gpu.example.com'].type == 'gpu'"), class("mig", "device.attributes['gpu.example.com'].type == 'mig'"),
	}
	for i := range nodes {
		w.ResourceSlices = append(w.ResourceSlices, publish(fmt.Sprintf("n%d", i)))
	}
	w.inventory = NewInventory(&w.Objects, features)
	for i := range nodes {
		w.nodes = append(w.nodes, w.inventory.Node(fmt.Sprintf("n%d", i)))
	}
	return w
}

func class(name, expression string) *resourceapi.DeviceClass {
	c := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if expression != "" {
		c.Spec.Selectors = selecting(expression)
	}
	return c
}

func selecting(expression string) []resourceapi.DeviceSelector {
	return []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: expression}}}
}

func text(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }

func slice(node string, devices ...resourceapi.Device) *resourceapi.ResourceSlice {
	return &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node + "-gpus"},
		Spec: resourceapi.ResourceSliceSpec{
			Driver: driver, NodeName: &node, Devices: devices,
			Pool: resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
		},
	}
}

// gpus publishes so many GPUs, half of them in each NUMA node.
func gpus(count int) func(string) *resourceapi.ResourceSlice {
	return func(node string) *resourceapi.ResourceSlice {
		var devices []resourceapi.Device
		for i := range count {
			devices = append(devices, resourceapi.Device{
				Name: fmt.Sprintf("gpu-%d", i),
				Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
					"type": text("gpu"), "uuid": text(fmt.Sprintf("GPU-%s-%d", node, i)), driver + "/numa": text(fmt.Sprint(2 * i / count)),
				},
				Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse(fmt.Sprintf("%dGi", 40+40*(i%2)))}},
			})
		}
		return slice(node, devices...)
	}
}

// shared publishes two GPUs of 40Gi that claims may share by their memory.
func shared(node string) *resourceapi.ResourceSlice {
	s := gpus(2)(node)
	yes := true
	for i := range s.Spec.Devices {
		s.Spec.Devices[i].AllowMultipleAllocations = &yes
		s.Spec.Devices[i].Capacity = map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse("40Gi")}}
	}
	return s
}

// partitions publishes two GPUs of 4 units of memory, whole, in two halves and in four
// quarters, of which the counters hold one GPU's worth.
func partitions(node string) []*resourceapi.ResourceSlice {
	sets, devices := slice(node), slice(node)
	sets.Name, sets.Spec.Pool.ResourceSliceCount, devices.Spec.Pool.ResourceSliceCount = node+"-counters", 2, 2
	for g := range 2 {
		name := fmt.Sprintf("gpu-%d", g)
		counters := map[string]resourceapi.Counter{}
		for unit := range 4 {
			counters[fmt.Sprintf("unit-%d", unit)] = resourceapi.Counter{Value: resource.MustParse("1")}
		}
		sets.Spec.SharedCounters = append(sets.Spec.SharedCounters, resourceapi.CounterSet{Name: name, Counters: counters})
		for size := 1; size <= 4; size *= 2 {
			for from := 0; from < 4; from += size {
				used, kind := map[string]resourceapi.Counter{}, "mig"
				if size == 4 {
					kind = "gpu"
				}
				for unit := from; unit < from+size; unit++ {
					used[fmt.Sprintf("unit-%d", unit)] = resourceapi.Counter{Value: resource.MustParse("1")}
				}
				devices.Spec.Devices = append(devices.Spec.Devices, resourceapi.Device{
					Name:             fmt.Sprintf("%s-%d-%d", name, size, from),
					Attributes:       map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{"type": text(kind), "profile": text(fmt.Sprintf("%dg", size)), "uuid": text(node)},
					ConsumesCounters: []resourceapi.DeviceCounterConsumption{{CounterSet: name, Counters: used}},
				})
			}
		}
	}
	return []*resourceapi.ResourceSlice{sets, devices}
}

// request asks for devices of a class.
func request(name, class string, count int64, expression string) resourceapi.DeviceRequest {
	r := &resourceapi.ExactDeviceRequest{DeviceClassName: class, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count}
	if expression != "" {
		r.Selectors = selecting(expression)
	}
	return resourceapi.DeviceRequest{Name: name, Exactly: r}
}

func claim(requests ...resourceapi.DeviceRequest) resourceapi.ResourceClaimSpec {
	return resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: requests}}
}

func sameNUMA(attribute string, spec resourceapi.ResourceClaimSpec) resourceapi.ResourceClaimSpec {
	name := resourceapi.FullyQualifiedName(attribute)
	spec.Devices.Constraints = append(spec.Devices.Constraints, resourceapi.DeviceConstraint{MatchAttribute: &name})
	return spec
}

// claimsFor is what a member claims of which each asks for spec.
func (w *world) claimsFor(t *testing.T, members int, spec resourceapi.ResourceClaimSpec) *Claims {
	t.Helper()
	require.NoError(t, w.inventory.Update())
	p := &PodClaims{}
	p.add(spec, w.inventory.specText(&spec))
	return w.inventory.ClaimsOf(p, members)
}

// allocate asks the allocator of the whole cluster, as the scheduler would, for one
// more claim on a node, and keeps it. It reports whether there was room.
func (w *world) allocate(t *testing.T, node string, spec resourceapi.ResourceClaimSpec) bool {
	t.Helper()
	allocated, err := w.Allocated()
	require.NoError(t, err)
	all, err := w.Slices()
	require.NoError(t, err)
	classes := classList{}
	for _, c := range w.DeviceClasses {
		classes[c.Name] = c
	}
	allocator, err := structured.NewAllocator(context.Background(), features, *allocated, classes, all, cel.NewCache(10, cel.Features{EnableConsumableCapacity: true}))
	require.NoError(t, err)
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("taken-%d", w.taken), UID: types.UID(fmt.Sprint(w.taken))}, Spec: spec}
	results, err := allocator.Allocate(context.Background(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, []*resourceapi.ResourceClaim{c})
	require.NoError(t, err)
	if results == nil {
		return false
	}
	c.Status.Allocation = &results[0]
	w.taken++
	w.Claims, w.allocated = append(w.Claims, c), nil
	return true
}

// takeAtRandom takes some devices of each node.
func (w *world) takeAtRandom(t *testing.T, rng *rand.Rand, specs []resourceapi.ResourceClaimSpec) {
	for _, n := range w.nodes {
		for range rng.IntN(4) {
			w.allocate(t, n.name, specs[rng.IntN(len(specs))])
		}
	}
}

var someRequests = []resourceapi.ResourceClaimSpec{
	claim(request("one", "any", 1, "")),
	claim(request("two", "gpu", 2, "")),
	claim(request("big", "gpu", 1, "device.capacity['gpu.example.com'].memory.compareTo(quantity('80Gi')) >= 0")),
	claim(request("a", "gpu", 1, ""), request("b", "any", 1, "device.attributes['gpu.example.com'].numa == '1'")),
	sameNUMA("gpu.example.com/numa", claim(request("two", "gpu", 2, ""))),
	sameNUMA("gpu.example.com/numa", claim(request("three", "gpu", 3, ""))),
	{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{Name: "first", FirstAvailable: []resourceapi.DeviceSubRequest{
		{Name: "four", DeviceClassName: "gpu", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 4},
		{Name: "one", DeviceClassName: "any", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1},
	}}}}},
	claim(resourceapi.DeviceRequest{Name: "all", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "gpu", AllocationMode: resourceapi.DeviceAllocationModeAll}}),
}

var partRequests = []resourceapi.ResourceClaimSpec{
	claim(request("whole", "gpu", 1, "")),
	claim(request("half", "mig", 1, "device.attributes['gpu.example.com'].profile == '2g'")),
	claim(request("quarter", "mig", 1, "device.attributes['gpu.example.com'].profile == '1g'")),
	claim(request("quarters", "mig", 3, "device.attributes['gpu.example.com'].profile == '1g'")),
	claim(request("quarter", "mig", 1, "device.attributes['gpu.example.com'].profile == '1g'"), request("whole", "gpu", 1, "")),
	claim(request("any", "any", 1, "")),
}

// memoryOf asks for so much memory of a shared GPU.
func memoryOf(quantity string) resourceapi.ResourceClaimSpec {
	r := request("part", "any", 1, "")
	r.Exactly.Capacity = &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{"memory": resource.MustParse(quantity)}}
	return claim(r)
}

// TestCount_IsWhatTheAllocatorFinds compares, for random states of nodes, the number of
// members that fit on each with how many claims the scheduler's allocator, which sees
// the whole cluster, then finds devices for.
func TestCount_IsWhatTheAllocatorFinds(t *testing.T) {
	for name, kind := range map[string]struct {
		publish func(string) []*resourceapi.ResourceSlice
		specs   []resourceapi.ResourceClaimSpec
	}{
		"whole GPUs":  {func(n string) []*resourceapi.ResourceSlice { return []*resourceapi.ResourceSlice{gpus(8)(n)} }, someRequests},
		"partitions":  {partitions, partRequests},
		"shared GPUs": {func(n string) []*resourceapi.ResourceSlice { return []*resourceapi.ResourceSlice{shared(n)} }, []resourceapi.ResourceClaimSpec{memoryOf("10Gi"), memoryOf("15Gi"), memoryOf("30Gi")}},
	} {
		t.Run(name, func(t *testing.T) {
			counted := 0
			for seed := range uint64(12) {
				rng := rand.New(rand.NewPCG(seed, 7))
				w := newWorld(0, nil)
				for i := range 4 {
					node := fmt.Sprintf("n%d", i)
					w.ResourceSlices = append(w.ResourceSlices, kind.publish(node)...)
					w.nodes = append(w.nodes, w.inventory.Node(node))
				}
				w.takeAtRandom(t, rng, kind.specs)
				spec := kind.specs[rng.IntN(len(kind.specs))]
				c := w.claimsFor(t, 16, spec)
				view := w.inventory.ViewFor(w.nodes, []*Claims{c})
				view.Count(c, nil)
				require.True(t, view.IsComplete())
				for n := range w.nodes {
					members, _ := view.Fit(view.StateOf(topology.NodeID(n)), c)
					found := 0
					for found < 16 && w.allocate(t, w.nodes[n].name, spec) {
						found++
					}
					assert.Equal(t, found, members, "seed %d node %d: %+v", seed, n, spec.Devices)
					counted += members
				}
			}
			assert.NotZero(t, counted)
		})
	}
}

// TestTake_LeadsToTheStateThatTheAllocatorLeaves lets members of two roles take devices
// in any order, and the scheduler's allocator beside them.
func TestTake_LeadsToTheStateThatTheAllocatorLeaves(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 11))
		w := newWorld(0, nil)
		w.ResourceSlices = partitions("n0")
		w.nodes = []*Node{w.inventory.Node("n0")}
		a, b := partRequests[rng.IntN(len(partRequests))], partRequests[rng.IntN(len(partRequests))]
		claims := []*Claims{w.claimsFor(t, 8, a), w.claimsFor(t, 8, b)}
		view := w.inventory.ViewFor(w.nodes, claims)
		state := view.StateOf(0)
		for range 10 {
			i := rng.IntN(2)
			after, ok := view.Take(state, claims[i], 1)
			require.Equal(t, w.allocate(t, "n0", []resourceapi.ResourceClaimSpec{a, b}[i]), ok, "seed %d", seed)
			state = after
		}
		require.NoError(t, w.inventory.Update())
		assert.Equal(t, w.inventory.ViewFor(w.nodes, claims).StateOf(0), state, "what was taken for real is the same state")
	}
}

// TestState_IsSharedByNodesThatCountAlike says what makes two nodes one state.
func TestState_IsSharedByNodesThatCountAlike(t *testing.T) {
	for _, tc := range []struct {
		name, expression string
		same             bool
	}{
		{"what no expression names does not matter", "device.attributes['gpu.example.com'].numa == '0'", true},
		{"what one names does", "device.attributes['gpu.example.com'].uuid == 'GPU-n0-0'", false},
		{"by index as well", `device.attributes["gpu.example.com"]["uuid"] == 'GPU-n0-0'`, false},
		{"all do where an expression goes over them", "device.attributes['gpu.example.com'].exists(name, name == 'uuid')", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(2, gpus(8))
			c := w.claimsFor(t, 8, claim(request("r", "gpu", 1, tc.expression)))
			view := w.inventory.ViewFor(w.nodes, []*Claims{c})
			assert.Equal(t, tc.same, view.StateOf(0) == view.StateOf(1))
		})
	}
}
