// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// LaterGang is a gang that runs and stands behind a gang that waits.
type LaterGang struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Pods      int    `json:"pods"`
	GPUs      int64  `json:"gpus"`
	// Started is when the last of the members that it needs had a node.
	Started time.Time `json:"started"`
	// Asks are the ways in which it asks for less than the gang that waits, or
	// for something else. None if its declaration shows none.
	Asks []string `json:"asks,omitempty"`
}

// laterGangs lists the gangs that have a later place in the queue than g, and whose
// members were bound after g was complete. Gangs of one second, whose order only
// the scheduler knows, are left out.
func (v *ClusterView) laterGangs(g *Gang) []LaterGang {
	complete, ok := g.completeAt()
	if !ok || g.Place == 0 {
		return nil
	}
	key := g.queueKey()
	key.Name, key.Interrupted = "", false
	var found []LaterGang
	for _, o := range v.Gangs {
		other := o.queueKey()
		other.Name = ""
		if o == g || o.Spec == nil || o.isWaiting() || len(o.Bound) == 0 || !key.Before(other) {
			continue
		}
		if started := startTime(o); started.After(complete) {
			found = append(found, LaterGang{o.Namespace, o.Name, len(o.Bound), o.totalGPUs(), started, v.describeDifferences(g, o)})
		}
	}
	slices.SortStableFunc(found, func(a, b LaterGang) int { return a.Started.Compare(b.Started) })
	return found
}

// completeAt is when the gang had as many members as must start together; false
// if it has not, or somebody holds members back. Nothing tells when a scheduling
// gate was removed.
func (g *Gang) completeAt() (time.Time, bool) {
	ready := g.queueReadiness()
	if ready.Obstacle() != nil {
		return time.Time{}, false
	}
	var created []time.Time
	for _, pod := range slices.Concat(g.Bound, g.Waiting) {
		created = append(created, pod.CreationTimestamp.Time)
	}
	slices.SortFunc(created, time.Time.Compare)
	at := created[ready.MinCount-1]
	if group := g.Group.CreationTimestamp.Time; group.After(at) {
		at = group
	}
	return at, true
}

// describeDifferences says in which ways o asks for less than g, or for something else.
func (v *ClusterView) describeDifferences(g, o *Gang) []string {
	var all []string
	add := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(o.Spec.MinCount < g.Spec.MinCount, "starts with %s, not %d", formatPodCount(o.Spec.MinCount), g.Spec.MinCount)
	mine, theirs := g.mostGPUs(), o.mostGPUs()
	add(theirs < mine, "at most %d GPUs a pod, not %d", theirs, mine)
	names := g.Spec.Levels.LevelNames()
	if required := g.Spec.Required; required != topology.NoLevel {
		add(o.Spec.Required == topology.NoLevel, "asks for no one %s", names[required])
		add(o.Spec.Required != topology.NoLevel && o.Spec.Required < required && int(required) < len(v.levels), "asks for one %s, not one %s", levelName(names, o.Spec.Required), names[required])
	}
	add(demandsSlices(g.Spec.Slices) && !demandsSlices(o.Spec.Slices), "asks for no slices")
	switch {
	case len(g.Spec.Models) == 0 || slices.Equal(g.Spec.Models, o.Spec.Models):
	case len(o.Spec.Models) == 0:
		add(true, "takes any GPU model")
	default:
		add(true, "asks for %s", joinWords(o.Spec.Models))
	}
	add(g.Spec.Memory > 0 && o.Spec.Memory == 0, "asks for no amount of GPU memory")
	return all
}

// levelName is the name of a level, "" for none.
func levelName(names []string, level topology.Level) string {
	if level < 0 {
		return ""
	}
	return names[level]
}

func demandsSlices(list []gang.Slice) bool {
	return slices.ContainsFunc(list, func(s gang.Slice) bool { return !s.Preferred })
}

// mostGPUs is the largest number of GPUs that a member asks for.
func (g *Gang) mostGPUs() int64 {
	members := g.Members()
	if len(members) == 0 {
		return 0
	}
	return gpusOf(slices.MaxFunc(members, func(a, b *v1.Pod) int { return cmp.Compare(gpusOf(a), gpusOf(b)) }))
}
