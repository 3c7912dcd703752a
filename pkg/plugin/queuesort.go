// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"time"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// turn is what decides an entity's place in the queue.
type turn struct {
	partial  bool
	priority int32
	created  time.Time
	key      string
}

// Less puts gangs that are partly bound first, so that a half-started gang is
// finished before anything else takes its room; then the higher priority, then
// the older gang or pod, then the name.
func (pl *Plugin) Less(a, b fwk.QueuedEntityInfo) bool {
	return pl.turnOf(a).before(pl.turnOf(b))
}

func (t turn) before(o turn) bool {
	if t.partial != o.partial {
		return t.partial
	}
	if t.priority != o.priority {
		return t.priority > o.priority
	}
	if !t.created.Equal(o.created) {
		return t.created.Before(o.created)
	}
	return t.key < o.key
}

func (pl *Plugin) turnOf(entity fwk.QueuedEntityInfo) turn {
	switch e := entity.(type) {
	case *framework.QueuedPodGroupInfo:
		t := turn{priority: e.GetPriority(), key: e.GetNamespace() + "/" + e.GetName()}
		if pg := e.GetPodGroup(); pg != nil {
			t.created = pg.CreationTimestamp.Time
			t.partial = pl.gangs.isPartial(pg.UID)
		}
		return t
	case *framework.QueuedPodInfo:
		return turn{
			priority: e.GetPriority(),
			created:  e.Pod.CreationTimestamp.Time,
			key:      e.Pod.Namespace + "/" + e.Pod.Name,
		}
	}
	return turn{priority: entity.GetPriority(), created: entity.GetTimestamp()}
}
