// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourceinformers "k8s.io/client-go/informers/resource/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/dra"
)

// devicesAPI is the version of the devices that are read.
var devicesAPI = resourceapi.SchemeGroupVersion.String()

// DeviceSource returns what can be asked about devices, nil where the snapshot knows
// nothing of them.
func (s *Snapshot) DeviceSource() dra.Source {
	if s.Devices == nil {
		return nil
	}
	return s.Devices
}

// AddDeviceObject adds an object of the API of devices, and reports whether it is of a
// kind that counts.
func AddDeviceObject(o *dra.Objects, kind metav1.TypeMeta, object []byte) (bool, error) {
	if kind.APIVersion != devicesAPI {
		return false, nil
	}
	switch kind.Kind {
	case "ResourceSlice":
		return true, addDecoded(&o.ResourceSlices, object, stripSlice)
	case "DeviceClass":
		return true, addDecoded(&o.DeviceClasses, object, stripClass)
	case "ResourceClaim":
		return true, addDecoded(&o.Claims, object, stripClaim)
	case "ResourceClaimTemplate":
		return true, addDecoded(&o.Templates, object, stripTemplate)
	case "DeviceTaintRule":
		return true, addDecoded(&o.DeviceTaintRules, object, stripTaintRule)
	}
	return false, nil
}

// addDecoded adds an object without what may be secret.
func addDecoded[T any](list *[]*T, object []byte, strip func(*T) *T) error {
	into := new(T)
	if err := json.Unmarshal(object, into); err != nil {
		return err
	}
	*list = append(*list, strip(into))
	return nil
}

// readDevices reads the devices of a cluster, as far as it serves them and the user may
// read them: without them, claims are left to the scheduler.
func (s *Snapshot) readDevices(ctx context.Context, c Clients) error {
	resources, o := c.Typed.ResourceV1(), &dra.Objects{}
	all := metav1.ListOptions{}
	slices, err := resources.ResourceSlices().List(ctx, all)
	if err == nil {
		o.ResourceSlices = stripItems(slices.Items, stripSlice)
		var classes *resourceapi.DeviceClassList
		if classes, err = resources.DeviceClasses().List(ctx, all); err == nil {
			o.DeviceClasses = stripItems(classes.Items, stripClass)
		}
	}
	if err == nil {
		var claims *resourceapi.ResourceClaimList
		if claims, err = resources.ResourceClaims(metav1.NamespaceAll).List(ctx, all); err == nil {
			o.Claims = stripItems(claims.Items, stripClaim)
		}
	}
	if err == nil {
		var templates *resourceapi.ResourceClaimTemplateList
		if templates, err = resources.ResourceClaimTemplates(metav1.NamespaceAll).List(ctx, all); err == nil {
			o.Templates = stripItems(templates.Items, stripTemplate)
		}
	}
	if unread := apierrors.IsNotFound(err) || apierrors.IsForbidden(err); unread {
		return nil
	}
	if err != nil {
		return describeListError("devices", err)
	}
	rules, err := resources.DeviceTaintRules().List(ctx, all)
	switch {
	case err == nil:
		o.DeviceTaintRules = stripItems(rules.Items, stripTaintRule)
	case !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err):
		return describeListError("devicetaintrules", err)
	}
	s.Devices = o
	return nil
}

func stripItems[T any](items []T, strip func(*T) *T) []*T {
	var kept []*T
	for i := range items {
		kept = append(kept, strip(&items[i]))
	}
	return kept
}

func deviceType(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: devicesAPI, Kind: kind}
}

// stripSlice keeps what drivers publish.
func stripSlice(s *resourceapi.ResourceSlice) *resourceapi.ResourceSlice {
	return &resourceapi.ResourceSlice{TypeMeta: deviceType("ResourceSlice"), ObjectMeta: stripMeta(&s.ObjectMeta), Spec: s.Spec}
}

// stripClass leaves out the configuration, which is the driver's.
func stripClass(c *resourceapi.DeviceClass) *resourceapi.DeviceClass {
	kept := &resourceapi.DeviceClass{TypeMeta: deviceType("DeviceClass"), ObjectMeta: stripMeta(&c.ObjectMeta), Spec: c.Spec}
	kept.Spec.Config = nil
	return kept
}

