// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"fmt"
	"runtime"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
)

// Source is where an Inventory reads. Objects are never modified: one that changes is
// replaced.
type Source interface {
	// Slices returns all ResourceSlices, with the taints of DeviceTaintRules.
	Slices() ([]*resourceapi.ResourceSlice, error)
	// Allocated returns what is allocated, or about to be.
	Allocated() (*structured.AllocatedState, error)
	// Claim returns a claim, and Template the specification of claims that are still to
	// be made; nil where there is none.
	Claim(namespace, name string) *resourceapi.ResourceClaim
	Template(namespace, name string) *resourceapi.ResourceClaimTemplate
	// Classes returns all device classes, by name.
	Classes() ([]*resourceapi.DeviceClass, error)
	// ClassOf returns the class that an extended resource is mapped to, or nil.
	ClassOf(name v1.ResourceName) *resourceapi.DeviceClass
}

// managerSource reads what the scheduler's own plugin allocates with.
type managerSource struct{ manager fwk.SharedDRAManager }

// FromManager returns a Source that sees what the scheduler's own plugin sees,
// allocations that are in flight included. It has no templates: the scheduler waits for
// the claims.
func FromManager(manager fwk.SharedDRAManager) Source { return managerSource{manager} }

// Slices returns the slices that the scheduler's cache knows.
func (s managerSource) Slices() ([]*resourceapi.ResourceSlice, error) {
	return s.manager.ResourceSlices().ListWithDeviceTaintRules()
}

// maxGatherTries bounds how often a state is read again that changed meanwhile.
const maxGatherTries = 100

// Allocated returns what is allocated. Claims may change while it is read; it is then
// read again.
func (s managerSource) Allocated() (*structured.AllocatedState, error) {
	var err error
	for range maxGatherTries {
		var state *structured.AllocatedState
		if state, err = s.manager.ResourceClaims().GatherAllocatedState(); err == nil {
			return state, nil
		}
		runtime.Gosched()
	}
	return nil, fmt.Errorf("reading which devices are allocated: %w", err)
}

// Claim returns a claim.
func (s managerSource) Claim(namespace, name string) *resourceapi.ResourceClaim {
	claim, err := s.manager.ResourceClaims().Get(namespace, name)
	if err != nil {
		return nil
	}
	return claim
}

// Template returns nil.
func (s managerSource) Template(string, string) *resourceapi.ResourceClaimTemplate { return nil }

// Classes returns the classes that the scheduler's cache knows, by name.
func (s managerSource) Classes() ([]*resourceapi.DeviceClass, error) {
	classes, err := s.manager.DeviceClasses().List()
	return sortClasses(classes), err
}

// ClassOf asks the scheduler's own mapping.
func (s managerSource) ClassOf(name v1.ResourceName) *resourceapi.DeviceClass {
	return s.manager.DeviceClassResolver().GetDeviceClass(name)
}

func sortClasses(classes []*resourceapi.DeviceClass) []*resourceapi.DeviceClass {
	return slices.SortedFunc(slices.Values(classes), func(a, b *resourceapi.DeviceClass) int { return compareText(a.Name, b.Name) })
}
