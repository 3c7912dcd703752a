// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// gated holds a pod back.
func gated(p *v1.Pod, gates ...string) *v1.Pod {
	for _, gate := range gates {
		p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, v1.PodSchedulingGate{Name: gate})
	}
	return p
}

func TestGatedMembers(t *testing.T) {
	w := newWorld()
	have := func() (int, []string) { return w.GatedMembers(key("label~train")) }
	count, gates := have()
	assert.Zero(t, count)
	assert.Empty(t, gates)
	w.pod(train("a"))
	w.pod(gated(train("b"), "quota", "license"))
	w.pod(gated(train("c"), "quota"))
	ending := gated(train("d"), "quota")
	ending.DeletionTimestamp = &metav1.Time{Time: dialecttest.Epoch}
	w.pod(ending)
	count, gates = have()
	assert.Equal(t, 2, count)
	assert.Equal(t, []string{"license", "quota"}, gates)
	w.pod(gated(train("b"), "quota"))
	w.pod(train("c"))
	count, gates = have()
	assert.Equal(t, 1, count)
	assert.Equal(t, []string{"quota"}, gates)
	w.DeletePod("uid-b")
	count, gates = have()
	assert.Zero(t, count)
	assert.Empty(t, gates)
}

// ofRevision is a pod of one version of a Deployment's template, which asks for a
// level.
func ofRevision(name, hash, level string, words ...string) *v1.Pod {
	p := train(name, append([]string{kube.AnnotationTopologyRequired + "=" + level}, words...)...)
	p.Labels["pod-template-hash"] = hash
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "train-" + hash, UID: types.UID(hash), Controller: new(true)}}
	return p
}

// TestRollingUpdate changes what the pods of a gang ask for while some of the old
// ones are there.
func TestRollingUpdate(t *testing.T) {
	ending := func(p *v1.Pod) *v1.Pod {
		p.DeletionTimestamp = &metav1.Time{Time: dialecttest.Epoch}
		return p
	}
	rack, block := kube.AnnotationTopologyRequired+"=rack", kube.AnnotationTopologyRequired+"=block"
	for name, c := range map[string]struct {
		pods   []*v1.Pod
		level  string
		reason kube.Reason
	}{
		"the new pods wait, the old ones run": {[]*v1.Pod{train("a", rack, "node=n1"), train("b", rack, "node=n2"), train("c", block)}, "block", ""},
		"an old one is replaced as it was":    {[]*v1.Pod{train("a", rack), train("b", block, "node=n2", "after=1m")}, "rack", ""},
		"all run, the update is half done":    {[]*v1.Pod{train("a", block, "node=n1", "after=1m"), train("b", rack, "node=n2")}, "block", ""},
		"the old ones end":                    {[]*v1.Pod{ending(train("a", rack)), ending(train("b", rack, "node=n2")), train("c", block)}, "block", ""},
		"old and new ones of a Deployment wait": {
			[]*v1.Pod{ofRevision("a", "old", "rack"), ofRevision("b", "old", "rack"), ofRevision("c", "new", "block", "after=1m")}, "block", ""},
		"those of one revision differ": {
			[]*v1.Pod{ofRevision("a", "new", "rack"), ofRevision("b", "new", "block", "after=1m")}, "rack", kube.GangConfigConflict},
		"those that wait differ, and tell of no revision": {[]*v1.Pod{train("a", rack), train("b", block), train("c", block, "node=n1")}, "rack", kube.GangConfigConflict},
		"another priority": {[]*v1.Pod{train("a", block, "node=n1", "priority=5"), train("b", block, "priority=7")}, "block", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, p := range c.pods {
				w.pod(p)
			}
			assert.Equal(t, c.level, w.declared("label~train").Terms[kube.AnnotationTopologyRequired].Value)
			assert.Equal(t, c.reason, w.problem("label~train").Reason, w.problem("label~train").Message)
		})
	}
}

// The roles that members name are known as long as one is there that names them.
func TestRollingUpdate_KeepsTheRolesOfThoseThatRun(t *testing.T) {
	w := newWorld()
	podSet := func(name, set, level string, words ...string) *v1.Pod {
		return newPod(name, append(words, "kueue.x-k8s.io/pod-group-name=train", "kueue.x-k8s.io/pod-group-total-count=4",
			"kueue.x-k8s.io/podset="+set, "kueue.x-k8s.io/podset-required-topology="+level)...)
	}
	levels := func() map[string]string {
		byRole := map[string]string{}
		for _, r := range w.declared("kueue~train").Roles {
			byRole[r.Name] = r.Required
		}
		return byRole
	}
	w.pod(podSet("a", "leader", "rack", "node=n1"))
	w.pod(podSet("b", "worker", "rack", "node=n1"))
	w.pod(podSet("c", "worker", "rack"))
	before := levels()
	assert.Len(t, before, 2)
	w.pod(podSet("c", "worker", "block"))
	assert.Empty(t, w.problem("kueue~train"))
	after := levels()
	assert.Len(t, after, 2)
	assert.NotEqual(t, before, after)
}
