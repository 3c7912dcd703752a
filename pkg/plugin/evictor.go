// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// evictor gives up gangs that started, lost members, and found no room for them or
// had too few of them created within the grace period. Members that belong to a
// controller are evicted together, so that the controller creates them again and the
// gang starts as a whole. A gang with bare pods is only reported, unless preemption
// took the others.
type evictor struct {
	handle  fwk.Handle
	reports *reporter
	grace   time.Duration
}

// releaseGang evicts what is left of a gang that needs the given number of members,
// because the others found no room or were preempted: preemption spares no pod for
// having no controller. It returns the reason for which it did, "" if it need not or
// may not.
func (e *evictor) releaseGang(ctx context.Context, pg *schedulingapi.PodGroup, required int, preempted bool) (string, error) {
	state, err := e.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return "", nil // the last pod is gone
	}
	bound := kube.MembersAmong(state.ScheduledPods())
	if len(bound) == 0 || len(bound) >= required {
		return "", nil
	}
	if preempted {
		return e.evictWhole(ctx, pg, bound, newVerdict(kube.PartialGang,
			"gang %s has only %d of the %d pods that must run together: the others made room for pods of higher priority", kube.GangName(pg), len(bound), required))
	}
	missing := "found no room for the others"
	gated, _ := e.reports.groups.GatedMembers(pg)
	waiting := kube.MembersAmong(slices.Collect(maps.Values(state.UnscheduledPods())))
	if exist := len(bound) + len(waiting) + gated; exist < required {
		missing = fmt.Sprintf("only %d of them exist: no more were created", exist)
	}
	why := newVerdict(kube.PartialGang, "gang %s has only %d of the %d pods that must run together on nodes and %s within %s",
		kube.GangName(pg), len(bound), required, missing, e.grace)
	if slices.ContainsFunc(bound, func(pod *v1.Pod) bool { return metav1.GetControllerOf(pod) == nil }) {
		why.Message += "; some of them have no controller that would create them again, so none is evicted: make room for the others, or delete them"
		e.keepGang(ctx, pg, why)
		return "", nil
	}
	return e.evictWhole(ctx, pg, bound, why)
}

// errKept is returned for a gang of which a member may not be evicted at present,
// once that was reported.
var errKept = errors.New("not every member may be evicted")

// evictWhole evicts all of the given members, or none where one of them may not be
// evicted. It returns the reason for which it did. It reports what came of it.
func (e *evictor) evictWhole(ctx context.Context, pg *schedulingapi.PodGroup, bound []*v1.Pod, why *queue.Verdict) (string, error) {
	refusal, err := e.findRefusal(ctx, pg.Namespace, bound)
	if err != nil {
		return "", err
	}
	if refusal != "" {
		kept := *why
		kept.Message += fmt.Sprintf("; none of them is evicted, because not all may be: %s", refusal)
		e.keepGang(ctx, pg, &kept)
		return "", errKept
	}
	evicted, failed := e.evictEach(ctx, bound)
	told := *why
	switch {
	case failed == nil:
		told.Message += fmt.Sprintf("; all %d were evicted, so that the gang can start as a whole", len(evicted))
	case len(evicted) == 0:
		return "", failed
	default:
		told.Message += fmt.Sprintf("; %d of them were evicted, the others follow: %s", len(evicted), failed)
	}
	klog.FromContext(ctx).V(2).Info("Evicted a partly started gang", "gang", klog.KObj(pg), "pods", len(evicted), "message", told.Message)
	e.reports.reportReleased(ctx, pg, evicted, &told)
	return why.Reason, failed
}

// keepGang reports a partial gang that is not evicted. It is tried again and again, and
// the log says it when it has changed.
func (e *evictor) keepGang(ctx context.Context, pg *schedulingapi.PodGroup, why *queue.Verdict) {
	if e.reports.reportKept(pg, why) {
		klog.FromContext(ctx).V(2).Info("Kept a partly started gang", "gang", klog.KObj(pg), "message", why.Message)
	}
}

// findRefusal returns why not all of the pods may be evicted, "" if they may: the
// budgets are counted for all of them together, and the API server is asked about
// each, which knows of admission policies too.
func (e *evictor) findRefusal(ctx context.Context, namespace string, pods []*v1.Pod) (string, error) {
	listing, cancel := context.WithTimeout(ctx, apiCallTimeout)
	defer cancel()
	budgets, err := e.handle.ClientSet().PolicyV1().PodDisruptionBudgets(namespace).List(listing, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("listing the disruption budgets: %w", err)
	}
	if refusal := budgetRefusal(budgets.Items, pods); refusal != "" {
		return refusal, nil
	}
	for _, pod := range pods {
		_, err := e.evictPod(ctx, pod, []string{metav1.DryRunAll})
		var answer apierrors.APIStatus
		if errors.As(err, &answer) {
			return err.Error(), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// evictEach evicts pods, as many of them as may be, and returns those. The error is
// that of the first that could not be evicted.
func (e *evictor) evictEach(ctx context.Context, pods []*v1.Pod) (evicted []*v1.Pod, failed error) {
	for _, pod := range pods {
		done, err := e.evictPod(ctx, pod, nil)
		failed = cmp.Or(failed, err)
		if done {
			evictions.Inc()
			evicted = append(evicted, pod)
		}
	}
	return evicted, failed
}

// evictPod evicts one pod, or with dryRun asks whether that would be allowed, and
// reports whether that was done. A pod that is gone, or has given way to another one
// of its name, is no error.
func (e *evictor) evictPod(ctx context.Context, pod *v1.Pod, dryRun []string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiCallTimeout)
	defer cancel()
	err := e.handle.ClientSet().PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID)), DryRun: dryRun},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("evicting %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return true, nil
}
