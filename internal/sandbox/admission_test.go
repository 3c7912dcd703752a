// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func wants(uid string, gpus int64) *v1.Pod {
	quantity := *resource.NewQuantity(gpus, resource.DecimalSI)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: uid, UID: types.UID(uid)},
		Spec: v1.PodSpec{NodeName: "n", Containers: []v1.Container{{
			Resources: v1.ResourceRequirements{Requests: v1.ResourceList{GPUResource: quantity}},
		}}},
	}
}

// rejected lists which of the pods a, b, c the kubelet refused.
func (a *admission) rejectedOnes() (list []string) {
	for _, uid := range []string{"a", "b", "c"} {
		if a.rejectionOf(uid) != nil {
			list = append(list, uid)
		}
	}
	return list
}

func TestAdmission(t *testing.T) {
	node := gpuNode("n", "", 8, NodeShape{})
	for _, test := range []struct {
		name     string
		play     func(a *admission)
		rejected []string
	}{
		{"two that fit", func(a *admission) {
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("a", 4))
			a.admitOnce(t.Context(), wants("b", 4))
		}, nil},
		{"the second is too much", func(a *admission) {
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("a", 8))
			a.admitOnce(t.Context(), wants("b", 1))
		}, []string{"b"}},
		{"a rejected pod holds nothing", func(a *admission) {
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("a", 9))
			a.admitOnce(t.Context(), wants("b", 8))
		}, []string{"a"}},
		{"a pod seen again counts once and keeps its verdict", func(a *admission) {
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("a", 5))
			a.admitOnce(t.Context(), wants("b", 5))
			a.admitOnce(t.Context(), wants("a", 5))
			a.releasePod(wants("a", 5))
			a.admitOnce(t.Context(), wants("b", 5))
		}, []string{"b"}},
		{"a released pod makes room", func(a *admission) {
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("a", 8))
			a.releasePod(wants("a", 8))
			a.admitOnce(t.Context(), wants("b", 8))
		}, nil},
		{"pods wait for their node in the order of binding", func(a *admission) {
			assert.False(t, a.admitOnce(t.Context(), wants("a", 5)))
			assert.False(t, a.admitOnce(t.Context(), wants("b", 5)))
			assert.False(t, a.admitOnce(t.Context(), wants("c", 3)))
			assert.Len(t, a.setNode(t.Context(), node), 3)
			assert.Empty(t, a.setNode(t.Context(), node))
		}, []string{"b"}},
		{"a pod seen twice while it waits counts once", func(a *admission) {
			a.admitOnce(t.Context(), wants("a", 5))
			a.admitOnce(t.Context(), wants("a", 5))
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("b", 3))
		}, nil},
		{"a pod that goes while it waits holds nothing", func(a *admission) {
			a.admitOnce(t.Context(), wants("a", 8))
			a.releasePod(wants("a", 8))
			assert.Empty(t, a.setNode(t.Context(), node))
			a.admitOnce(t.Context(), wants("b", 8))
		}, nil},
		{"a node that comes back still has its pods", func(a *admission) {
			a.setNode(t.Context(), node)
			a.admitOnce(t.Context(), wants("a", 8))
			a.dropNode("n")
			assert.False(t, a.admitOnce(t.Context(), wants("b", 1)))
			a.setNode(t.Context(), node)
		}, []string{"b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAdmission()
			test.play(a)
			assert.Equal(t, test.rejected, a.rejectedOnes())
		})
	}
}
