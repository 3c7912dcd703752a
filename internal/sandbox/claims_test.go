// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/client-go/tools/cache"
)

func TestClaimGate(t *testing.T) {
	node := gpuNode("n", "", 0, NodeShape{})
	onNode := func(name string) *v1.NodeSelector {
		return &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{name}}},
		}}}
	}
	reserved := []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: "a", UID: "a"}}
	for _, test := range []struct {
		name   string
		status *resourceapi.ResourceClaimStatus
		holds  bool
	}{
		{"no claim yet", nil, true},
		{"not allocated", &resourceapi.ResourceClaimStatus{ReservedFor: reserved}, true},
		{"reserved for none", &resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{}}, true},
		{"reserved for another pod of that name", &resourceapi.ResourceClaimStatus{
			Allocation:  &resourceapi.AllocationResult{},
			ReservedFor: []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: "a", UID: "b"}},
		}, true},
		{"on another node", &resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{NodeSelector: onNode("m")}, ReservedFor: reserved}, true},
		{"on this node", &resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{NodeSelector: onNode("n")}, ReservedFor: reserved}, false},
		{"on any node", &resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{}, ReservedFor: reserved}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			claims := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
			gate := newClaimGate(resourcelisters.NewResourceClaimLister(claims))
			pod := wants("a", 0)
			pod.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpus", ResourceClaimName: new("mine")}}
			if test.status != nil {
				require.NoError(t, claims.Add(&resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Status: *test.status}))
			}
			assert.Equal(t, test.holds, gate.holdPod(pod, node))
			assert.Empty(t, gate.readyPods(""), "nothing has changed")

			require.NoError(t, claims.Add(&resourceapi.ResourceClaim{
				ObjectMeta: metav1.ObjectMeta{Name: "mine"},
				Status:     resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{}, ReservedFor: reserved},
			}))
			assert.Empty(t, gate.readyPods("elsewhere"))
			if test.holds {
				assert.Equal(t, []*v1.Pod{pod}, gate.readyPods(""))
			}
			assert.Empty(t, gate.readyPods(""), "once")
		})
	}
}
