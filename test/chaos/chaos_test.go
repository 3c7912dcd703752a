// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/test/chaos/checker"
)

// bench is a control plane with nodes, two replicas behind proxies, a load, and the
// checker.
type bench struct {
	t        *testing.T
	seed     uint64
	config   *rest.Config
	client   kubernetes.Interface
	groups   dynamic.ResourceInterface
	checker  *checker.Checker
	load     *load
	replicas []*replica
	setup
	// rule is by which a mutant is to be found.
	rule   checker.Rule
	began  time.Time
	rivals int
	// start and end are the leader's memory before the load and after the drain.
	start, end memory

	mu     sync.Mutex
	faults map[string]int // that were made, by kind
	errors map[string]int // of the bench itself
	// phases are what the statuses of groups say, by namespace/name.
	phases map[string]string
}

// setup is what differs between benches.
type setup struct {
	// binary is the scheduler to run, "" for the one in this test binary; mutant is
	// the change that it is to be run with.
	binary, mutant string
	// qps is how many requests a second a replica may send, and tainted says that
	// nodes keep off pods of other schedulers.
	qps     int
	tainted bool
}

// TestChaos runs the bench with each seed that is kept, or with the one of -seed. A long
// run has a seed of its own.
func TestChaos(t *testing.T) {
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := newBench(t, seed, setup{})
			b.runAll()
			b.report()
		})
	}
}

// seeds are those to run.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	if *length > 2*time.Minute {
		return []uint64{uint64(time.Now().Unix())}
	}
	var list []uint64
	files, err := filepath.Glob("testdata/seeds/[0-9]*")
	require.NoError(t, err)
	for _, file := range files {
		seed, err := strconv.ParseUint(filepath.Base(file), 10, 64)
		require.NoError(t, err, file)
		list = append(list, seed)
	}
	require.NotEmpty(t, list)
	return list
}

// slackened is a time that holds without faults, on this machine.
func slackened(d time.Duration) time.Duration { return time.Duration(float64(d) * *slack) }

// limits are the times that the checker allows.
func limits() checker.Limits {
	return checker.Limits{
		Partial: map[checker.Class]time.Duration{checker.Healthy: slackened(2 * time.Second), checker.Disturbed: 30 * time.Second, checker.Crash: 60 * time.Second},
		Repair:  60 * time.Second, PartialInAll: 5 * time.Minute,
		Tail:     10 * time.Second,
		Stale:    map[checker.Class]time.Duration{checker.Healthy: 5 * time.Second, checker.Disturbed: time.Minute, checker.Crash: time.Minute},
		Handover: time.Second,
	}
}

// newBench starts everything but the load.
func newBench(t *testing.T, seed uint64, s setup) *bench {
	t.Helper()
	box, err := sandbox.Start(background, sandbox.Options{PodGroupCRD: true, DisableControllers: true})
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	config := rest.CopyConfig(box.Config())
	config.QPS = -1
	b := &bench{
		t: t, seed: seed, config: box.Config(), checker: checker.New("muster", limits()), setup: s, began: time.Now(),
		faults: map[string]int{}, errors: map[string]int{}, phases: map[string]string{},
	}
	b.qps = cmp.Or(b.qps, 150)
	b.client, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	objects, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	b.groups = objects.Resource(schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}).Namespace(namespace)
	b.load = newLoad(b, seed)
	b.createPriorities()
	ctx, cancel := context.WithCancel(background)
	t.Cleanup(cancel)
	b.watchAll(ctx)
	nodes := make([]*v1.Node, nodeCount)
	for i := range nodes {
		nodes[i] = newNode(i)
		if b.tainted {
			nodes[i].Spec.Taints = []v1.Taint{{Key: checker.DedicatedTaint, Effect: v1.TaintEffectNoSchedule}}
		}
	}
	b.createNodes(nodes)
	for i := range 2 {
		b.replicas = append(b.replicas, startReplica(t, b, fmt.Sprintf("replica%d", i), seed+uint64(i)))
	}
	if leads := b.awaitLeader(2 * time.Minute); b.mutant == "" {
		require.True(t, leads, "a replica leads")
	}
	return b
}

