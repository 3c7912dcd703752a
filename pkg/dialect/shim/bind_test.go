// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// slowBinder is an API server that answers when it is told to.
type slowBinder struct {
	corev1.PodInterface
	came, answer chan struct{}
}

func (s slowBinder) Bind(context.Context, *v1.Binding, metav1.CreateOptions) error {
	s.came <- struct{}{}
	<-s.answer
	return nil
}

// emptyStore knows no gangs.
func emptyStore() *store.Store {
	return store.New(dialect.Enabled(nil, nil), func(store.Key, *schedulingapi.PodGroup, *kube.Declaration) {}, func(store.Key) {})
}

// notingBinder is an API server that notes what pods are bound with.
type notingBinder struct {
	corev1.PodInterface
	bound map[string]map[string]string // annotations by pod
}

func (n notingBinder) Bind(_ context.Context, binding *v1.Binding, _ metav1.CreateOptions) error {
	n.bound[binding.Name] = binding.Annotations
	return nil
}

// A member of a gang is bound with the number that starts together, by the version of
// its group that was planned; a pod of its own with nothing.
func TestClient_BindsMembersWithTheNumberThatStarts(t *testing.T) {
	tr := &Translator{feed: newFeed(), bindings: newBindings(), nodes: nodesNamed("n")}
	tr.store = store.New(dialect.Enabled(nil, nil), tr.feed.publish, func(store.Key) {})
	tr.store.Open()
	member := func(name string) *v1.Pod {
		return &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "ns", Name: name, UID: types.UID(name),
				Labels: map[string]string{kube.LabelGang: "train"}, Annotations: map[string]string{kube.AnnotationMinCount: "3"},
			},
			Spec: v1.PodSpec{SchedulingGroup: &v1.PodSchedulingGroup{PodGroupName: new("label~train")}},
		}
	}
	tr.store.SetPod(member("a"))
	api := notingBinder{bound: map[string]map[string]string{}}
	bind := func(name string) map[string]string {
		binding := &v1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}, Target: v1.ObjectReference{Name: "n"}}
		require.NoError(t, podClient{binder: api, t: tr}.Bind(t.Context(), binding, metav1.CreateOptions{}))
		assert.Nil(t, binding.Annotations, "the caller's binding stays as it is")
		return api.bound[name]
	}
	assert.Empty(t, bind("a"), "nobody said that it starts")
	tr.NoteStart(tr.feed.objects[store.Key{Namespace: "ns", Group: "label~train"}].group)
	assert.Equal(t, map[string]string{kube.AnnotationStartedWith: "3"}, bind("a"))
	assert.Empty(t, bind("single"))
}

func TestClient_BindsAFewAtATime(t *testing.T) {
	api := slowBinder{came: make(chan struct{}, 1000), answer: make(chan struct{})}
	client := podClient{binder: api, t: &Translator{store: emptyStore(), bindings: newBindings(), nodes: nodesNamed("n")}}
	binding := &v1.Binding{Target: v1.ObjectReference{Name: "n"}}
	var group sync.WaitGroup
	for range 3 * bindSlots {
		group.Go(func() { assert.NoError(t, client.Bind(t.Context(), binding, metav1.CreateOptions{})) })
	}
	for range bindSlots {
		<-api.came
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, client.Bind(ctx, binding, metav1.CreateOptions{}), context.Canceled, "no slot came free")
	assert.Empty(t, api.came, "more than %d at a time", bindSlots)
	for range 2 * bindSlots {
		api.answer <- struct{}{}
		<-api.came // the next one has its slot
	}
	close(api.answer)
	group.Wait()
}

func TestBindings_GoBeforeWhatIsToldOfThem(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBindings()
	b.now = func() time.Time { return now }
	bind := func(takes time.Duration) {
		require.NoError(t, b.runInSlot(t.Context(), func() error {
			now = now.Add(takes)
			return nil
		}))
	}
	assert.False(t, b.inBurst(), "before the first binding")
	require.NoError(t, b.runInSlot(t.Context(), func() error {
		assert.True(t, b.inBurst(), "while it is under way")
		now = now.Add(quietPeriod)
		assert.True(t, b.inBurst(), "while it is still under way")
		return nil
	}))
	assert.True(t, b.inBurst(), "the next one may follow at once")
	now = now.Add(quietPeriod)
	assert.False(t, b.inBurst(), "no other has followed")

	now = now.Add(quietPeriod)
	for range maxHold / quietPeriod {
		bind(quietPeriod / 2)
		now = now.Add(quietPeriod / 2)
	}
	assert.False(t, b.inBurst(), "bindings that go on for longer hold nothing back")
	bind(quietPeriod / 2)
	assert.False(t, b.inBurst(), "nor do those that follow them without a pause")
	now = now.Add(2 * quietPeriod)
	bind(quietPeriod / 2)
	assert.True(t, b.inBurst(), "a burst of its own")
}

func TestBindings_WaitEndsWithThemOrWithTheContext(t *testing.T) {
	b := newBindings()
	answer := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		assert.NoError(t, b.runInSlot(t.Context(), func() error { <-answer; return nil }))
	})
	require.Eventually(t, b.inBurst, eventually, often)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.waitForQuiet(ctx), context.Canceled)
	done := make(chan error)
	go func() { done <- b.waitForQuiet(t.Context()) }()
	close(answer)
	require.NoError(t, <-done)
	assert.False(t, b.inBurst())
	group.Wait()
}
