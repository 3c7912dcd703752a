// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// releaseAgain is how long a release that the API server refused, such as for a
// disruption budget, is put off.
const releaseAgain = 10 * time.Second

// releaseStale gives up gangs that started, lost members and found no room for
// them within the grace period: what is left of such a gang holds devices and
// does no work. Members that belong to a controller are evicted together, so
// that the controller creates them again and the gang starts as a whole. Bare
// pods are never touched; the gang is then only reported.
func (pl *Plugin) releaseStale(ctx context.Context) {
	grace := pl.args.PartialGangGracePeriod.Duration
	if grace <= 0 {
		return
	}
	for _, key := range pl.gangs.stale(pl.now().Add(-grace)) {
		namespace, name, _ := strings.Cut(key, "/")
		pg, err := pl.handle.PodGroupManager().PodGroups().Get(namespace, name)
		if err != nil {
			continue // the group is gone, and with it the gang
		}
		if err := pl.release(ctx, pg); err != nil {
			klog.FromContext(ctx).Error(err, "Could not release a partly started gang; trying again", "gang", key)
			pl.gangs.postpone(pg.UID, pl.now().Add(releaseAgain-grace))
		} else {
			pl.gangs.whole(pg.UID)
		}
	}
}

func (pl *Plugin) release(ctx context.Context, pg *schedulingapi.PodGroup) error {
	state, err := pl.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return nil // the last pod is gone
	}
	bound := state.ScheduledPods()
	d := pl.reports.groups.DeclarationOf(pg)
	if d == nil {
		return fmt.Errorf("pod group %s has a newer version", pg.Name)
	}
	want := pl.gangs.needs(pg.UID, len(bound), kube.RunningMinimum(pg, d))
	done, err := pl.finished(ctx, pg)
	if err != nil {
		return err
	}
	if len(bound) == 0 || len(bound)+done >= want {
		return nil
	}
	why := &verdict{reason: kube.PartialGang, message: fmt.Sprintf(
		"gang %s has only %d of the %d pods that must run together and found no room for the others within %s",
		kube.GangName(pg), len(bound), want, pl.args.PartialGangGracePeriod.Duration)}
	bare := slices.ContainsFunc(bound, func(pod *v1.Pod) bool { return metav1.GetControllerOf(pod) == nil })
	if bare {
		why.message += "; some of them have no controller that would create them again, so none is evicted: make room for the others, or delete them"
		pl.reports.refused(pg, why)
		return nil
	}
	why.message += "; they are evicted, so that the gang can start as a whole"
	pl.reports.released(ctx, pg, why)
	for _, pod := range bound {
		if err := pl.evict(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// finished counts the members that ran to their end. The scheduler's own view
// has no pods that are done, so the API server is asked.
func (pl *Plugin) finished(ctx context.Context, pg *schedulingapi.PodGroup) (int, error) {
	list, err := pl.handle.ClientSet().CoreV1().Pods(pg.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "status.phase=" + string(v1.PodSucceeded),
	})
	if err != nil {
		return 0, err
	}
	count := 0
	for i := range list.Items {
		if pl.reports.groups.GroupOf(&list.Items[i]) == pg.Name {
			count++
		}
	}
	return count, nil
}

func (pl *Plugin) evict(ctx context.Context, pod *v1.Pod) error {
	err := pl.handle.ClientSet().PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))},
	})
	if err != nil {
		return fmt.Errorf("evicting %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	evictions.Inc()
	return nil
}

// stale lists, as namespace/name, the refused gangs that have been partial
// since before the given time.
func (r *registry) stale(before time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []string
	for _, g := range r.gangs {
		if g.refusal != nil && !g.partialSince.IsZero() && g.partialSince.Before(before) {
			keys = append(keys, g.turn.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// needs is the number of members below which a gang that began is broken: whole,
// or what it ran with before its minimum was raised. Nobody is evicted for
// members that were not asked for when the gang began.
func (r *registry) needs(uid types.UID, bound, whole int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	if bound >= whole {
		g.ran = whole
	}
	if g.ran > 0 {
		return min(whole, g.ran)
	}
	return whole
}

// postpone looks at a stale gang again only at the given time.
func (r *registry) postpone(uid types.UID, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok && !g.partialSince.IsZero() {
		g.partialSince = since
	}
}

// whole ends the grace period of a gang; it starts anew if the gang is seen
// partial again.
func (r *registry) whole(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok {
		g.partialSince = time.Time{}
	}
}
