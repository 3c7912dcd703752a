// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// jobRef names a Job within a namespace. The zero value stands for none.
type jobRef struct {
	name string
	uid  types.UID
}

func jobRefOf(pod *v1.Pod) jobRef {
	name, uid := workload.BatchJobOf(pod)
	return jobRef{name, uid}
}

func (j jobRef) compare(o jobRef) int {
	return cmp.Or(cmp.Compare(j.name, o.name), cmp.Compare(j.uid, o.uid))
}

func (j jobRef) key(namespace string) workloadKey {
	return workloadKey{workload.BatchJob(), namespace, j.name}
}

// jobPods are the pods of a Job that are in gangs, and what the Job says of those that
// have done their work: it knows of them when they are deleted.
type jobPods struct {
	work workload.Work
	// example is one of the pods, and gangs counts them by gang.
	example *finishedPod
	gangs   map[Key]int
}

// followJob adds a pod to those of its Job. The caller holds the lock.
func (s *Store) followJob(key Key, job jobRef, pod *v1.Pod) {
	if job == (jobRef{}) {
		return
	}
	w := s.workloadOf(job.key(key.Namespace))
	if w.pods == nil {
		w.pods = map[types.UID]*jobPods{}
	}
	if w.pods[job.uid] == nil {
		w.pods[job.uid] = &jobPods{work: w.workOf(job.uid), example: newFinished(pod), gangs: map[Key]int{}}
		delete(w.pods[job.uid].example.keys, workload.LabelIndex)
	}
	w.pods[job.uid].gangs[key]++
}

// leaveJob takes out a pod that followJob has added.
func (s *Store) leaveJob(key Key, job jobRef) {
	w := s.workloads[job.key(key.Namespace)]
	if job == (jobRef{}) || w == nil || w.pods[job.uid] == nil {
		return
	}
	gangs := w.pods[job.uid].gangs
	if gangs[key]--; gangs[key] == 0 {
		delete(gangs, key)
	}
	if len(gangs) == 0 {
		delete(w.pods, job.uid)
	}
	if w.isEmpty() {
		delete(s.workloads, job.key(key.Namespace))
	}
}

// readJob is the jobCatalog of the store.
func (s *Store) readJob(namespace string, job jobRef) *jobPods {
	if w := s.workloads[job.key(namespace)]; w != nil {
		return w.pods[job.uid]
	}
	return nil
}

// jobCatalog finds what is known of a Job of which a gang has pods, or nil.
type jobCatalog func(namespace string, job jobRef) *jobPods

// countJob adds a member to those of its Job, or takes it out.
func (g *gangState) countJob(m *member, sign int) {
	if m.job == (jobRef{}) {
		return
	}
	if g.jobs == nil {
		g.jobs = map[jobRef]int{}
	}
	before := g.jobs[m.job]
	if g.jobs[m.job] += sign; g.jobs[m.job] == 0 {
		delete(g.jobs, m.job)
	}
	g.dirty = g.dirty || before == 0 || before+sign == 0
}

// doneWork stands for pods that have done their work.
type doneWork struct {
	*finishedPod
	count int
	// indexes are those of the first of them, if they have some.
	indexes []int
}

// doneInRun lists the work that counts for the gang as it is now, in order: of each
// Job what its finished pods show, and what it has counted beside them.
func (g *gangState) doneInRun() []doneWork {
	var done []doneWork
	shown := map[jobRef][]string{} // indexes
	for _, f := range g.finishedInRun() {
		done = append(done, doneWork{finishedPod: f, count: 1})
		if f.job != (jobRef{}) {
			shown[f.job] = append(shown[f.job], f.keys[workload.LabelIndex])
		}
	}
	var told []jobRef
	for _, jobs := range []iter.Seq[jobRef]{maps.Keys(g.jobs), maps.Keys(shown)} {
		for job := range jobs {
			if pods := g.readJob(g.key.Namespace, job); pods != nil && pods.work.Count > 0 {
				told = append(told, job)
			}
		}
	}
	slices.SortFunc(told, jobRef.compare)
	for _, job := range slices.Compact(told) {
		pods := g.readJob(g.key.Namespace, job)
		if count, indexes := pods.work.Missing(shown[job]); count > 0 {
			done = append(done, doneWork{pods.example, count, indexes[:min(count, len(indexes))]})
		}
	}
	return done
}

// totalDone is how many pods have done their work.
func totalDone(done []doneWork) int {
	total := 0
	for _, d := range done {
		total += d.count
	}
	return total
}

// doneByRole counts the pods of each role of a workload that have done their work, by
// controller.
func (g *gangState) doneByRole() map[string][]int {
	type part struct {
		role       string
		controller types.UID
	}
	count := map[part]int{}
	for _, d := range g.doneInRun() {
		count[part{d.role, d.life.Controller}] += d.count
	}
	byRole := map[string][]int{}
	for of, n := range count {
		byRole[of.role] = append(byRole[of.role], n)
	}
	return byRole
}

// withoutDone returns roles whose minimum leaves out the members that have done their
// work. A role that stands for several keeps it: which of them those
// members were of is not counted.
func withoutDone(roles []kube.Role, done []doneWork) []kube.Role {
	if len(done) == 0 || len(roles) == 0 {
		return roles
	}
	left := slices.Clone(roles)
	for _, d := range done {
		for _, i := range d.indexes {
			keys := maps.Clone(d.keys)
			keys[workload.LabelIndex] = strconv.Itoa(i)
			leaveOut(left, keys, 1)
		}
		if rest := d.count - len(d.indexes); rest > 0 {
			leaveOut(left, d.keys, rest)
		}
	}
	return left
}

// leaveOut lowers the minimum of the role of some pods.
func leaveOut(left []kube.Role, keys labels.Set, count int) {
	for i := range left {
		selector, err := metav1.LabelSelectorAsSelector(left[i].Selector)
		if err != nil || left[i].Selector != nil && !selector.Matches(keys) {
			continue
		}
		if len(left[i].Each) == 0 {
			left[i].MinCount = max(left[i].MinCount-count, 0)
		}
		return
	}
}
