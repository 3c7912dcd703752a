// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"slices"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedeventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/tools/events"

	"github.com/muster-scheduler/muster/pkg/plugin"
)

// eventWritesInFlight is the number of events about bindings that are written
// at a time: client-go writes each event from a goroutine of its own, as many
// as there are.
const eventWritesInFlight = 4

// bindingReasons are the reasons of the events that follow bindings:
// kube-scheduler's for a pod, and the plugin's for a gang.
var bindingReasons = []string{"Scheduled", string(plugin.ReasonPlaced)}

//nolint:staticcheck // kube-scheduler's configuration is of this type
type eventAdapter = events.EventBroadcasterAdapter

// broadcaster has the scheduler's events written by a client of their own.
// Those about leader election stay with the first one.
type broadcaster struct {
	eventAdapter
	paced eventAdapter
}

// after returns when events about bindings may be written.
func newBroadcaster(ctx context.Context, first eventAdapter, client kubernetes.Interface, after func(context.Context) error) broadcaster {
	paced := pacedClient{client, eventPace{after, make(chan struct{}, eventWritesInFlight)}}
	return broadcaster{first, events.NewEventBroadcasterAdapterWithContext(ctx, paced)}
}

// StartRecordingToSink starts the writing of events.
func (b broadcaster) StartRecordingToSink(stop <-chan struct{}) {
	b.eventAdapter.StartRecordingToSink(stop)
	b.paced.StartRecordingToSink(stop)
}

// NewRecorder returns a recorder for the scheduler of the given name.
func (b broadcaster) NewRecorder(name string) events.EventRecorderLogger {
	return b.paced.NewRecorder(name)
}

// Shutdown ends the writing of events.
func (b broadcaster) Shutdown() {
	b.paced.Shutdown()
	b.eventAdapter.Shutdown()
}

// eventPace delays events about bindings until those are done: those of the
// first members of a large gang would compete with the bindings of the others.
// None is left out.
type eventPace struct {
	after    func(context.Context) error
	inFlight chan struct{}
}

// pacedClient is a client whose events about bindings are delayed.
type pacedClient struct {
	kubernetes.Interface
	pace eventPace
}

// EventsV1 returns the API of events.
func (c pacedClient) EventsV1() typedeventsv1.EventsV1Interface {
	return pacedEventsAPI{c.Interface.EventsV1(), c.pace}
}

// pacedEventsAPI and pacedEvents carry the pace down to Create.
type pacedEventsAPI struct {
	typedeventsv1.EventsV1Interface
	pace eventPace
}

// Events is the API of events in a namespace.
func (e pacedEventsAPI) Events(namespace string) typedeventsv1.EventInterface {
	return pacedEvents{e.EventsV1Interface.Events(namespace), e.pace}
}

type pacedEvents struct {
	typedeventsv1.EventInterface
	pace eventPace
}

// Create writes an event, one about a binding when it has its turn.
func (e pacedEvents) Create(ctx context.Context, event *eventsv1.Event, options metav1.CreateOptions) (*eventsv1.Event, error) {
	if !slices.Contains(bindingReasons, event.Reason) {
		return e.EventInterface.Create(ctx, event, options)
	}
	select {
	case e.pace.inFlight <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.pace.inFlight }()
	if err := e.pace.after(ctx); err != nil {
		return nil, err
	}
	return e.EventInterface.Create(ctx, event, options)
}
