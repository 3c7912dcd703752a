// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/muster-scheduler/muster/test/chaos/checker"
)

const (
	namespace = "default"
	gpu       = "nvidia.com/gpu"
	rackKey   = "topology.kubernetes.io/rack"
	nodeCount = 200
	rackSize  = 8
	perNode   = 8
)

// job is a gang, or a single pod, that the load keeps alive as a controller does: a pod
// that is gone or has failed is created again under its name.
type job struct {
	name         string
	size, gpus   int
	minimum      int
	group        bool // declared by a PodGroup
	rack         bool
	priority     string
	lifetime     time.Duration
	created      time.Time
	wholeSince   time.Time // since when enough of its pods have a node
	ending       bool
	suspended    bool
	pods         map[string]*v1.Pod // by name
	busy         map[string]bool    // pods that are being created or deleted
	groupCreated bool
}

// load creates gangs until what they ask for is a share of the GPUs, and ends them when
// they have run for a while.
type load struct {
	b      *bench
	random *rand.Rand

	mu   sync.Mutex
	fill float64 // 0: create nothing more
	// pairs is how many gangs of two that end soon are created a second, in place of
	// the mixture; due is the part of the next one that is due.
	pairs, due float64
	turn       int // of step
	jobs       map[string]*job
	created    int
	pods       int // that were created
	work       errgroup.Group
	// held are samples of the share of GPUs that bound pods had.
	held []float64
}

func newLoad(b *bench, seed uint64) *load {
	l := &load{b: b, random: rand.New(rand.NewPCG(seed, 2)), jobs: map[string]*job{}}
	l.work.SetLimit(24)
	return l
}

// setFill sets the share of the GPUs that are asked for.
func (l *load) setFill(fill float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill = fill
}

// setPairs sets how many gangs of two are created a second; 0 for none and an end.
func (l *load) setPairs(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairs, l.fill = perSecond, perSecond
}

// onPod follows the pods of jobs.
func (l *load) onPod(kind watch.EventType, p *v1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobs[p.Labels["job"]]
	if j == nil {
		return
	}
	if kind != watch.Deleted {
		j.pods[p.Name] = p
		return
	}
	if known := j.pods[p.Name]; known != nil && known.UID == p.UID {
		delete(j.pods, p.Name)
	}
}

// drawJob draws what a new job is like.
func (l *load) drawJob() *job {
	l.created++
	j := &job{
		name: fmt.Sprintf("j%d", l.created), size: 1, created: time.Now(), pods: map[string]*v1.Pod{}, busy: map[string]bool{},
		priority: []string{"chaos-low", "chaos-low", "chaos-mid", "chaos-mid", "chaos-high"}[l.random.IntN(5)],
		lifetime: time.Duration(3+l.random.IntN(25)) * time.Second,
	}
	if l.random.Float64() < 0.85 {
		j.size = []int{2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 32, 64}[l.random.IntN(12)]
	}
	if l.pairs > 0 {
		j.size, j.lifetime = 2, time.Duration(1+l.random.IntN(4))*time.Second
	}
	j.gpus = min([]int{1, 2, 4, 8}[l.random.IntN(4)], perNode*rackSize/max(j.size, rackSize))
	j.rack = j.size > 1 && l.random.Float64() < 0.7
	j.group = j.size > 1 && l.random.Float64() < 0.4
	j.minimum = j.size
	if j.size >= 4 && l.random.Float64() < 0.2 {
		j.minimum = j.size * 3 / 4
	}
	return j
}

// run keeps the jobs alive until done is closed.
func (l *load) run(done <-chan struct{}) {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for {
		select {
		case <-done:
			_ = l.work.Wait()
			return
		case <-tick.C:
			l.step(time.Now())
		}
	}
}

// backlog is the share of the GPUs that is asked for beyond what is to be held, and
// impatience how long a job waits before its user takes it back.
const (
	tickTime   = 200 * time.Millisecond
	backlog    = 0.15
	impatience = 40 * time.Second
	// mostUnborn is how many jobs may wait for their first pod: more than the API server
	// takes are not created.
	mostUnborn = 20
	// kubeletTime is when a pod that was told to end is deleted as of a kubelet that is
	// away.
	kubeletTime = 30 * time.Second
)

