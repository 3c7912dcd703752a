// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const (
	gpu = "nvidia.com/gpu"
	// patience is how long a test waits for what must come.
	patience = 60 * time.Second
	poll     = 20 * time.Millisecond
)

// apiServer names a kube-apiserver of another release, for the tests to run
// against; see test/apiservers/run.
const apiServer = "MUSTER_TEST_APISERVER"

// controlPlanes is how many tests run at the same time, each with a control
// plane and a scheduler of its own. Most of what they do is to wait, so that
// there are more of them than processors.
const controlPlanes = 4

// stock are the control planes with every feature gate at its default that tests
// have started and given back.
var stock struct {
	sync.Mutex
	idle []*sandbox.Sandbox
}

// takeStock gives the test, which runs in parallel with others, a control plane
// for itself until it ends.
func takeStock(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	t.Parallel()
	box := takeIdle()
	if box == nil {
		var err error
		box, err = startControlPlane(sandbox.Options{PodGroupCRD: true, DisableControllers: true, APIServer: os.Getenv(apiServer)})
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() { // anything may be left on it
			box.Stop()
			return
		}
		stock.Lock()
		defer stock.Unlock()
		stock.idle = append(stock.idle, box)
	})
	return box
}

// takeIdle returns a control plane that no test has at present, nil if there is
// none.
func takeIdle() *sandbox.Sandbox {
	stock.Lock()
	defer stock.Unlock()
	if len(stock.idle) == 0 {
		return nil
	}
	last := len(stock.idle) - 1
	box := stock.idle[last]
	stock.idle = stock.idle[:last]
	return box
}

// stopStock stops the control planes that tests have started.
func stopStock() {
	for box := takeIdle(); box != nil; box = takeIdle() {
		box.Stop()
	}
}

// starting is held while a control plane starts: feature gates and flags are
// those of the process.
var starting sync.Mutex

func startControlPlane(opts sandbox.Options) (*sandbox.Sandbox, error) {
	starting.Lock()
	defer starting.Unlock()
	return sandbox.Start(background, opts)
}

// cluster is a control plane with the nodes and the namespace of one test.
type cluster struct {
	t         *testing.T
	box       *sandbox.Sandbox
	client    kubernetes.Interface
	namespace string
	// turns counts the sentinels; see passTurn.
	turns int
}

// newCluster gives the test, which runs in parallel with others, a control plane
// with the given nodes, and a scheduler.
func newCluster(t *testing.T, nodes ...*v1.Node) *cluster {
	t.Helper()
	c := on(t, takeStock(t), nodes...)
	startQuickScheduler(t, c.box)
	return c
}

// newDRACluster gives the test, which runs in parallel with others, a control
// plane of its own whose nodes have their GPUs by DRA, and a scheduler.
func newDRACluster(t *testing.T, mode sandbox.DRAMode, nodes ...*v1.Node) *cluster {
	t.Helper()
	t.Parallel()
	c := on(t, startSandbox(t, sandbox.Options{PodGroupCRD: true}))
	require.NoError(t, c.box.CreateDRANodes(background, nodes, mode))
	startQuickScheduler(t, c.box)
	return c
}

// on gives the test the nodes and a namespace on a control plane.
func on(t *testing.T, box *sandbox.Sandbox, nodes ...*v1.Node) *cluster {
	t.Helper()
	c := &cluster{t: t, box: box, client: box.Client()}
	ns, err := c.client.CoreV1().Namespaces().Create(background, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	c.namespace = ns.Name
	require.NoError(t, box.CreateNodes(background, nodes))
	t.Cleanup(c.clean)
	return c
}

// clean removes the workloads, pods and nodes, so that the next test starts on
// nothing.
func (c *cluster) clean() {
	defer func() {
		assert.NoError(c.t, c.client.CoreV1().Nodes().DeleteCollection(background, atOnce, metav1.ListOptions{}))
	}()
	withPods := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}
	assert.NoError(c.t, c.client.BatchV1().Jobs(c.namespace).DeleteCollection(background, withPods, metav1.ListOptions{}))
	assert.NoError(c.t, c.client.AppsV1().StatefulSets(c.namespace).DeleteCollection(background, withPods, metav1.ListOptions{}))
	c.empty()
}

var atOnce = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

// removeAll deletes every pod of the test.
func (c *cluster) removeAll() {
	c.t.Helper()
	assert.NoError(c.t, c.client.CoreV1().Pods(c.namespace).DeleteCollection(background, atOnce, metav1.ListOptions{}))
}

// empty deletes every pod of the test and waits until they are gone.
func (c *cluster) empty() {
	c.t.Helper()
	c.removeAll()
	require.Eventually(c.t, func() bool { return len(c.pods("")) == 0 }, 3*patience, poll, "pods are left")
}

// racks builds count nodes of eight GPUs each, size of them to a rack.
func racks(count, size int) []*v1.Node {
	nodes := make([]*v1.Node, count)
	for i := range nodes {
		nodes[i] = node(fmt.Sprintf("n%d", i), map[string]string{"topology.kubernetes.io/rack": fmt.Sprintf("rack-%d", i/size)}, 8)
	}
	return nodes
}

func node(name string, labels map[string]string, gpus int64) *v1.Node {
	return sandbox.NewNode(name, sandbox.NodeShape{Labels: labels, Extended: map[string]int64{gpu: gpus}})
}

