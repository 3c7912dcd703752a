// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
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

func TestClient_BindsAFewAtATime(t *testing.T) {
	api := slowBinder{came: make(chan struct{}, 1000), answer: make(chan struct{})}
	client := podClient{PodInterface: api, t: &Translator{bindings: newBindings(), nodes: nodesNamed("n")}}
	binding := &v1.Binding{Target: v1.ObjectReference{Name: "n"}}
	var group sync.WaitGroup
	for range 3 * binds {
		group.Go(func() { assert.NoError(t, client.Bind(t.Context(), binding, metav1.CreateOptions{})) })
	}
	for range binds {
		<-api.came
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, client.Bind(ctx, binding, metav1.CreateOptions{}), context.Canceled, "no turn came")
	assert.Empty(t, api.came, "more than %d at a time", binds)
	for range 2 * binds {
		api.answer <- struct{}{}
		<-api.came // the next one has its turn
	}
	close(api.answer)
	group.Wait()
}

func TestBindings_GoBeforeWhatIsToldOfThem(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBindings()
	b.now = func() time.Time { return now }
	bind := func(takes time.Duration) {
		require.NoError(t, b.do(t.Context(), func() error {
			now = now.Add(takes)
			return nil
		}))
	}
	assert.False(t, b.goOn(), "before the first binding")
	require.NoError(t, b.do(t.Context(), func() error {
		assert.True(t, b.goOn(), "while it is under way")
		now = now.Add(lull)
		assert.True(t, b.goOn(), "while it is still under way")
		return nil
	}))
	assert.True(t, b.goOn(), "the next one may follow at once")
	now = now.Add(lull)
	assert.False(t, b.goOn(), "no other has followed")

	now = now.Add(lull)
	for range burst / lull {
		bind(lull / 2)
		now = now.Add(lull / 2)
	}
	assert.False(t, b.goOn(), "bindings that go on for longer hold nothing back")
	bind(lull / 2)
	assert.False(t, b.goOn(), "nor do those that follow them without a pause")
	now = now.Add(2 * lull)
	bind(lull / 2)
	assert.True(t, b.goOn(), "a burst of its own")
}

func TestBindings_WaitEndsWithThemOrWithTheContext(t *testing.T) {
	b := newBindings()
	answer := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		assert.NoError(t, b.do(t.Context(), func() error { <-answer; return nil }))
	})
	require.Eventually(t, b.goOn, eventually, often)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.wait(ctx), context.Canceled)
	done := make(chan error)
	go func() { done <- b.wait(t.Context()) }()
	close(answer)
	require.NoError(t, <-done)
	assert.False(t, b.goOn())
	group.Wait()
}
