// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"context"
	"sync"
	"testing"

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
	client := podClient{PodInterface: api, t: &Translator{binds: make(chan struct{}, binds)}}
	var group sync.WaitGroup
	for range 3 * binds {
		group.Go(func() { assert.NoError(t, client.Bind(t.Context(), &v1.Binding{}, metav1.CreateOptions{})) })
	}
	for range binds {
		<-api.came
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, client.Bind(ctx, &v1.Binding{}, metav1.CreateOptions{}), context.Canceled, "no turn came")
	assert.Empty(t, api.came, "more than %d at a time", binds)
	for range 2 * binds {
		api.answer <- struct{}{}
		<-api.came // the next one has its turn
	}
	close(api.answer)
	group.Wait()
}