// gangPods builds the pods of a gang that is declared by label; min is the text
// of min-count.
func gangPods(name string, count int, min string, more ...func(*v1.Pod)) []*v1.Pod {
	pods := make([]*v1.Pod, count)
	for i := range pods {
		pods[i] = pod(fmt.Sprintf("%s-%d", name, i), 8, append([]func(*v1.Pod){
			label(kube.LabelGang, name), annotation(kube.AnnotationMinCount, min),
		}, more...)...)
	}
	return pods
}

// pod builds a pod for Muster.
func pod(name string, gpus int64, more ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec: v1.PodSpec{
			SchedulerName:                 "muster",
			TerminationGracePeriodSeconds: new(int64),
			Containers:                    []v1.Container{{Name: "main", Image: "none"}},
		},
	}
	ask(v1.ResourceName(gpu), gpus)(p)
	for _, change := range more {
		change(p)
	}
	return p
}

func label(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Labels[key] = value }
}

func annotation(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Annotations[key] = value }
}

func ask(name v1.ResourceName, count int64) func(*v1.Pod) {
	return func(p *v1.Pod) {
		amounts := v1.ResourceList{}
		if count > 0 {
			amounts[name] = *resource.NewQuantity(count, resource.DecimalSI)
		}
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: amounts, Limits: amounts}
	}
}

// create creates pods, several at a time.
func (c *cluster) create(pods ...*v1.Pod) {
	c.t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for _, p := range pods {
		group.Go(func() error {
			_, err := c.client.CoreV1().Pods(c.namespace).Create(background, p, metav1.CreateOptions{})
			return err
		})
	}
	require.NoError(c.t, group.Wait())
}

// remove deletes pods and waits until they are gone.
func (c *cluster) remove(names ...string) {
	c.t.Helper()
	for _, name := range names {
		err := c.client.CoreV1().Pods(c.namespace).Delete(background, name, atOnce)
		if !apierrors.IsNotFound(err) {
			require.NoError(c.t, err)
		}
	}
}

// pods lists the pods whose name begins with a prefix.
func (c *cluster) pods(prefix string) []v1.Pod {
	list, err := c.client.CoreV1().Pods(c.namespace).List(background, metav1.ListOptions{})
	if !assert.NoError(c.t, err) {
		return nil
	}
	var pods []v1.Pod
	for _, p := range list.Items {
		if strings.HasPrefix(p.Name, prefix) {
			pods = append(pods, p)
		}
	}
	return pods
}

// bound maps the pods of a gang that have a node to it.
func (c *cluster) bound(gang string) map[string]string {
	nodes := map[string]string{}
	for _, p := range c.pods(gang + "-") {
		if p.Spec.NodeName != "" {
			nodes[p.Name] = p.Spec.NodeName
		}
	}
	return nodes
}

// awaitBound waits until exactly count pods of a gang have a node.
func (c *cluster) awaitBound(gang string, count int) map[string]string {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return len(c.bound(gang)) == count }, patience, poll,
		"%d pods of gang %s have to be bound", count, gang)
	return c.bound(gang)
}

// awaitReason waits until every pod of a gang says why it waits: the message of
// its PodScheduled condition begins with the reason.
func (c *cluster) awaitReason(gang string, reason kube.Reason, parts ...string) {
	c.t.Helper()
	c.awaitPending(gang+"-", reason, parts...)
}

// awaitPending is awaitReason for the pods whose names begin with something.
func (c *cluster) awaitPending(prefix string, reason kube.Reason, parts ...string) {
	c.t.Helper()
	silent := func(p v1.Pod) bool { return !says(&p, reason, parts) }
	ok := assert.Eventually(c.t, func() bool {
		pods := c.pods(prefix)
		return len(pods) > 0 && !slices.ContainsFunc(pods, silent)
	}, patience, poll, "the pods %s have to say %s %q", prefix, reason, parts)
	if !ok {
		for _, p := range c.pods(prefix) {
			c.t.Logf("pod %s on %q: %v", p.Name, p.Spec.NodeName, p.Status.Conditions)
		}
		c.t.FailNow()
	}
}

// says reports whether a pod gives the reason for which it waits, in these words.
func says(p *v1.Pod, reason kube.Reason, parts []string) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == v1.PodScheduled && strings.HasPrefix(condition.Message, string(reason)+": ") {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(condition.Message, part) })
		}
	}
	return false
}

// events lists the notes of the events of a reason, each as often as it was
// counted.
func (c *cluster) events(reason string) []string {
	list, err := c.client.EventsV1().Events(c.namespace).List(background, metav1.ListOptions{})
	if !assert.NoError(c.t, err) {
		return nil
	}
	var notes []string
	for _, e := range list.Items {
		if e.Reason != reason || strings.HasPrefix(e.Regarding.Name, sentinel) {
			continue
		}
		times := 1
		if e.Series != nil {
			times = int(e.Series.Count)
		}
		for range times {
			notes = append(notes, e.Note)
		}
	}
	return notes
}

// domains is the set of values that a label has on the nodes of a gang.
func (c *cluster) domains(bound map[string]string, key string) map[string]int {
	list, err := c.client.CoreV1().Nodes().List(background, metav1.ListOptions{})
	require.NoError(c.t, err)
	labels := map[string]string{}
	for _, n := range list.Items {
		labels[n.Name] = n.Labels[key]
	}
	count := map[string]int{}
	for node := range maps.Values(bound) {
		count[labels[node]]++
	}
	return count
}
