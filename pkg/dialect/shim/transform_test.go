// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// newTransformer is a Translator that gives pods of these schedulers their groups.
func newTransformer(schedulerNames ...string) *Translator {
	return &Translator{assigner: store.NewAssigner(dialect.Enabled(nil, nil), schedulerNames)}
}

func TestTransform(t *testing.T) {
	tests := []struct {
		name  string
		pod   *v1.Pod
		group string
	}{
		{"a labelled pod gets its group", train("a"), "label~train"},
		{"a pod with the coscheduling label gets its group", newPod("a", kube.LabelPodGroup+"=train"), "crd~train"},
		{"a native pod keeps its group", newPod("a", "group=train"), "train"},
		{"a pod without markers has none", newPod("a"), ""},
		{"a pod with two markers is alone", train("a", "group=train"), "conflict~a"},
		{"another scheduler's pod is left alone", train("a", "scheduler=default-scheduler"), ""},
		{"another scheduler's native pod is left alone", newPod("a", "group=train", "scheduler=default-scheduler"), "train"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newTransformer("muster")
			for range 2 { // it is applied twice to some pods
				out, err := a.transformPod(test.pod)
				require.NoError(t, err)
				assert.Same(t, test.pod, out)
				if test.group == "" {
					assert.Nil(t, test.pod.Spec.SchedulingGroup)
					continue
				}
				assert.Equal(t, test.group, *test.pod.Spec.SchedulingGroup.PodGroupName)
			}
		})
	}
}

func TestTransform_APodKeepsTheGroupThatItWasSeenWith(t *testing.T) {
	a := newTransformer("muster")
	give := func(p *v1.Pod) string {
		_, err := a.transformPod(p)
		require.NoError(t, err)
		if p.Spec.SchedulingGroup == nil {
			return ""
		}
		return *p.Spec.SchedulingGroup.PodGroupName
	}
	assert.Equal(t, "label~train", give(train("a")))
	assert.Equal(t, "label~train", give(newPod("a")))
	assert.Empty(t, give(newPod("loose")))
	assert.Empty(t, give(train("loose")))
	a.assigner.Forget("uid-loose")
	a.assigner.Forget("uid-a")
	assert.Equal(t, "label~train", give(train("loose")))
}

func TestTransform_DropsWhatNobodyReads(t *testing.T) {
	env := []v1.EnvVar{{Name: "A", Value: "B"}}
	p := newPod("a")
	p.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	p.Spec.Containers = []v1.Container{{Name: "c", Env: env, EnvFrom: []v1.EnvFromSource{{}}}}
	p.Spec.InitContainers = []v1.Container{{Name: "i", Env: env}}
	p.Spec.EphemeralContainers = []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{Env: env}}}
	_, err := newTransformer().transformPod(p)
	require.NoError(t, err)
	assert.Empty(t, p.ManagedFields)
	assert.Equal(t, []v1.Container{{Name: "c"}}, p.Spec.Containers)
	assert.Equal(t, []v1.Container{{Name: "i"}}, p.Spec.InitContainers)
	assert.Empty(t, p.Spec.EphemeralContainers[0].Env)
}

func TestTransform_AGatedPodMayStillGetItsGang(t *testing.T) {
	a := newTransformer("muster")
	give := func(p *v1.Pod, gates ...v1.PodSchedulingGate) string {
		p.Spec.SchedulingGates = gates
		_, err := a.transformPod(p)
		require.NoError(t, err)
		return kube.GroupOf(p)
	}
	gate := v1.PodSchedulingGate{Name: "queue"}
	assert.Empty(t, give(newPod("a"), gate))
	assert.Equal(t, "crd~train", give(newPod("a", kube.LabelPodGroup+"=train"), gate))
	assert.Equal(t, "label~train", give(train("a")))
	assert.Equal(t, "label~train", give(newPod("a")))
}

func TestSplitter(t *testing.T) {
	var seen []string
	handler := splitter{cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(obj any, _ bool) { seen = append(seen, "add "+string(obj.(*v1.Pod).UID)) },
		UpdateFunc: func(_, obj any) { seen = append(seen, "update "+string(obj.(*v1.Pod).UID)) },
		DeleteFunc: func(obj any) {
			if gone, unseen := obj.(cache.DeletedFinalStateUnknown); unseen {
				seen = append(seen, "delete unseen "+gone.Key+" "+string(gone.Obj.(*v1.Pod).UID))
				return
			}
			seen = append(seen, "delete "+string(obj.(*v1.Pod).UID))
		},
	}}
	old, again := newPod("a"), newPod("a")
	again.UID = "uid-a2"
	handler.OnUpdate(old, old)
	handler.OnUpdate(old, again)
	handler.OnUpdate(again, func() *v1.Pod {
		p := newPod("a", "group=label~train")
		p.UID = "uid-a2"
		return p
	}())
	assert.Equal(t, []string{"update uid-a", "delete unseen ns/a uid-a", "add uid-a2", "delete uid-a2", "add uid-a2"}, seen)
}

// A member that a gate holds back is a single pod to the scheduler, which gets its
// group at the moment when the gate goes.
func TestGateKeeper(t *testing.T) {
	var seen []string
	tell := func(what string, obj any) {
		if gone, unseen := obj.(cache.DeletedFinalStateUnknown); unseen {
			what, obj = what+" unseen", gone.Obj
		}
		p := obj.(*v1.Pod)
		seen = append(seen, fmt.Sprintf("%s %s of %q, %d gates", what, p.Name, kube.GroupOf(p), len(p.Spec.SchedulingGates)))
	}
	handler := gateKeeper{splitter{cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(obj any, _ bool) { tell("add", obj) },
		UpdateFunc: func(_, obj any) { tell("update", obj) },
		DeleteFunc: func(obj any) { tell("delete", obj) },
	}}}
	member := func(gates int, words ...string) *v1.Pod {
		p := newPod("a", append([]string{"group=train"}, words...)...)
		p.Spec.SchedulingGates = make([]v1.PodSchedulingGate, gates)
		return p
	}
	gated := member(2)
	handler.OnAdd(gated, true)
	handler.OnUpdate(gated, member(1))
	handler.OnUpdate(member(1), member(0))
	handler.OnUpdate(member(0), member(0, "node=n1"))
	handler.OnDelete(member(1))
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "ns/a", Obj: member(1)})
	assert.Equal(t, []string{
		`add a of "", 2 gates`, `update a of "", 1 gates`,
		`delete a of "", 1 gates`, `add a of "train", 0 gates`, `update a of "train", 0 gates`,
		`delete a of "", 1 gates`, `delete unseen a of "", 1 gates`,
	}, seen)
	assert.Equal(t, "train", kube.GroupOf(gated), "the informer's own pod is not changed")
}