func (b *bench) createPriorities() {
	for name, value := range map[string]int32{"chaos-low": 10, "chaos-mid": 100, "chaos-high": 1000} {
		_, err := b.client.SchedulingV1().PriorityClasses().Create(background, &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value,
		}, metav1.CreateOptions{})
		require.NoError(b.t, err)
	}
	require.Eventually(b.t, func() bool { // the API server's admission sees them a moment later
		p := newPod("probe", "none", nil)
		p.Spec.PriorityClassName = "chaos-high"
		_, err := b.client.CoreV1().Pods(namespace).Create(background, p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil
	}, time.Minute, 50*time.Millisecond)
}

func (b *bench) createNodes(nodes []*v1.Node) {
	for _, node := range nodes {
		if _, err := b.client.CoreV1().Nodes().Create(background, node, metav1.CreateOptions{}); err != nil {
			b.noteError("create a node", err)
		}
	}
}

// runAll runs load and faults for the length of the bench, checks that all settles when
// they end, and that nothing is left when all is gone.
func (b *bench) runAll() {
	done := b.startClock()
	b.start = b.measure()
	b.load.setFill(0.85)
	half := *length / 2
	b.makeFaults(b.seed, time.Now().Add(half))
	b.settle()
	b.load.setFill(0.98)
	b.makeFaults(b.seed+1, time.Now().Add(*length-half))
	b.settle()
	if b.isCaught() {
		close(done)
		return
	}
	b.drain()
	b.end = b.checkBounds(b.start)
	if *length >= 10*time.Minute {
		b.soak()
	}
	close(done)
}

// startClock runs the load, and has the checker look at what depends on time, until the
// channel is closed that it returns.
func (b *bench) startClock() chan struct{} {
	done := make(chan struct{})
	go b.load.run(done)
	go func() {
		for {
			select {
			case now := <-time.After(500 * time.Millisecond):
				b.checker.Tick(now)
			case <-done:
				return
			}
		}
	}()
	return done
}

const (
	// settleTime is when all that fits must be bound, without faults: it may fit for 10
	// seconds, and have 10 more.
	settleTime = 20 * time.Second
	// settleLimit is when the bench gives up on it.
	settleLimit = 5 * time.Minute
)

// settle lets the load stand still, and checks that everything that fits is bound, and
// that each pod says what is.
func (b *bench) settle() {
	b.load.setFill(0)
	b.history("the faults are over")
	b.awaitLeader(time.Minute)
	began, since := time.Now(), map[string]time.Time{}
	quiet := time.Time{}
	for now := time.Now(); now.Sub(began) < settleLimit; now = time.Now() {
		fitting := b.checker.Fitting()
		b.trackFitting(now, since, fitting)
		if len(fitting) > 0 || !b.load.settled() {
			quiet = now
		}
		if now.Sub(quiet) > 3*time.Second && !quiet.IsZero() || b.isCaught() {
			break
		}
		if quiet.IsZero() {
			quiet = now
		}
		time.Sleep(250 * time.Millisecond)
	}
	b.history("settled after %s", time.Since(began).Round(time.Millisecond))
	if b.isCaught() {
		return
	}
	if !b.load.settled() {
		b.checker.Violate(time.Now(), checker.NothingLost, "the load does not settle within %s", settleLimit)
	}
	b.checkStatuses()
	b.comparePods()
}

// trackFitting records what waits for longer than it may although it fits.
func (b *bench) trackFitting(now time.Time, since map[string]time.Time, fitting []string) {
	b.checker.CountCheck()
	is := map[string]bool{}
	for _, name := range fitting {
		is[name] = true
		first, known := since[name]
		switch {
		case !known:
			since[name] = now
		case !first.IsZero() && now.Sub(first) > slackened(settleTime):
			b.checker.Violate(now, checker.Progress, "%s waits for %s although it fits: %s", name, slackened(settleTime), b.explain(name))
			since[name] = time.Time{} // once is enough
		}
	}
	for name := range since {
		if !is[name] {
			delete(since, name)
		}
	}
}

