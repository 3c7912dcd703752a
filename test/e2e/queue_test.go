// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/test/process"
)

// promptly is how long a gang or pod may take that has room and its turn.
const promptly = 5 * time.Second

// tenant is the cluster as it is seen from another namespace. Namespaces sort
// by their suffix.
func (c *cluster) tenant(suffix string) *cluster {
	c.t.Helper()
	other := *c
	other.namespace = c.namespace + "-" + suffix
	_, err := c.client.CoreV1().Namespaces().Create(background, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other.namespace}}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	c.t.Cleanup(other.empty)
	return &other
}

// priorityClass makes a priority class.
func (c *cluster) priorityClass(name string, value int32, policy v1.PreemptionPolicy) {
	c.t.Helper()
	_, err := c.client.SchedulingV1().PriorityClasses().Create(background, &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, PreemptionPolicy: &policy,
	}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(c.t, err)
	}
}

// onNode binds a pod from the start to a node, past the scheduler.
func onNode(name string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.NodeName = name }
}

// ofOthers makes a pod one of another scheduler's.
func ofOthers(p *v1.Pod) { p.Spec.SchedulerName = "other" }

// slowly has a pod, once it is deleted, run on until it is removed by force.
func slowly(p *v1.Pod) {
	p.Annotations[sandbox.StopSecondsAnnotation] = "3600"
	p.Spec.TerminationGracePeriodSeconds = new(int64(3600))
}

// fill puts a pod that takes all GPUs on each node: holder-0 on the first.
func (c *cluster) fill(nodes []*v1.Node, more ...func(*v1.Pod)) {
	c.t.Helper()
	for i, n := range nodes {
		c.create(pod(fmt.Sprintf("holder-%d", i), 8, append([]func(*v1.Pod){ofOthers, onNode(n.Name)}, more...)...))
	}
	c.reachPhase("holder", len(nodes), v1.PodRunning)
}

// reachPhase waits until count pods whose names begin with something are in a
// phase.
func (c *cluster) reachPhase(prefix string, count int, phase v1.PodPhase) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		reached := 0
		for _, p := range c.pods(prefix + "-") {
			if p.Status.Phase == phase {
				reached++
			}
		}
		return reached == count
	}, patience, poll, "%d pods %s have to be %s", count, prefix, phase)
}

// stop deletes pods as a user does, with their grace period.
func (c *cluster) stop(names ...string) {
	c.t.Helper()
	for _, name := range names {
		require.NoError(c.t, c.client.CoreV1().Pods(c.namespace).Delete(background, name, metav1.DeleteOptions{}))
	}
}

// boundPromptly waits, not for long, until count pods of a gang have a node.
func (c *cluster) boundPromptly(gang string, count int) map[string]string {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return len(c.bound(gang)) == count }, promptly, poll,
		"%d pods of gang %s have room and have to be bound soon", count, gang)
	return c.bound(gang)
}

// awaitAnswer waits until each pod whose name begins with something has a node,
// or was told why it has none. It reports whether all of them have a node.
func (c *cluster) awaitAnswer(prefix string) (bound bool) {
	c.t.Helper()
	answered := func(p v1.Pod) bool {
		for _, condition := range p.Status.Conditions {
			if condition.Type == v1.PodScheduled {
				return condition.Status == v1.ConditionTrue || condition.Message != ""
			}
		}
		return false
	}
	require.Eventually(c.t, func() bool {
		pods := c.pods(prefix + "-")
		bound = len(pods) > 0
		for _, p := range pods {
			bound = bound && p.Spec.NodeName != ""
			if !answered(p) {
				return false
			}
		}
		return len(pods) > 0
	}, patience, poll, "the pods %s got no answer", prefix)
	return bound
}

// sentinels has the scheduler refuse gangs that no node can hold, one after the
// other. What it tries of its own accord shows beside them.
func (c *cluster) sentinels(name string, count int) {
	c.t.Helper()
	for i := range count {
		sentinel := fmt.Sprintf("%s%d", name, i)
		c.create(gangPods(sentinel, 1, "1", ask(gpu, 99))...)
		c.awaitReason(sentinel, kube.GangTooLarge)
	}
}

// attemptsOf counts what a scheduler has planned and refused for one gang.
func attemptsOf(scheduler *process.Process, c *cluster, gang string) (count int) {
	for line := range strings.Lines(scheduler.Log()) {
		tried := strings.Contains(line, `"Planned gang"`) || strings.Contains(line, `"Refused gang"`)
		if tried && strings.Contains(line, `gang="`+c.namespace+"/") && strings.Contains(line, gang+`"`) {
			count++
		}
	}
	return count
}

// claims has a pod mount a volume claim that does not exist.
func claims(p *v1.Pod) {
	p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{
		PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "absent"},
	}}}
}

// near wants a pod to be on the node of one with the label app.
func near(app string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{
			TopologyKey: v1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		}}}}
	}
}

// spreads spreads a pod over the values of a label that no node has.
func spreads(p *v1.Pod) {
	p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: "example.com/cage", WhenUnsatisfiable: v1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "absent"}},
	}}
}

// takesPort has a pod take a port of its node.
func takesPort(p *v1.Pod) {
	p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 4711, HostPort: 4711}}
}

