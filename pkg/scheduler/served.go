// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/features"
)

// answerTimeout is how long to wait for a first answer of the API server.
const answerTimeout = time.Minute

// adaptToServer makes a scheduler of this version start against API servers
// that serve less than it reads by default, where it would wait for ever: those
// before 1.37 have no DeviceTaintRule, and any may have dynamic resource
// allocation turned off.
func adaptToServer(ctx context.Context, discover discovery.ServerResourcesInterface, factory informers.SharedInformerFactory) error {
	resources, err := servedResources(ctx, discover, resourceapi.SchemeGroupVersion.String())
	if err != nil {
		return err
	}
	logger := klog.FromContext(ctx)
	if !resources["devicetaintrules"] && utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules) {
		logger.Info("The API server serves no DeviceTaintRules; working without", "featureGate", features.DRADeviceTaintRules)
		if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{string(features.DRADeviceTaintRules): false}); err != nil {
			return fmt.Errorf("feature gate %s, for an API server without DeviceTaintRules: %w", features.DRADeviceTaintRules, err)
		}
	}
	// There is no gate for these any more.
	for resource, kind := range map[string]runtime.Object{
		"deviceclasses":  &resourceapi.DeviceClass{},
		"resourceclaims": &resourceapi.ResourceClaim{},
		"resourceslices": &resourceapi.ResourceSlice{},
	} {
		if !resources[resource] {
			logger.Info("The API server does not serve a resource; working as if there were none. Restart the scheduler once it does", "resource", resource, "groupVersion", resourceapi.SchemeGroupVersion)
			factory.InformerFor(kind, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer { return emptyInformer(kind) })
		}
	}
	return nil
}

// servedResources returns the resources of a group version that are served. It
// waits for the API server to answer.
func servedResources(ctx context.Context, discover discovery.ServerResourcesInterface, groupVersion string) (map[string]bool, error) {
	served := map[string]bool{}
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, answerTimeout, true, func(context.Context) (bool, error) {
		list, err := discover.ServerResourcesForGroupVersion(groupVersion)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			last = err
			klog.FromContext(ctx).Info("The API server does not say what it serves; asking again", "err", err)
			return false, nil
		}
		for _, resource := range list.APIResources {
			served[resource.Name] = true
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking the API server which resources of %s it serves: no answer in %s: %w", groupVersion, answerTimeout, last)
	}
	return served, nil
}

// emptyInformer returns an informer of a kind of which there is no object.
func emptyInformer(kind runtime.Object) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(emptyListWatch{&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return &metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			return watch.NewFake(), nil
		},
	}}, kind, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
}

// emptyListWatch makes the informer list before it watches.
type emptyListWatch struct {
	*cache.ListWatch
}

// IsWatchListSemanticsUnSupported says that there is no watch that begins with
// a list.
func (emptyListWatch) IsWatchListSemanticsUnSupported() bool { return true }
