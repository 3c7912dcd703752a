// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/muster-scheduler/muster/pkg/queue"
)

// background is the plugin's own work beside the scheduling loop.
type background struct {
	gangs     *gangQueue
	barriers  *barriers
	gpus      *gpuInventory
	preemptor *preemptor
}

// garbageInterval is the time between two collections of what is remembered of
// gangs and pods that are gone.
const garbageInterval = 10 * time.Second

// runWhileLeading tells verdicts and carries out the queue's effects once this replica is the
// one that schedules: another one does until then.
func (b *background) runWhileLeading(ctx context.Context, leading <-chan struct{}) {
	select {
	case <-leading:
	case <-ctx.Done():
		return
	}
	go b.gangs.reports.runFlusher(ctx)
	go b.gangs.runWorker(ctx)
	tick := time.NewTicker(garbageInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.collectGarbage()
		}
	}
}

// collectGarbage forgets gangs and pods that are gone. They are forgotten when they
// go, but a plan or a binding that is under way then speaks of them once more.
func (b *background) collectGarbage() {
	// What is remembered now was alive before. It is gone if it is not there
	// afterwards.
	gangs := slices.Concat(ask(b.gangs, knownGangs), b.gangs.reports.reportedGangs())
	pods := b.gpus.observedPods()
	factory := b.gangs.handle.SharedInformerFactory()
	groups, err := factory.Scheduling().V1beta1().PodGroups().Lister().List(labels.Everything())
	if err != nil {
		return // the lister reads memory
	}
	alive := sets.New[types.UID]()
	for _, pg := range groups {
		alive.Insert(pg.UID)
	}
	for _, uid := range gangs {
		if !alive.Has(uid) {
			b.gangs.forgetGang(uid)
		}
	}
	b.barriers.forgetGone(alive)
	b.preemptor.forgetEnded()
	running, err := factory.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil || len(pods) <= len(running) {
		return
	}
	for _, pod := range running {
		alive.Insert(pod.UID)
	}
	for _, uid := range pods {
		if !alive.Has(uid) {
			b.gpus.forgetPod(uid)
		}
	}
}

func knownGangs(core *queue.Queue) []types.UID {
	var uids []types.UID
	for _, id := range core.Known() {
		uids = append(uids, types.UID(id))
	}
	return uids
}