// explain returns what the pods of something that waits say.
func (b *bench) explain(name string) string {
	_, name, _ = strings.Cut(name, "/")
	list, err := b.client.CoreV1().Pods(namespace).List(background, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	for i := range list.Items {
		p := &list.Items[i]
		if p.Name != name && p.Labels["job"] != name || p.Spec.NodeName != "" {
			continue
		}
		for _, condition := range p.Status.Conditions {
			if condition.Type == v1.PodScheduled {
				return fmt.Sprintf("%s of priority %s: %s", p.Name, p.Spec.PriorityClassName, condition.Message)
			}
		}
		return p.Name + " says nothing"
	}
	return "it is gone"
}

// statusTime is how long a status may take to be true, once nothing changes: the numbers
// of a refusal are written each 10 seconds.
const statusTime = 40 * time.Second

// checkStatuses checks what pods and groups say once nothing changes.
func (b *bench) checkStatuses() {
	var wrong []string
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		wrong = append(b.checker.CheckStatus(time.Now()), b.wrongPhases()...)
		if len(wrong) == 0 || time.Since(began) > statusTime {
			break
		}
	}
	for _, what := range wrong {
		b.checker.Violate(time.Now(), checker.TruthfulStatus, "%s", what)
	}
}

// noteGroupStatus follows what the status of a group says.
func (b *bench) noteGroupStatus(name string, kind watch.EventType, g *unstructured.Unstructured) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.phases, name)
	if phase, _, _ := unstructured.NestedString(g.Object, "status", "phase"); kind != watch.Deleted {
		minimum, _, _ := unstructured.NestedInt64(g.Object, "spec", "minMember")
		b.phases[name] = fmt.Sprintf("%s/%d", phase, minimum)
	}
}

// wrongPhases lists groups that say they run with fewer pods than they need.
func (b *bench) wrongPhases() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var wrong []string
	for name, text := range b.phases {
		phase, minimum, _ := strings.Cut(text, "/")
		need, _ := strconv.Atoi(minimum)
		b.checker.CountCheck()
		if bound := b.checker.BoundIn(name); (phase == "Running" || phase == "Scheduled") && bound < need {
			wrong = append(wrong, fmt.Sprintf("group %s says %s with %d of %d pods bound", name, phase, bound, need))
		}
	}
	return wrong
}

// comparePods compares what the checker has seen with a list of the API server, so that
// an event that was lost cannot hide anything.
func (b *bench) comparePods() {
	var differ string
	for range 20 {
		list, err := b.client.CoreV1().Pods(v1.NamespaceAll).List(background, metav1.ListOptions{})
		if err == nil {
			differ = b.checker.Compare(list.Items)
		}
		if err == nil && differ == "" {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	assert.Fail(b.t, "the checker lost an event", differ)
}

// drain ends all jobs and waits until they are gone.
func (b *bench) drain() {
	b.load.endAll()
	gone := assert.Eventually(b.t, func() bool {
		_, left := b.checker.Waiting()
		return left == 0
	}, 3*time.Minute, 100*time.Millisecond, "pods are left")
	b.history("drained")
	if gone {
		b.checker.CountCheck()
		r := b.checker.Report()
		if r.Created != r.Deleted {
			b.checker.Violate(time.Now(), checker.NothingLost, "%d pods were created and %d are gone", r.Created, r.Deleted)
		}
	}
}

// countFault records a fault that was made.
func (b *bench) countFault(kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[kind]++
}

// history writes a line to the history of the run.
func (b *bench) history(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	file, err := os.OpenFile(filepath.Join(b.t.ArtifactDir(), "history.txt"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	fmt.Fprintf(file, "%8.3f %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
