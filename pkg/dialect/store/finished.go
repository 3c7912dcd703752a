// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// finishedPod is a pod that has done its work as a member of a gang. It outlives
// the gang's state: the last member may be re-created after the others are done.
type finishedPod struct {
	uid  types.UID
	life kube.Lifetime
	// run is the workload that it was of, if that comes to its end by itself, job its
	// controller, if that is a Job.
	run workload.Run
	job jobRef
	// role is that of a workload's pod, keys are what selectors of roles look at.
	role string
	keys labels.Set
}

// SetFinished takes in a pod that was added or has changed, with the group that
// it was given. One that has not done its work is taken out.
func (s *Store) SetFinished(pod *v1.Pod) {
	group := kube.GroupOf(pod)
	if group == "" || kube.MemberStateOf(pod) != kube.MemberFinished {
		s.DeleteFinished(pod.UID)
		return
	}
	f := newFinished(pod)
	key := Key{pod.Namespace, ownGroupOf(pod)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropFinished(pod.UID)
	if s.finished[key] == nil {
		s.finished[key] = map[types.UID]*finishedPod{}
	}
	s.finished[key][pod.UID] = f
	s.finishedIn[pod.UID] = key
	s.followJob(key, f.job, pod)
	s.refreshFinished(key)
}

// newFinished reads a pod that has done its work, or one that shows what the others
// of its Job were.
func newFinished(pod *v1.Pod) *finishedPod {
	f := &finishedPod{uid: pod.UID, life: kube.LifetimeOf(pod), run: workload.RunOf(pod), job: jobRefOf(pod), keys: labels.Set{}}
	maps.Copy(f.keys, pod.Annotations)
	maps.Copy(f.keys, pod.Labels)
	f.keys[kube.AnnotationChildRole] = kube.ChildRole(ownGroupOf(pod))
	if ref, why := workload.RefOf(pod); why == "" {
		f.role = ref.Role
	}
	return f
}

// ownGroupOf is the group that a pod names itself: in which gang that is may change.
func ownGroupOf(pod *v1.Pod) string { return cmp.Or(kube.ChildGroupOf(pod), kube.GroupOf(pod)) }

// DeleteFinished takes out a pod that is gone.
func (s *Store) DeleteFinished(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, known := s.finishedIn[uid]; known {
		s.dropFinished(uid)
		s.refreshFinished(key)
	}
}

// dropFinished takes out a pod that may be there. The caller holds the lock.
func (s *Store) dropFinished(uid types.UID) {
	key, known := s.finishedIn[uid]
	if !known {
		return
	}
	s.leaveJob(key, s.finished[key][uid].job)
	delete(s.finishedIn, uid)
	delete(s.finished[key], uid)
	if len(s.finished[key]) == 0 {
		delete(s.finished, key)
	}
}

// refreshFinished publishes a gang of which other members have finished than
// before.
func (s *Store) refreshFinished(key Key) {
	g := s.gangs[key]
	if g == nil {
		return
	}
	g, _ = s.wholeGang(g)
	g.finished, g.dirty = s.finishedOf(g), true
	s.followRuns(g)
	s.refreshGang(g)
}

// finishedOf returns the pods that have done their work under the gang's name, or
// under those of the PodGroups that it has.
func (s *Store) finishedOf(g *gangState) map[types.UID]*finishedPod {
	if g.dialectName != kube.DialectComposite {
		return s.finished[g.key]
	}
	all := map[types.UID]*finishedPod{}
	for part := range s.partsOf(g) {
		maps.Copy(all, s.finished[part.key])
	}
	return all
}

// finishedInRun lists the finished pods whose work counts for the gang as it is
// now, in order.
func (g *gangState) finishedInRun() []*finishedPod {
	if len(g.finished) == 0 {
		return nil
	}
	living := make([]kube.Lifetime, 0, len(g.members))
	for _, m := range g.members {
		if g.finished[m.uid] == nil {
			living = append(living, m.life)
		}
	}
	all := slices.SortedFunc(maps.Values(g.finished), func(a, b *finishedPod) int { return cmp.Compare(a.uid, b.uid) })
	ended := make([]kube.Lifetime, len(all))
	for i, f := range all {
		ended[i] = f.life
	}
	var counted []*finishedPod
	for _, i := range kube.FinishedInRun(living, ended) {
		if g.object == nil || g.object.Shape != nil || !all[i].life.Ended.Before(g.object.Created.Time) || all[i].life.Ended.IsZero() {
			counted = append(counted, all[i])
		}
	}
	return counted
}
