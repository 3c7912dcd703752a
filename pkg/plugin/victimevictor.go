// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	apipod "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

const (
	// victimRetries is how often the end of a victim is asked for again that the
	// API server did not answer, victimPause the time before the first of them;
	// it doubles.
	victimRetries = 4
	victimPause   = 100 * time.Millisecond
	// reasonPreempted is the reason of the events of a preemption: kube-scheduler's.
	reasonPreempted = "Preempted"
	// parallelEvictions bounds how many victims are ended at a time.
	parallelEvictions = 16
	// maxVictimsNamed bounds the victims that a log line names.
	maxVictimsNamed = 8
)

// victim is a pod that makes way, with the workload that it belongs to.
type victim struct {
	pod         *v1.Pod
	name        string
	gang, whole bool
}

// victimEvictor ends victims the way the API has it: the condition DisruptionTarget
// with kube-scheduler's reason, then the deletion of exactly this pod, with its own
// grace period.
type victimEvictor struct {
	handle fwk.Handle
}

// evictAll ends the victims: those beside the promised nodes first, so that all were
// told to end once the preemptor can start. Those that are gone already are ended; the
// error is that of the first that could not be.
func (e *victimEvictor) evictAll(ctx context.Context, victims []victim, promised map[types.UID]string, why string) error {
	onPromised := map[string]bool{}
	for _, node := range promised {
		onPromised[node] = true
	}
	var waves [2][]victim
	for _, v := range victims {
		wave := 0
		if onPromised[v.pod.Spec.NodeName] {
			wave = 1
		}
		waves[wave] = append(waves[wave], v)
	}
	for _, wave := range waves {
		if err := e.evictWave(ctx, wave, why); err != nil {
			return err
		}
	}
	return nil
}

// evictWave ends victims side by side.
func (e *victimEvictor) evictWave(ctx context.Context, victims []victim, why string) error {
	failed := make([]error, len(victims))
	workqueue.ParallelizeUntil(ctx, parallelEvictions, len(victims), func(i int) {
		pod := victims[i].pod
		if err := e.evict(ctx, pod, why); err != nil {
			failed[i] = fmt.Errorf("ending %s/%s: %w", pod.Namespace, pod.Name, err)
			return
		}
		e.handle.EventRecorder().WithLogger(klog.FromContext(ctx)).Eventf(pod, nil, v1.EventTypeNormal, reasonPreempted, "Preempting", "%s",
			truncateNote(fmt.Sprintf("%s; this pod held it on node %s", why, pod.Spec.NodeName)))
	})
	return errors.Join(failed...)
}

// evict ends one victim, and asks again for a while where the API server does not
// answer.
func (e *victimEvictor) evict(ctx context.Context, pod *v1.Pod, why string) error {
	pause := victimPause
	for attempt := 0; ; attempt++ {
		err := e.evictOnce(ctx, pod, why)
		if err == nil || attempt == victimRetries || apierrors.IsForbidden(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
		pause *= 2
	}
}

func (e *victimEvictor) evictOnce(ctx context.Context, pod *v1.Pod, why string) error {
	ctx, cancel := context.WithTimeout(ctx, apiCallTimeout)
	defer cancel()
	status := pod.Status.DeepCopy()
	changed := apipod.UpdatePodCondition(status, &v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, ObservedGeneration: apipod.CalculatePodConditionObservedGeneration(status, pod.Generation, v1.DisruptionTarget),
		Reason: v1.PodReasonPreemptionByScheduler, Message: truncateNote(why),
	})
	if changed {
		if err := util.PatchPodStatus(ctx, e.handle.ClientSet(), pod.Name, pod.Namespace, &pod.Status, status); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	err := e.handle.ClientSet().CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it has ended, or given way to another one of its name
	}
	return err
}

// gracePeriodOf is how long a pod may take to end.
func gracePeriodOf(pod *v1.Pod) time.Duration {
	if seconds := pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return v1.DefaultTerminationGracePeriodSeconds * time.Second
}

// victimNames names workloads that make way, sorted, for the log.
func victimNames(victims []victim) string {
	var names []string
	for _, v := range victims {
		name := v.name
		if v.gang && !v.whole {
			name = v.pod.Namespace + "/" + v.pod.Name
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if more := len(names) - maxVictimsNamed; more > 0 {
		names = append(names[:maxVictimsNamed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
