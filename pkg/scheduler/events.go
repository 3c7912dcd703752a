// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedeventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/tools/events"
)

// boundEvents is how many events "Scheduled" are written at a time.
// client-go writes each event from a goroutine of its own, as many as there are:
// those of the first members of a large gang would compete with the bindings of
// the others, 32 at a time (see pkg/dialect). None is left out.
const boundEvents = 1

// reasonBound is the reason of kube-scheduler's event about a pod that is bound.
const reasonBound = "Scheduled"

//nolint:staticcheck // kube-scheduler's configuration is of this type
type adapter = events.EventBroadcasterAdapter

// broadcaster has the scheduler's events written by a client of their own.
// Those about leader election stay with the first one.
type broadcaster struct {
	adapter
	paced adapter
}

func newBroadcaster(ctx context.Context, first adapter, client kubernetes.Interface) broadcaster {
	return broadcaster{first, events.NewEventBroadcasterAdapterWithContext(ctx, pacedClient{client, make(chan struct{}, boundEvents)})}
}

// StartRecordingToSink starts the writing of events.
func (b broadcaster) StartRecordingToSink(stop <-chan struct{}) {
	b.adapter.StartRecordingToSink(stop)
	b.paced.StartRecordingToSink(stop)
}

// NewRecorder returns a recorder for the scheduler of the given name.
func (b broadcaster) NewRecorder(name string) events.EventRecorderLogger {
	return b.paced.NewRecorder(name)
}

// Shutdown ends the writing of events.
func (b broadcaster) Shutdown() {
	b.paced.Shutdown()
	b.adapter.Shutdown()
}

// pacedClient is a client that holds events about bound pods back until few of
// them are under way.
type pacedClient struct {
	kubernetes.Interface
	underWay chan struct{}
}

// EventsV1 is the API of events.
func (c pacedClient) EventsV1() typedeventsv1.EventsV1Interface {
	return pacedEventsAPI{c.Interface.EventsV1(), c.underWay}
}

type pacedEventsAPI struct {
	typedeventsv1.EventsV1Interface
	underWay chan struct{}
}

// Events is the API of events in a namespace.
func (e pacedEventsAPI) Events(namespace string) typedeventsv1.EventInterface {
	return pacedEvents{e.EventsV1Interface.Events(namespace), e.underWay}
}

type pacedEvents struct {
	typedeventsv1.EventInterface
	underWay chan struct{}
}

// Create writes an event, one about a bound pod when it has its turn.
func (e pacedEvents) Create(ctx context.Context, event *eventsv1.Event, options metav1.CreateOptions) (*eventsv1.Event, error) {
	if event.Reason != reasonBound {
		return e.EventInterface.Create(ctx, event, options)
	}
	select {
	case e.underWay <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.underWay }()
	return e.EventInterface.Create(ctx, event, options)
}
