// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	typedeventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/tools/events"
)

// slowAPI is an API server that answers when it is told to.
type slowAPI struct {
	kubernetes.Interface
	came   chan<- string
	answer <-chan struct{}
}

func (s slowAPI) EventsV1() typedeventsv1.EventsV1Interface {
	return slowEvents{s.Interface.EventsV1(), nil, s}
}

type slowEvents struct {
	typedeventsv1.EventsV1Interface
	typedeventsv1.EventInterface
	api slowAPI
}

func (s slowEvents) Events(string) typedeventsv1.EventInterface { return s }

func (s slowEvents) Create(_ context.Context, event *eventsv1.Event, _ metav1.CreateOptions) (*eventsv1.Event, error) {
	s.api.came <- event.Reason
	if event.Reason == reasonBound {
		<-s.api.answer
	}
	return event, nil
}

// TestBroadcaster_PacesWhatFollowsABinding checks that events about bound pods
// are written a few at a time, that all of them are, and that others pass them.
func TestBroadcaster_PacesWhatFollowsABinding(t *testing.T) {
	const pods = 5 * boundEvents
	came, answer := make(chan string, 2*pods), make(chan struct{})
	known := fake.NewClientset()
	known.Resources = []*metav1.APIResourceList{{GroupVersion: eventsv1.SchemeGroupVersion.String()}}
	api := slowAPI{known, came, answer}
	b := newBroadcaster(t.Context(), events.NewEventBroadcasterAdapterWithContext(t.Context(), fake.NewClientset()), api)
	b.StartRecordingToSink(t.Context().Done())
	defer b.Shutdown()
	recorder := b.NewRecorder("muster")
	for i := range pods {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("w-", i)}}
		recorder.Eventf(pod, nil, v1.EventTypeNormal, reasonBound, "Binding", "bound")
	}
	for range boundEvents {
		assert.Equal(t, reasonBound, <-came)
	}
	recorder.Eventf(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "w"}}, nil, v1.EventTypeNormal, "GangPlaced", "Scheduling", "placed")
	assert.Equal(t, "GangPlaced", <-came, "more than %d at a time, or the gang's event waits behind them", boundEvents)
	close(answer)
	seen := boundEvents
	require.Eventually(t, func() bool {
		seen += len(drain(came))
		return seen == pods
	}, 30*time.Second, 5*time.Millisecond)
}

func drain(from chan string) (all []string) {
	for {
		select {
		case one := <-from:
			all = append(all, one)
		default:
			return all
		}
	}
}
