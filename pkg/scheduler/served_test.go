// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/features"
)

func serving(resources ...string) *fake.Clientset {
	client := fake.NewClientset()
	if len(resources) == 0 {
		return client
	}
	list := &metav1.APIResourceList{GroupVersion: resourceapi.SchemeGroupVersion.String()}
	for _, name := range resources {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
	}
	client.Resources = []*metav1.APIResourceList{list}
	return client
}

func TestAdapt(t *testing.T) {
	tests := []struct {
		name      string
		resources []string
		rules     bool
		claims    bool
	}{
		{"a server of this version is read in full", []string{"deviceclasses", "resourceclaims", "resourceslices", "devicetaintrules"}, true, true},
		{"an older one has no DeviceTaintRules", []string{"deviceclasses", "resourceclaims", "resourceslices"}, false, true},
		{"one without dynamic resource allocation has none of it", nil, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			gate := func(on bool) {
				require.NoError(t, utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{string(features.DRADeviceTaintRules): on}))
			}
			before := utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules)
			gate(true)
			t.Cleanup(func() { gate(before) })
			client := serving(test.resources...)
			factory := informers.NewSharedInformerFactory(client, 0)
			require.NoError(t, adaptToServer(t.Context(), client.Discovery(), factory))
			assert.Equal(t, test.rules, utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules))

			claims := factory.Resource().V1().ResourceClaims()
			client.ClearActions()
			factory.StartWithContext(t.Context())
			claims.Informer() // registered already, or only now
			factory.StartWithContext(t.Context())
			require.Eventually(t, claims.Informer().HasSynced, time.Minute, 5*time.Millisecond, "the scheduler would wait for ever")
			asked := false
			for _, action := range client.Actions() {
				asked = asked || action.GetResource().Resource == "resourceclaims"
			}
			assert.Equal(t, test.claims, asked)
			_, err := claims.Lister().ResourceClaims("ns").List(labels.Everything())
			assert.NoError(t, err)
		})
	}
}

func TestEmpty(t *testing.T) {
	informer := emptyInformer(&resourceapi.ResourceSlice{})
	go informer.RunWithContext(t.Context())
	require.True(t, cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced))
	assert.Empty(t, informer.GetStore().List())
}
