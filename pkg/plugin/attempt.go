// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"fmt"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// attempt is one try of the scheduler to place a gang, or a what-if of preemption
// within one.
type attempt struct {
	gangs   *gangQueue
	planner *planner
	group   *schedulingapi.PodGroup
	start   time.Time
	whatIf  bool
}

// newAttempt begins an attempt. A gang that was answered and not let into the
// queue since is asked about within the attempt that was answered.
func newAttempt(gangs *gangQueue, planner *planner, pg *schedulingapi.PodGroup) *attempt {
	id := queue.GangID(pg.UID)
	a := &attempt{gangs: gangs, planner: planner, group: pg, start: gangs.now()}
	a.whatIf = ask(gangs, func(core *queue.Queue) bool { return core.Tried(id) })
	if !a.whatIf {
		gangs.step(queue.Attempted{Gang: id})
	}
	return a
}

// reportAnswer notes the answer of the planner, and returns the refusal that the pods'
// conditions are to carry, nil for none.
func (a *attempt) reportAnswer(ctx context.Context, plan *gangPlan) *queue.Verdict {
	took := a.gangs.now().Sub(a.start)
	planSeconds.Observe(took.Seconds())
	logger := klog.FromContext(ctx)
	if a.whatIf {
		return plan.refusal
	}
	if plan.answer != nil {
		a.planner.idle.RecordPlan(string(a.group.UID), *plan.answer)
	}
	if plan.refusal == nil {
		attempts.WithLabelValues("planned").Inc()
		logger.V(2).Info("Planned gang", "gang", klog.KObj(a.group), "domain", plan.domain, "pods", len(plan.nodes), "nodes", len(plan.placement.Nodes), "took", took)
		return nil
	}
	attempts.WithLabelValues("refused").Inc()
	logger.V(2).Info("Refused gang", "gang", klog.KObj(a.group), "reason", plan.refusal.Reason, "message", plan.refusal.Message)
	a.gangs.step(queue.Refused{
		Gang: queue.GangID(a.group.UID), Class: plan.class, Verdict: plan.refusal, Fingerprint: plan.fingerprint,
		Snapshot: snapshotView{a.planner.handle.SnapshotSharedLister().NodeInfos()},
		Promise:  plan.promise, RetryAfter: plan.retryAfter,
	})
	// While room is being made for it, that is what stands.
	stands := ask(a.gangs, func(core *queue.Queue) *queue.Verdict { return core.Refusal(queue.GangID(a.group.UID)) })
	return a.gangs.reports.shownRefusal(a.group, cmp.Or(stands, plan.refusal))
}

// pluginRefusalRetry is how soon a gang is tried again whose plan other plugins
// refused, without an event that Muster knows to be of help.
const pluginRefusalRetry = 5 * time.Second

// refusedByPlugins notes that other plugins refuse a plan, and returns the verdict, and
// whether there is another domain to try.
func refusedByPlugins(ctx context.Context, gangs *gangQueue, planner *planner, group fwk.PodGroupInfo, plan *gangPlan) (why *queue.Verdict, more bool) {
	pg := group.GetPodGroup()
	tried, more := planner.noteRefusal(group, plan)
	attempts.WithLabelValues("refused").Inc()
	why = newVerdict(kube.NoFittingDomain,
		"gang %s has room in %s, but only %d of its %d waiting pods pass every other check there (%s)",
		kube.GangName(pg), triedDomains(tried, plan.domain), plan.barrier.expectedCount(), len(group.GetUnscheduledPods()), plan.otherChecks())
	why.Devices, why.Volumes = plan.devices, plan.unmodelled == kube.UnmodelledVolumes
	klog.FromContext(ctx).V(2).Info("Refused gang", "gang", klog.KObj(pg), "reason", why.Reason, "message", why.Message)
	gangs.reports.holdRefusal(pg, why)
	gangs.step(queue.Refused{
		Gang: queue.GangID(pg.UID), Verdict: why, Fingerprint: plan.fingerprint, ByPlugins: true, RetryAfter: pluginRefusalRetry,
		Snapshot:     snapshotView{gangs.handle.SnapshotSharedLister().NodeInfos()},
		TryElsewhere: more,
	})
	return why, more
}

// triedDomains names the domain in which a gang was refused last, and how many there are
// in which it was.
func triedDomains(count int, last string) string {
	if count < 2 {
		return last
	}
	return fmt.Sprintf("%d domains and was refused in all of them, in %s last", count, last)
}
