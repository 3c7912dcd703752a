// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	resourceapi "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/features"

	"github.com/muster-scheduler/muster/pkg/queue"
)

// deviceWatch turns what informers say of devices that drivers publish into events of
// the queue: gangs that ask for such devices wait for no pod and no node.
type deviceWatch struct{ step func(queue.Event) }

// watchDevices starts to follow the devices.
func watchDevices(gangs *gangQueue, factory informers.SharedInformerFactory) error {
	w := &deviceWatch{step: func(e queue.Event) {
		gangs.constraintChanges.Add(1)
		gangs.step(e)
	}}
	resources := factory.Resource().V1()
	if _, err := resources.ResourceClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: w.onClaimUpdate,
		DeleteFunc: w.onClaimDelete,
	}); err != nil {
		return err
	}
	all := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.step(queue.DevicesChanged{}) },
		UpdateFunc: func(before, after any) {
			if specChanged(before, after) {
				w.step(queue.DevicesChanged{})
			}
		},
		DeleteFunc: func(any) { w.step(queue.DevicesChanged{}) },
	}
	watched := []cache.SharedIndexInformer{resources.ResourceSlices().Informer(), resources.DeviceClasses().Informer()}
	if utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules) {
		watched = append(watched, resources.DeviceTaintRules().Informer())
	}
	for _, informer := range watched {
		if _, err := informer.AddEventHandler(all); err != nil {
			return err
		}
	}
	return nil
}

// onClaimUpdate follows a claim whose devices may have been given back.
func (w *deviceWatch) onClaimUpdate(before, after any) {
	old, _ := before.(*resourceapi.ResourceClaim)
	claim, _ := after.(*resourceapi.ResourceClaim)
	if old != nil && claim != nil && old.Status.Allocation != nil && claim.Status.Allocation == nil {
		w.step(queue.DevicesChanged{})
	}
}

// onClaimDelete follows a claim that is gone, with the devices that it had.
func (w *deviceWatch) onClaimDelete(obj any) {
	if claim, ok := lastState(obj).(*resourceapi.ResourceClaim); ok && claim.Status.Allocation != nil {
		w.step(queue.DevicesChanged{})
	}
}

// specChanged reports whether more than the metadata or the status of an object is
// another one.
func specChanged(before, after any) bool {
	switch old := before.(type) {
	case *resourceapi.ResourceSlice:
		return !apiequality.Semantic.DeepEqual(old.Spec, after.(*resourceapi.ResourceSlice).Spec)
	case *resourceapi.DeviceClass:
		return !apiequality.Semantic.DeepEqual(old.Spec, after.(*resourceapi.DeviceClass).Spec)
	}
	return true
}
