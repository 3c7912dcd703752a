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

	"github.com/muster-scheduler/muster/pkg/plugin"
)

// api notes the reasons of the events that come.
type api struct {
	kubernetes.Interface
	came chan<- string
}

func (a api) EventsV1() typedeventsv1.EventsV1Interface {
	return eventsAPI{a.Interface.EventsV1(), nil, a.came}
}

type eventsAPI struct {
	typedeventsv1.EventsV1Interface
	typedeventsv1.EventInterface
	came chan<- string
}

func (e eventsAPI) Events(string) typedeventsv1.EventInterface { return e }

func (e eventsAPI) Create(_ context.Context, event *eventsv1.Event, _ metav1.CreateOptions) (*eventsv1.Event, error) {
	e.came <- event.Reason
	return event, nil
}

func TestBroadcaster_TellsOfBindingsAfterThem(t *testing.T) {
	const pods = 5 * eventWritesInFlight
	came, bindingsEnd := make(chan string, 2*pods), make(chan struct{})
	known := fake.NewClientset()
	known.Resources = []*metav1.APIResourceList{{GroupVersion: eventsv1.SchemeGroupVersion.String()}}
	after := func(context.Context) error {
		<-bindingsEnd
		return nil
	}
	b := newBroadcaster(t.Context(), events.NewEventBroadcasterAdapterWithContext(t.Context(), fake.NewClientset()), api{known, came}, after)
	b.StartRecordingToSink(t.Context().Done())
	defer b.Shutdown()
	recorder := b.NewRecorder("muster")
	tell := func(pod, reason string) {
		regarding := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: pod}}
		recorder.Eventf(regarding, nil, v1.EventTypeNormal, reason, "Scheduling", "it is so")
	}
	want := []string{string(plugin.ReasonPlaced)}
	tell("w-0", string(plugin.ReasonPlaced))
	for i := range pods {
		tell(fmt.Sprint("w-", i), "Scheduled")
		want = append(want, "Scheduled")
	}
	tell("waits", "GangTooLarge")
	assert.Equal(t, "GangTooLarge", <-came, "a refusal does not stand behind bindings")
	close(bindingsEnd)
	var got []string
	require.Eventually(t, func() bool {
		got = append(got, drain(came)...)
		return len(got) == len(want)
	}, 30*time.Second, 5*time.Millisecond)
	assert.ElementsMatch(t, want, got, "none is left out")
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
