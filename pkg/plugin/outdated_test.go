// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// waitingMembers is the state of a gang none of whose members has a node.
type waitingMembers struct {
	fwk.PodGroupState
	pods map[string]*v1.Pod
}

func (w waitingMembers) UnscheduledPods() map[string]*v1.Pod { return w.pods }

func TestOutdatedGroup_HasAnotherPriorityThanItsPods(t *testing.T) {
	pod := holder("a", 8)
	pod.Spec.Priority = new(int32(100))
	members := waitingMembers{pods: map[string]*v1.Pod{"ns/a": pod}}
	empty := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "crd~one"}}
	for who, asking := range map[string]*v1.Pod{"its first member asks": pod, "it is read again": nil} {
		why := outdatedGroup(empty, nil, members, asking)
		if assert.NotNil(t, why, who) {
			assert.Equal(t, string(kube.GangNotFound), why.Reason, who)
		}
		known := empty.DeepCopy()
		known.Spec.Priority = new(int32(100))
		assert.Nil(t, outdatedGroup(known, nil, members, asking), who)
	}
	pod.DeletionTimestamp = new(metav1.Now())
	assert.Nil(t, outdatedGroup(empty, nil, members, nil), "who ends does not count")
}

// The first worker of a job whose launcher runs is not placed by a group that does
// not count the workers yet.
func TestOutdatedGroup_DoesNotCountARoleYet(t *testing.T) {
	worker := holder("a", 8)
	worker.Labels = map[string]string{"training.kubeflow.org/replica-type": "worker"}
	worker.OwnerReferences = []metav1.OwnerReference{{APIVersion: "kubeflow.org/v1", Kind: "PyTorchJob", Name: "bert", Controller: new(true)}}
	members := waitingMembers{pods: map[string]*v1.Pod{"ns/a": worker}}
	group := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "auto~pytorchjob~bert"}}
	for who, asking := range map[string]*v1.Pod{"it asks": worker, "it is read again": nil} {
		why := outdatedGroup(group, &kube.Declaration{LaterRoles: []string{"worker"}}, members, asking)
		if assert.NotNil(t, why, who) {
			assert.Equal(t, string(kube.GangIncomplete), why.Reason, who)
			assert.Contains(t, why.Message, "gang pytorchjob/bert", who)
		}
		assert.Nil(t, outdatedGroup(group, &kube.Declaration{LaterRoles: []string{"launcher"}}, members, asking), who)
		assert.Nil(t, outdatedGroup(group, &kube.Declaration{}, members, asking), who)
	}
}