// step creates and ends jobs, and repairs those that are there.
func (l *load) step(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, held, unborn := 0, 0, 0
	for _, name := range l.inTurn() {
		j := l.jobs[name]
		l.follow(now, j)
		if j.ending && len(j.pods) == 0 && len(j.busy) == 0 {
			delete(l.jobs, name)
			if j.group {
				l.b.deleteGroup(name)
			}
			continue
		}
		if !j.ending {
			asked += j.size * j.gpus
		}
		held += j.boundPods() * j.gpus
		if len(j.pods) == 0 {
			unborn++
		}
		if j.ending {
			l.b.checker.ExpectEnd(namespace + "/" + name)
		}
		l.repair(j)
	}
	l.held = append(l.held, float64(held)/(nodeCount*perNode))
	l.due = min(l.due+l.pairs*tickTime.Seconds(), l.pairs)
	for ; l.due >= 1 && unborn < mostUnborn; l.due-- {
		unborn++
		j := l.drawJob()
		l.jobs[j.name] = j
	}
	wanted := l.fill * nodeCount * perNode
	if float64(held) < wanted {
		wanted += backlog * nodeCount * perNode
	}
	for most := 6; l.pairs == 0 && most > 0 && l.fill > 0 && float64(asked) < wanted; most-- {
		j := l.drawJob()
		l.jobs[j.name] = j
		asked += j.size * j.gpus
	}
}

// inTurn are the names of the jobs in an order that changes: whoever comes last may find
// no worker. Those of which something runs go first, as what they lack stands still.
func (l *load) inTurn() []string {
	names := slices.Sorted(maps.Keys(l.jobs))
	l.turn++
	if len(names) > 0 {
		at := 7 * l.turn % len(names)
		names = slices.Concat(names[at:], names[:at])
	}
	running := func(name string) int { return min(l.jobs[name].boundPods(), 1) }
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(running(b), running(a)) })
	return names
}

// follow ends a job that has run for long enough. While the load stands still, none ends.
func (l *load) follow(now time.Time, j *job) {
	switch {
	case j.boundPods() < j.minimum:
		j.wholeSince = time.Time{}
		j.ending = j.ending || l.fill > 0 && now.Sub(j.created) > impatience && j.boundPods() == 0
	case j.wholeSince.IsZero():
		j.wholeSince = now
	case l.fill > 0 && now.Sub(j.wholeSince) > j.lifetime:
		j.ending = true
	}
}

func (j *job) boundPods() int {
	count := 0
	for _, p := range j.pods {
		if p.Spec.NodeName != "" && p.Status.Phase != v1.PodFailed {
			count++
		}
	}
	return count
}

// repair creates the pods that are missing, and deletes those that failed, or all of a
// job that ends.
func (l *load) repair(j *job) {
	if j.group && !j.groupCreated {
		j.groupCreated = true
		l.b.createGroup(j.name, j.minimum, j.rack)
	}
	for i := range j.size {
		name := fmt.Sprintf("%s-%d", j.name, i)
		p := j.pods[name]
		switch {
		case j.busy[name]:
		case p == nil && !j.ending && !j.suspended:
			l.submit(j, name, func() { l.create(j, name) })
		case p != nil && (j.ending || j.suspended || p.Status.Phase == v1.PodFailed) && p.DeletionTimestamp == nil:
			l.submit(j, name, func() { l.remove(j, p) })
		case p != nil && p.DeletionTimestamp != nil && time.Since(p.DeletionTimestamp.Time) > kubeletTime:
			l.b.noteError("a pod that no kubelet ends", errors.New(p.Spec.NodeName))
			l.submit(j, name, func() { l.remove(j, p) })
		}
	}
}

// submit does something with a pod in the background, if there is a worker for it.
func (l *load) submit(j *job, pod string, do func()) {
	j.busy[pod] = true
	started := l.work.TryGo(func() error {
		do()
		time.Sleep(100 * time.Millisecond) // the watch shows it before it is done again
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(j.busy, pod)
		return nil
	})
	if !started {
		delete(j.busy, pod)
	}
}

