// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// evictor gives up gangs that started, lost members and found no room for them
// within the grace period. Members that belong to a controller are evicted
// together, so that the controller creates them again and the gang starts as a
// whole. Bare pods are never touched; the gang is then only reported.
type evictor struct {
	handle  fwk.Handle
	reports *reporter
	grace   time.Duration
}

// releaseGang evicts what is left of a gang that needs the given number of members.
// It returns the reason for which it did, "" if it need not or may not.
func (e *evictor) releaseGang(ctx context.Context, pg *schedulingapi.PodGroup, required int) (string, error) {
	state, err := e.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return "", nil // the last pod is gone
	}
	bound := withoutTerminating(state.ScheduledPods())
	if len(bound) == 0 || len(bound) >= required {
		return "", nil
	}
	why := newVerdict(kube.PartialGang, "gang %s has only %d of the %d pods that must run together and found no room for the others within %s",
		kube.GangName(pg), len(bound), required, e.grace)
	if slices.ContainsFunc(bound, func(pod *v1.Pod) bool { return metav1.GetControllerOf(pod) == nil }) {
		why.Message += "; some of them have no controller that would create them again, so none is evicted: make room for the others, or delete them"
		e.reports.reportRefused(pg, why)
		return "", nil
	}
	for _, dryRun := range [][]string{{metav1.DryRunAll}, nil} {
		if dryRun == nil {
			why.Message += "; they are evicted, so that the gang can start as a whole"
			e.reports.reportReleased(ctx, pg, why)
		}
		for _, pod := range bound {
			if err := e.evictPod(ctx, pod, dryRun); err != nil {
				return "", err
			}
		}
	}
	return why.Reason, nil
}

// evictPod evicts one pod, or with dryRun asks whether that would be allowed.
func (e *evictor) evictPod(ctx context.Context, pod *v1.Pod, dryRun []string) error {
	err := e.handle.ClientSet().PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID)), DryRun: dryRun},
	})
	if err != nil {
		return fmt.Errorf("evicting %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if dryRun == nil {
		evictions.Inc()
	}
	return nil
}

// withoutTerminating returns the pods that were not told to end.
func withoutTerminating(pods []*v1.Pod) []*v1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod *v1.Pod) bool { return pod.DeletionTimestamp != nil })
}