// stripClaim leaves out configurations, and what drivers write of the devices.
func stripClaim(c *resourceapi.ResourceClaim) *resourceapi.ResourceClaim {
	kept := &resourceapi.ResourceClaim{TypeMeta: deviceType("ResourceClaim"), ObjectMeta: stripMeta(&c.ObjectMeta), Spec: c.Spec}
	kept.Spec.Devices.Config = nil
	kept.Status.ReservedFor = c.Status.ReservedFor
	if c.Status.Allocation != nil {
		kept.Status.Allocation = c.Status.Allocation.DeepCopy()
		kept.Status.Allocation.Devices.Config = nil
	}
	return kept
}

// stripTemplate leaves out configurations.
func stripTemplate(t *resourceapi.ResourceClaimTemplate) *resourceapi.ResourceClaimTemplate {
	kept := &resourceapi.ResourceClaimTemplate{TypeMeta: deviceType("ResourceClaimTemplate"), ObjectMeta: stripMeta(&t.ObjectMeta)}
	kept.Spec.Spec = t.Spec.Spec
	kept.Spec.Spec.Devices.Config = nil
	return kept
}

func stripTaintRule(r *resourceapi.DeviceTaintRule) *resourceapi.DeviceTaintRule {
	return &resourceapi.DeviceTaintRule{TypeMeta: deviceType("DeviceTaintRule"), ObjectMeta: stripMeta(&r.ObjectMeta), Spec: r.Spec}
}

// sortDevices puts the objects in order.
func sortDevices(o *dra.Objects) {
	if o == nil {
		return
	}
	slices.SortFunc(o.ResourceSlices, compareNames)
	slices.SortFunc(o.DeviceClasses, compareNames)
	slices.SortFunc(o.Claims, compareNames)
	slices.SortFunc(o.Templates, compareNames)
	slices.SortFunc(o.DeviceTaintRules, compareNames)
}

// devicesFile holds the devices; there is none where nothing is known of them.
const devicesFile = "devices.json"

// writeDevices writes the devices.
func (s *Snapshot) writeDevices(dir string) error {
	path := filepath.Join(dir, devicesFile)
	if s.Devices == nil {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	o := s.Devices
	items := slices.Concat(
		stripAll(o.DeviceClasses, stripClass), stripAll(o.ResourceSlices, stripSlice), stripAll(o.DeviceTaintRules, stripTaintRule),
		stripAll(o.Templates, stripTemplate), stripAll(o.Claims, stripClaim),
	)
	text, err := marshalList(items)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// newDeviceInformers returns informers of the kinds of devices. Taint rules are not
// followed: older API servers do not serve them.
func (c Clients) newDeviceInformers() []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{
		resourceinformers.NewResourceSliceInformer(c.Typed, 0, cache.Indexers{}),
		resourceinformers.NewDeviceClassInformer(c.Typed, 0, cache.Indexers{}),
		resourceinformers.NewResourceClaimInformer(c.Typed, metav1.NamespaceAll, 0, cache.Indexers{}),
		resourceinformers.NewResourceClaimTemplateInformer(c.Typed, metav1.NamespaceAll, 0, cache.Indexers{}),
	}
}

// stripDevice is the part of the informers' transform for devices. It keeps the
// resource version, which the informer needs.
func stripDevice(obj any) any {
	var kept metav1.Object
	switch o := obj.(type) {
	case *resourceapi.ResourceSlice:
		kept = stripSlice(o)
	case *resourceapi.DeviceClass:
		kept = stripClass(o)
	case *resourceapi.ResourceClaim:
		kept = stripClaim(o)
	case *resourceapi.ResourceClaimTemplate:
		kept = stripTemplate(o)
	default:
		return obj
	}
	kept.SetResourceVersion(obj.(metav1.Object).GetResourceVersion())
	return kept
}

// knownDevices returns the devices as they are known now, nil where they are not
// followed.
func (l *LiveCluster) knownDevices() *dra.Objects {
	if len(l.devices) == 0 {
		return nil
	}
	o := &dra.Objects{}
	for _, informer := range l.devices {
		for _, obj := range informer.GetStore().List() {
			switch one := obj.(type) {
			case *resourceapi.ResourceSlice:
				o.ResourceSlices = append(o.ResourceSlices, one)
			case *resourceapi.DeviceClass:
				o.DeviceClasses = append(o.DeviceClasses, one)
			case *resourceapi.ResourceClaim:
				o.Claims = append(o.Claims, one)
			case *resourceapi.ResourceClaimTemplate:
				o.Templates = append(o.Templates, one)
			}
		}
	}
	return o
}
