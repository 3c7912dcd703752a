// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Objects is a Source of objects that are at hand, as in a snapshot. They must not change
// once it was asked.
type Objects struct {
	ResourceSlices   []*resourceapi.ResourceSlice
	DeviceClasses    []*resourceapi.DeviceClass
	Claims           []*resourceapi.ResourceClaim
	Templates        []*resourceapi.ResourceClaimTemplate
	DeviceTaintRules []*resourceapi.DeviceTaintRule

	patched   []*resourceapi.ResourceSlice
	byName    map[string]*resourceapi.ResourceClaim
	allocated *structured.AllocatedState
}

// Slices returns the slices with the taints of the rules, the same each time.
func (o *Objects) Slices() ([]*resourceapi.ResourceSlice, error) {
	if o.patched == nil {
		for _, s := range o.ResourceSlices {
			o.patched = append(o.patched, taint(s, o.DeviceTaintRules))
		}
	}
	return o.patched, nil
}

// taint returns a slice with the taints of the rules that select its devices.
func taint(s *resourceapi.ResourceSlice, rules []*resourceapi.DeviceTaintRule) *resourceapi.ResourceSlice {
	patched := s
	for _, rule := range rules {
		selector := rule.Spec.DeviceSelector
		if selector == nil || selector.Driver != nil && *selector.Driver != s.Spec.Driver || selector.Pool != nil && *selector.Pool != s.Spec.Pool.Name {
			continue
		}
		for i := range s.Spec.Devices {
			if selector.Device != nil && *selector.Device != s.Spec.Devices[i].Name {
				continue
			}
			if patched == s {
				patched = s.DeepCopy()
			}
			patched.Spec.Devices[i].Taints = append(patched.Spec.Devices[i].Taints, rule.Spec.Taint)
		}
	}
	return patched
}

// Allocated returns what the claims have, the same each time.
func (o *Objects) Allocated() (*structured.AllocatedState, error) {
	if o.allocated == nil {
		o.allocated = o.readAllocated()
	}
	return o.allocated, nil
}

// readAllocated does the work of Allocated.
func (o *Objects) readAllocated() *structured.AllocatedState {
	out := &structured.AllocatedState{
		AllocatedDevices: sets.Set[structured.DeviceID]{}, AllocatedSharedDeviceIDs: sets.Set[structured.SharedDeviceID]{},
		AggregatedCapacity: structured.NewConsumedCapacityCollection(),
	}
	for _, claim := range o.Claims {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, r := range claim.Status.Allocation.Devices.Results {
			id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
			switch {
			case r.AdminAccess != nil && *r.AdminAccess: // takes nothing
			case r.ShareID == nil:
				out.AllocatedDevices.Insert(id)
			default:
				out.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, r.ShareID))
				if r.ConsumedCapacity != nil {
					out.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
				}
			}
		}
	}
	return out
}

// Claim returns a claim.
func (o *Objects) Claim(namespace, name string) *resourceapi.ResourceClaim {
	if o.byName == nil {
		o.byName = make(map[string]*resourceapi.ResourceClaim, len(o.Claims))
		for _, claim := range o.Claims {
			o.byName[claim.Namespace+"/"+claim.Name] = claim
		}
	}
	return o.byName[namespace+"/"+name]
}

// Template returns a template.
func (o *Objects) Template(namespace, name string) *resourceapi.ResourceClaimTemplate {
	for _, t := range o.Templates {
		if t.Namespace == namespace && t.Name == name {
			return t
		}
	}
	return nil
}

// Classes returns the classes, by name.
func (o *Objects) Classes() ([]*resourceapi.DeviceClass, error) {
	return sortClasses(o.DeviceClasses), nil
}

// ClassOf returns the class behind an extended resource: of several that name it the
// newest, as the scheduler has it, and of those the first by name.
func (o *Objects) ClassOf(name v1.ResourceName) *resourceapi.DeviceClass {
	var found *resourceapi.DeviceClass
	implicit, isImplicit := strings.CutPrefix(string(name), resourceapi.ResourceDeviceClassPrefix)
	for _, class := range sortClasses(o.DeviceClasses) {
		if isImplicit && class.Name == implicit {
			return class
		}
		if named := class.Spec.ExtendedResourceName; named != nil && *named == string(name) &&
			(found == nil || class.CreationTimestamp.After(found.CreationTimestamp.Time)) {
			found = class
		}
	}
	return found
}
