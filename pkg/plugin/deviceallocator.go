// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/gpuslices"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// DevicesName is the name of the plugin that stands in for kube-scheduler's
// DynamicResources.
const DevicesName = "MusterDevices"

// DeviceAllocator is kube-scheduler's plugin DynamicResources on slices whose
// devices are in the order that suits the pod, see gpuslices.DeviceOrder. All that it
// decides, it decides as that plugin does.
type DeviceAllocator struct {
	*dynamicresources.DynamicResources
	order *orderedManager
}

var (
	_ fwk.PreFilterPlugin = &DeviceAllocator{}
	_ fwk.FilterPlugin    = &DeviceAllocator{}
	_ fwk.ReservePlugin   = &DeviceAllocator{}
	_ fwk.PreBindPlugin   = &DeviceAllocator{}
)

// NewDeviceAllocator builds the plugin from the arguments of DynamicResources.
func NewDeviceAllocator(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	order := &orderedManager{SharedDRAManager: handle.SharedDRAManager()}
	upstream, err := dynamicresources.New(ctx, args, orderedHandle{handle, order}, feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate))
	if err != nil {
		return nil, err
	}
	return &DeviceAllocator{upstream.(*dynamicresources.DynamicResources), order}, nil
}

// Name returns the plugin's name.
func (d *DeviceAllocator) Name() string { return DevicesName }

// PreFilter sets up the allocation for a pod. It is where the slices are read.
func (d *DeviceAllocator) PreFilter(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	defer d.order.orderFor(state, pod, nodes)()
	return d.DynamicResources.PreFilter(ctx, state, pod, nodes)
}

// orderedHandle is a handle with another manager of devices.
type orderedHandle struct {
	fwk.Handle
	manager *orderedManager
}

// SharedDRAManager returns the manager.
func (h orderedHandle) SharedDRAManager() fwk.SharedDRAManager { return h.manager }

// orderedManager is kube-scheduler's manager of devices, which lists slices in the
// order for the pod that is set up at the moment.
type orderedManager struct {
	fwk.SharedDRAManager

	setup sync.Mutex // held while a pod is set up
	// current is that pod, nil for none. Other goroutines list slices too.
	current atomic.Pointer[orderedPod]

	listing sync.Mutex // guards what follows
	order   gpuslices.DeviceOrder
	// taken is what is allocated, as the allocator of the current pod will see it.
	taken sets.Set[structured.DeviceID]
}

// orderedPod is a pod whose allocation is set up.
type orderedPod struct {
	gpus  int
	nodes []*v1.Node
}

// orderFor has slices listed in the order for a pod, until the function that it
// returns is called. A member of a gang will be on its planned node only.
func (m *orderedManager) orderFor(state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (done func()) {
	current := &orderedPod{}
	planned := ""
	if plan := planOf(state); plan != nil {
		planned = plan.nodes[pod.UID]
	}
	for _, info := range nodes {
		if node := info.Node(); node != nil && (planned == "" || node.Name == planned) {
			current.nodes = append(current.nodes, node)
		}
	}
	claims := allocations{manager: m.SharedDRAManager}
	counted := kube.PodRequests(pod)[gpu.Resource]
	current.gpus = claims.claimedGPUs(pod) + int(counted.Value())
	m.setup.Lock()
	m.current.Store(current)
	return func() {
		m.current.Store(nil)
		m.setup.Unlock()
	}
}

// setTaken remembers what is allocated.
func (m *orderedManager) setTaken(taken sets.Set[structured.DeviceID]) {
	m.listing.Lock()
	defer m.listing.Unlock()
	m.taken = taken
}

// orderSlices returns slices in the order for a pod.
func (m *orderedManager) orderSlices(all []*resourceapi.ResourceSlice, pod *orderedPod) []*resourceapi.ResourceSlice {
	m.listing.Lock()
	defer m.listing.Unlock()
	return m.order.OrderSlices(all, pod.nodes, m.taken, pod.gpus)
}

// ResourceClaims returns the tracker of claims, which is asked for what is
// allocated before the slices are listed.
func (m *orderedManager) ResourceClaims() fwk.ResourceClaimTracker {
	tracker := m.SharedDRAManager.ResourceClaims()
	if m.current.Load() != nil {
		return observedTracker{tracker, m}
	}
	return tracker
}

// ResourceSlices returns a lister of ordered slices.
func (m *orderedManager) ResourceSlices() fwk.ResourceSliceLister {
	if current := m.current.Load(); current != nil {
		return orderedLister{m.SharedDRAManager.ResourceSlices(), m, current}
	}
	return m.SharedDRAManager.ResourceSlices()
}

// observedTracker remembers what is allocated when it is asked.
type observedTracker struct {
	fwk.ResourceClaimTracker
	manager *orderedManager
}

// ListAllAllocatedDevices returns the devices that are allocated.
func (t observedTracker) ListAllAllocatedDevices() (sets.Set[structured.DeviceID], error) {
	taken, err := t.ResourceClaimTracker.ListAllAllocatedDevices()
	t.manager.setTaken(taken)
	return taken, err
}

// GatherAllocatedState returns all that is allocated.
func (t observedTracker) GatherAllocatedState() (*structured.AllocatedState, error) {
	state, err := t.ResourceClaimTracker.GatherAllocatedState()
	if state != nil {
		t.manager.setTaken(state.AllocatedDevices)
	}
	return state, err
}

// orderedLister lists slices in the order for a pod.
type orderedLister struct {
	fwk.ResourceSliceLister
	manager *orderedManager
	pod     *orderedPod
}

// ListWithDeviceTaintRules lists the slices, with the taints of rules.
func (l orderedLister) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	all, err := l.ResourceSliceLister.ListWithDeviceTaintRules()
	if err != nil {
		return nil, err
	}
	return l.manager.orderSlices(all, l.pod), nil
}
