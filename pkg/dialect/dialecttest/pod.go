// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dialecttest builds pods and group objects for tests.
package dialecttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// Epoch is when pods are created.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// labels are the keys that Pod writes as labels and not as annotations.
var labels = []string{
	kube.LabelGang, kube.LabelPodGroup, kube.LabelPodGroupOld,
	"kueue.x-k8s.io/pod-group-name", "kueue.x-k8s.io/podset", "kai.scheduler/subgroup-name", "volcano.sh/task-spec",
	"grove.io/podgang", "grove.io/podclique",
	"pod-group.scheduling.sigs.k8s.io/name", "pod-group.scheduling.sigs.k8s.io/min-available",
}

// Pod builds a pod of the namespace ns from key=value words: a label or an
// annotation by its key, and group, node, phase, priority, scheduler,
// preemption, owner and after.
func Pod(name string, words ...string) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "ns", UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(Epoch),
			Labels: map[string]string{}, Annotations: map[string]string{},
		},
		Spec:   v1.PodSpec{SchedulerName: "muster"},
		Status: v1.PodStatus{Phase: v1.PodPending},
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		setField(p, key, value)
	}
	return p
}

func setField(p *v1.Pod, key, value string) {
	switch key {
	case "group":
		p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &value}
	case "node":
		p.Spec.NodeName = value
	case "phase":
		p.Status.Phase = v1.PodPhase(value)
	case "priority":
		var n int32
		_, _ = fmt.Sscan(value, &n)
		p.Spec.Priority = &n
	case "scheduler":
		p.Spec.SchedulerName = value
	case "preemption":
		p.Spec.PreemptionPolicy = new(v1.PreemptionPolicy(value))
	case "owner":
		p.OwnerReferences = []metav1.OwnerReference{{Name: value, Controller: new(true)}}
	case "after":
		d, _ := time.ParseDuration(value)
		p.CreationTimestamp = metav1.NewTime(Epoch.Add(d))
	default:
		if slices.Contains(labels, key) {
			p.Labels[key] = value
			return
		}
		p.Annotations[key] = value
	}
}

// Train builds a member of the gang train of 2, declared by its label.
func Train(name string, words ...string) *v1.Pod {
	return Pod(name, append([]string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=2"}, words...)...)
}

// Object makes the object train of a kind from the rest of its fields, as JSON
// that begins with a comma.
func Object(t testing.TB, apiVersion, kind, rest string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON([]byte(`{"apiVersion":"`+apiVersion+`","kind":"`+kind+`"`+rest+`}`)), rest)
	u.SetName("train")
	u.SetNamespace("ns")
	u.SetUID("u1")
	u.SetResourceVersion("7")
	u.SetGeneration(2)
	return u
}
