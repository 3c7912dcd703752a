// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// Recorders keeps the scheduler from telling each member of a gang that it was
// not scheduled: one event for the gang, from the plugin, says it all. What it
// objects to a member is noted, for the sentence of the gang.
func (t *Translator) Recorders(factory profile.RecorderFactory) profile.RecorderFactory {
	return func(name string) events.EventRecorderLogger {
		return recorder{factory(name), &t.sentences}
	}
}

type recorder struct {
	events.EventRecorderLogger
	sentences *sentences
}

// Eventf records an event, unless it is about a member of a gang that was not
// scheduled.
//
//nolint:revive // the signature is client-go's
func (r recorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if pod, ok := regarding.(*v1.Pod); ok && reason == "FailedScheduling" && pod.Spec.SchedulingGroup != nil {
		// The text comes as the format: what looks like a verb in it is none.
		r.sentences.addObjections(pod, note)
		return
	}
	r.EventRecorderLogger.Eventf(regarding, related, kind, reason, action, note, args...)
}

// WithLogger returns a recorder that logs with the given logger.
func (r recorder) WithLogger(logger klog.Logger) events.EventRecorderLogger {
	return recorder{r.EventRecorderLogger.WithLogger(logger), r.sentences}
}
