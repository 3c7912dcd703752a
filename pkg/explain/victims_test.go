// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestExplain_SaysThatRoomIsBeingMade(t *testing.T) {
	w := &world{}
	w.node("n1", "b", "r")
	w.node("n2", "b", "r")
	old := w.gang("old", 2, "8", nil, "n1", "n2")
	high := int32(10)
	train := w.gang("train", 2, "8", nil)
	for _, p := range train {
		p.Spec.Priority = &high
	}
	assert.Equal(t, kube.NoFittingDomain, w.explain(t, "train").Reason)

	for i, p := range old {
		p.DeletionTimestamp = &metav1.Time{Time: now.Add(time.Minute)}
		train[i].Status.NominatedNodeName = p.Spec.NodeName
	}
	e := w.explain(t, "train")
	assert.Equal(t, kube.RoomBeingMade, e.Reason)
	assert.Contains(t, e.Message, "room is being made for gang train: waiting for 2 pods of gang old to end on nodes n1, n2")
	assert.Equal(t, "the pods that it preempted to end", e.WaitsFor)

	train[1].Status.NominatedNodeName = "n1"
	message := w.explain(t, "train").Message
	assert.Contains(t, message, "waiting for 1 pod of gang old to end on node n1; ")
	assert.Contains(t, message, "; with them end 1 pod of gang old on node n2")
	train[1].Status.NominatedNodeName = "n2"

	for _, p := range old {
		p.DeletionTimestamp = &metav1.Time{Time: now.Add(-time.Minute)}
	}
	assert.Equal(t, kube.NoFittingDomain, w.explain(t, "train").Reason, "their node does not end them")
	for _, p := range old {
		p.DeletionTimestamp, p.Spec.Priority = &metav1.Time{Time: now.Add(time.Minute)}, &high
	}
	assert.Equal(t, kube.NoFittingDomain, w.explain(t, "train").Reason, "it could not preempt them")
}