// TestQueue_ABadGangDoesNotHoldUpItsLike has gangs that can never start, for
// something that no plan knows, wait before a sound one that asks for the same.
func TestQueue_ABadGangDoesNotHoldUpItsLike(t *testing.T) {
	for _, test := range []struct {
		name string
		bad  func(*v1.Pod)
	}{
		{"its volume claim does not exist", claims},
		{"no pod is there that it has to be near", near("absent")},
		{"no node has the label over which it spreads", spreads},
		{"its host port is taken on every node", takesPort},
	} {
		t.Run(test.name, func(t *testing.T) {
			nodes := racks(4, 4)
			c := newCluster(t, nodes...)
			c.fill(nodes)
			for i, n := range nodes {
				c.create(pod(fmt.Sprintf("proxy-%d", i), 0, ofOthers, onNode(n.Name), takesPort))
			}
			first, second := c.tenant("a"), c.tenant("b")
			for _, gang := range []string{"x0", "x1"} {
				first.create(gangPods(gang, 2, "2", test.bad)...)
				first.awaitReason(gang, kube.NoFittingDomain)
			}
			second.create(gangPods("y", 2, "2")...)
			second.awaitReason("y", kube.NoFittingDomain)

			c.remove("holder-0", "holder-1")
			second.boundPromptly("y", 2)
			assert.Empty(t, first.bound("x"), "nothing that it lacks has come")
		})
	}
}

// TestQueue_AGangThatMayNotPreemptDoesNotHoldUpOneThatMay opens nodes on which
// only a gang that preempts finds room, while one that never does is ahead.
func TestQueue_AGangThatMayNotPreemptDoesNotHoldUpOneThatMay(t *testing.T) {
	nodes := racks(4, 4)
	nodes[2].Spec.Unschedulable, nodes[3].Spec.Unschedulable = true, true
	c := newCluster(t, nodes...)
	c.classes()
	c.priorityClass("high-never", 1000, v1.PreemptNever)
	c.fill(nodes[:2], priority("high"))
	for i, n := range nodes[2:] {
		c.create(pod(fmt.Sprintf("victim-%d", i), 8, onNode(n.Name), priority("low")))
	}
	c.reachPhase("victim", 2, v1.PodRunning)
	first, second := c.tenant("a"), c.tenant("b")
	first.create(gangPods("x", 2, "2", priority("high-never"))...)
	first.awaitReason("x", kube.NoFittingDomain)
	second.create(gangPods("y", 2, "2", priority("high"))...)
	second.awaitReason("y", kube.NoFittingDomain)

	c.cordon(nodes[2].Name, false)
	c.cordon(nodes[3].Name, false)
	second.boundPromptly("y", 2)
	assert.Empty(t, first.bound("x"))
}

// TestQueue_GangsThatFailAfterThePlanAreTriedAtIntervals has gangs whose plans
// other plugins refuse stand beside free room. They cost little, and start
// when what they lack comes.
func TestQueue_GangsThatFailAfterThePlanAreTriedAtIntervals(t *testing.T) {
	c, scheduler := newWatchedCluster(t, racks(4, 4)...)
	for _, gang := range []string{"x0", "x1"} {
		c.create(gangPods(gang, 1, "1", near(gang), ask(gpu, 1))...)
		require.False(t, c.awaitAnswer(gang))
	}
	c.create(gangPods("y", 1, "1", ask(gpu, 1))...)
	c.boundPromptly("y", 1)

	tried := map[string]int{"x0": attemptsOf(scheduler, c, "x0"), "x1": attemptsOf(scheduler, c, "x1")}
	c.sentinels("sentinel", 10)
	for gang, before := range tried {
		require.NotZero(t, before, "no attempt at %s is in the log", gang)
		assert.LessOrEqual(t, attemptsOf(scheduler, c, gang)-before, 3, "attempts at %s while nothing changed", gang)
	}

	c.create(pod("leader-0", 1, label("app", "x1")))
	require.Eventually(t, func() bool { return len(c.bound("x1")) == 1 }, 3*promptly, poll, "it is tried again within a while")
	assert.Empty(t, c.bound("x0"))
}

// newWatchedCluster is newCluster with the scheduler's process, for its log.
func newWatchedCluster(t *testing.T, nodes ...*v1.Node) (*cluster, *process.Process) {
	t.Helper()
	c := on(t, takeStock(t), nodes...)
	return c, startQuickScheduler(t, c.box)
}

// TestQueue_AMemberThatIsEndingCostsNoAttempts deletes a waiting member that a
// finalizer keeps: the gang is short of one, and stays so until something
// changes.
func TestQueue_AMemberThatIsEndingCostsNoAttempts(t *testing.T) {
	held := func(p *v1.Pod) { p.Finalizers = []string{"example.com/accounting"} }
	nodes := racks(4, 4)
	c, scheduler := newWatchedCluster(t, nodes...)
	c.fill(nodes)
	pods := gangPods("train", 4, "4", held)
	c.create(pods...)
	c.awaitReason("train", kube.NoFittingDomain)
	t.Cleanup(func() { c.letGo(names(pods)) })

	c.stop("train-3")
	c.sentinels("known", 1)
	before := attemptsOf(scheduler, c, "train")
	require.NotZero(t, before, "no attempt at it is in the log")
	c.sentinels("sentinel", 10)
	assert.LessOrEqual(t, attemptsOf(scheduler, c, "train")-before, 3, "attempts while nothing changed")

	c.letGo([]string{"train-3"})
	c.remove("holder-0", "holder-1", "holder-2", "holder-3")
	c.create(gangPods("train", 4, "4", held)[3])
	c.boundPromptly("train", 4)
}

// letGo takes the finalizers off pods.
func (c *cluster) letGo(names []string) {
	c.t.Helper()
	for _, name := range names {
		_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			require.NoError(c.t, err)
		}
	}
}
