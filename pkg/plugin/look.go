// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"hash/maphash"
	"maps"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// A gang that is kept out of the queue is looked at when its members or its
// group change, and every ten seconds besides. The queue's own hints would be asked
// for each event about each pending pod: with 10,000 pods of 16 a gang that was
// most of the scheduler's work.
//
// Every look compares the gang as the scheduler's cache knows it with the gang
// as it was kept out. No order of events and no delay between this plugin and
// the cache can therefore make a change pass unseen.

// likeness is what a gang's chances depend on, but for the cluster: its group
// and its members. It is a hash, valid in this process.
type likeness uint64

var likenessSeed = maphash.MakeSeed()

func likenessOf(pg *schedulingapi.PodGroup, state fwk.PodGroupState) likeness {
	sum := maphash.Comparable(likenessSeed, [2]string{string(pg.UID), pg.ResourceVersion})
	for _, pod := range state.UnscheduledPods() {
		sum += maphash.Comparable(likenessSeed, version{pod.UID, pod.Generation})
	}
	return likeness(sum + maphash.Comparable(likenessSeed, state.ScheduledPodsCount()))
}

type version struct {
	uid        types.UID
	generation int64
}

// mark is a gang that is to be looked at soon: its event may have come before
// the scheduler's cache knows of it, so it is looked at several times, at
// intervals that double.
type mark struct {
	at    time.Time
	pause time.Duration
}

// lastLook ends the looks for one event. What the cache learns later than that
// is found by the look at every gang, once in lookAtAll.
const (
	lastLook  = time.Second
	lookAtAll = 10 * time.Second
)

// mark has a gang, as namespace/name, looked at.
func (r *registry) mark(key string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.swept) > remembered {
		// Nobody looks in a replica that stands by.
		r.swept = now
		maps.DeleteFunc(r.marks, func(_ string, m mark) bool { return now.Sub(m.at) > remembered })
	}
	r.marks[key] = mark{now, firstPace}
}

// marked lists the gangs whose look is due.
func (r *registry) marked(now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []string
	for key, m := range r.marks {
		if now.Before(m.at) {
			continue
		}
		keys = append(keys, key)
		if m.pause > lastLook {
			delete(r.marks, key)
		} else {
			r.marks[key] = mark{now.Add(m.pause), 2 * m.pause}
		}
	}
	return keys
}

// notice marks the gang of a pod that came, went or changed.
func (pl *Plugin) notice(pod *v1.Pod) {
	if group := kube.GroupOf(pod); group != "" {
		pl.gangs.mark(pod.Namespace+"/"+group, pl.now())
	}
}

// look lets a gang be tried that is kept out of the queue for something that is
// not so any more.
func (pl *Plugin) look(key string) {
	namespace, name, _ := strings.Cut(key, "/")
	pg, err := pl.handle.PodGroupManager().PodGroups().Get(namespace, name)
	if err != nil || !pl.gangs.waits(pg.UID) {
		return
	}
	state, err := pl.handle.PodGroupManager().PodGroupStates().Get(namespace, name)
	if err != nil {
		pl.gangs.leave(pg.UID)
		return
	}
	for _, pod := range state.UnscheduledPods() {
		if t, why := pl.fit(pg, state); why != nil {
			pl.gangs.bar(pg.UID, t, pod)
			pl.reports.gated(pg, why)
		} else {
			pl.gangs.fit(pg.UID, likenessOf(pg, state), pl.now())
		}
		return // any member stands for the gang
	}
	pl.gangs.leave(pg.UID)
}

// runWaker brings gangs back to the queue whose turn came.
func (pl *Plugin) runWaker(ctx context.Context) {
	tick, slow, all := time.NewTicker(firstPace), time.NewTicker(time.Second), time.NewTicker(lookAtAll)
	defer tick.Stop()
	defer slow.Stop()
	defer all.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, key := range pl.gangs.marked(pl.now()) {
				pl.look(key)
			}
			pl.gangs.rechecks(pl.now())
		case <-slow.C:
			pl.releaseStale(ctx)
		case <-all.C:
			for _, key := range pl.gangs.waiting() {
				pl.look(key)
			}
			pl.sweep()
		case <-pl.gangs.wake:
		}
		for _, pod := range pl.gangs.takeDue() {
			pl.handle.Activate(klog.FromContext(ctx), map[string]*v1.Pod{pod.Namespace + "/" + pod.Name: pod})
		}
	}
}
