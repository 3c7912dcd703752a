// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// sweep forgets gangs and pods that are gone. They are forgotten when they go,
// but a plan or a binding that is under way then speaks of them once more.
func (pl *Plugin) sweep() {
	// What is remembered now was alive before. It is gone if it is not there
	// afterwards.
	gangs, pods := slices.Concat(pl.gangs.remembered(), pl.reports.remembered()), pl.gpus.remembered()
	groups, err := pl.handle.SharedInformerFactory().Scheduling().V1beta1().PodGroups().Lister().List(labels.Everything())
	if err != nil {
		return // the lister reads memory
	}
	alive := sets.New[types.UID]()
	for _, pg := range groups {
		alive.Insert(pg.UID)
	}
	for _, uid := range gangs {
		if !alive.Has(uid) {
			pl.gangs.forget(uid)
			pl.reports.forget(uid)
		}
	}
	running, err := pl.handle.SharedInformerFactory().Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil || len(pods) <= len(running) {
		return
	}
	for _, pod := range running {
		alive.Insert(pod.UID)
	}
	for _, uid := range pods {
		if !alive.Has(uid) {
			pl.gpus.forget(uid)
		}
	}
}

func (r *registry) remembered() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.gangs))
}

func (r *reporter) remembered() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.gangs))
}

func (a *appraiser) remembered() []types.UID {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Collect(maps.Keys(a.seen))
}
