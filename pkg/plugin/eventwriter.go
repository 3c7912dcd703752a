// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/workload"
)

// eventWriter records the events of gangs on the objects that they are about.
type eventWriter struct {
	handle fwk.Handle
	groups Groups
}

// recordEvent records the event of a notice on each object that it is about. The
// recorder only counts a second event that differs from the first in nothing but its
// text, and does not write the text: the number of the event makes its action another.
func (w *eventWriter) recordEvent(ctx context.Context, pg *schedulingapi.PodGroup, n *notice, number int) {
	recorder := w.handle.EventRecorder().WithLogger(klog.FromContext(ctx))
	message, action := truncateNote(n.message), fmt.Sprintf("Scheduling-%d", number)
	for _, regarding := range w.regardingObjects(pg, n) {
		recorder.Eventf(regarding, nil, n.kind, n.reason, action, "%s", message)
	}
}

// waitingPods lists the members without a node, by name.
func (w *eventWriter) waitingPods(pg *schedulingapi.PodGroup) []*v1.Pod {
	state, err := w.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return nil
	}
	pods := state.UnscheduledPods()
	sorted := make([]*v1.Pod, 0, len(pods))
	for _, key := range slices.Sorted(maps.Keys(pods)) {
		sorted = append(sorted, pods[key])
	}
	return sorted
}

// regardingObjects are the objects that an event of a gang is about: its group, the
// controllers of its members, and those of them that were evicted. Where there is
// neither group nor controller it is about the members that wait; that it starts, about
// the first.
func (w *eventWriter) regardingObjects(pg *schedulingapi.PodGroup, n *notice) []runtime.Object {
	members := slices.Concat(w.waitingPods(pg), n.evicted)
	waiting := len(members) > 0 && n.kind == v1.EventTypeWarning
	if n.placed != nil {
		members = slices.DeleteFunc(slices.Concat(members, w.boundPods(pg)), func(pod *v1.Pod) bool {
			_, starts := n.placed[pod.UID]
			return !starts
		})
	}
	if len(members) == 0 {
		members = w.boundPods(pg)
	}
	var objects []runtime.Object
	source := w.groups.Source(pg)
	if source != nil {
		objects = append(objects, source)
	}
	for _, controller := range workload.ControllersOf(members, maxRegarding) {
		if !isSame(source, controller) {
			objects = append(objects, controller)
		}
	}
	if len(objects) == 0 {
		most := 1
		if waiting {
			most = maxRegarding
		}
		for _, pod := range members[:min(len(members), most)] {
			objects = append(objects, pod)
		}
		return objects
	}
	for _, pod := range n.evicted {
		objects = append(objects, pod)
	}
	return objects
}

// maxRegarding bounds the events of one verdict: the members of a gang can have as
// many controllers as there are members.
const maxRegarding = 16

// isSame reports whether an object is the one of the reference.
func isSame(object runtime.Object, reference *v1.ObjectReference) bool {
	known, ok := object.(*v1.ObjectReference)
	return ok && known.UID == reference.UID
}

// boundPods lists the members with a node, by name.
func (w *eventWriter) boundPods(pg *schedulingapi.PodGroup) []*v1.Pod {
	state, err := w.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return nil
	}
	pods := state.ScheduledPods()
	slices.SortFunc(pods, func(a, b *v1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}