// create creates a pod of a job. Another one of its name may still be there.
func (l *load) create(j *job, name string) {
	made, err := l.b.client.CoreV1().Pods(namespace).Create(background, j.pod(name), metav1.CreateOptions{})
	if err != nil {
		if !apierrors.IsAlreadyExists(err) {
			l.b.noteError("create a pod", err)
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods++
	if j.pods[name] == nil { // the watch may show it later than the job is looked at again
		j.pods[name] = made
	}
}

// remove deletes a pod of a job, and forgets one that is gone already.
func (l *load) remove(j *job, p *v1.Pod) {
	if l.b.deletePod(p) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := j.pods[p.Name]; known != nil && known.UID == p.UID {
		delete(j.pods, p.Name)
	}
}

// pod builds a pod of a job.
func (j *job) pod(name string) *v1.Pod {
	amounts := v1.ResourceList{
		gpu:            *resource.NewQuantity(int64(j.gpus), resource.DecimalSI),
		v1.ResourceCPU: *resource.NewQuantity(int64(4*j.gpus), resource.DecimalSI),
	}
	p := newPod(name, "muster", amounts)
	p.Labels["job"] = j.name
	p.Spec.Tolerations = []v1.Toleration{{Key: checker.DedicatedTaint, Operator: v1.TolerationOpExists}}
	p.Spec.PriorityClassName = j.priority
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: j.name, UID: types.UID(j.name), Controller: new(true)}}
	switch {
	case j.group:
		p.Labels["scheduling.x-k8s.io/pod-group"] = j.name
	case j.size > 1:
		p.Labels["muster.sh/gang"] = j.name
		p.Annotations["muster.sh/min-count"] = fmt.Sprint(j.minimum)
	}
	if j.rack {
		p.Annotations["muster.sh/topology-required"] = "rack"
	}
	return p
}

func newPod(name, scheduler string, amounts v1.ResourceList) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec: v1.PodSpec{
			SchedulerName:                 scheduler,
			TerminationGracePeriodSeconds: new(int64),
			Containers: []v1.Container{{
				Name: "main", Image: "none",
				Resources:    v1.ResourceRequirements{Requests: amounts, Limits: amounts},
				ResizePolicy: []v1.ContainerResizePolicy{{ResourceName: v1.ResourceCPU, RestartPolicy: v1.NotRequired}},
			}},
		},
	}
}

// drawAny draws a job that is not ending and suits, nil if there is none.
func (l *load) drawAny(random *rand.Rand, suits func(*job) bool) *job {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*job
	for _, name := range slices.Sorted(maps.Keys(l.jobs)) {
		if j := l.jobs[name]; !j.ending && !j.suspended && suits(j) {
			found = append(found, j)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[random.IntN(len(found))]
}

// livePods are the pods of a job, by name.
func (l *load) livePods(j *job) []*v1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(j.pods), func(a, b *v1.Pod) int { return cmp.Compare(a.Name, b.Name) })
}

// suspend deletes the pods of a job and keeps them away, or lets them come again.
func (l *load) suspend(j *job, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.suspended = yes
}

// endAll ends every job, and creates none.
func (l *load) endAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill = 0
	for _, j := range l.jobs {
		j.ending = true
	}
}

// settled reports whether nothing is under way: all pods of all jobs are there.
func (l *load) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.jobs {
		if len(j.busy) > 0 || j.ending || len(j.pods) != j.size {
			return false
		}
	}
	return true
}

// createGroup creates a PodGroup, and says of a rack what its pods say.
func (b *bench) createGroup(name string, minimum int, rack bool) {
	g := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"minMember": int64(minimum)},
	}}
	if rack {
		g.SetAnnotations(map[string]string{"muster.sh/topology-required": "rack"})
	}
	if _, err := b.groups.Create(background, g, metav1.CreateOptions{}); err != nil {
		b.noteError("create a group", err)
	}
}

func (b *bench) deleteGroup(name string) {
	if err := b.groups.Delete(background, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		b.noteError("delete a group", err)
	}
}

// deletePod deletes exactly this pod, and reports whether it was there.
func (b *bench) deletePod(p *v1.Pod) bool {
	b.checker.ExpectDeletion(p.UID)
	err := b.client.CoreV1().Pods(p.Namespace).Delete(background, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err)
	if err != nil && !gone {
		b.noteError("delete a pod", err)
	}
	return !gone
}

// noteError records an error of the bench itself, which must not go unseen.
func (b *bench) noteError(what string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := what + ": " + err.Error()
	if len(text) > 200 {
		text = text[:200]
	}
	b.errors[strings.TrimSpace(text)]++
}
