// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/test/process"
)

// wants is a gang that waits on two racks of three nodes in one block, each node
// with eight GPUs, until a change of the kind is made.
type wants struct {
	kind        explain.ChangeKind
	pods        int
	cpu         string
	annotations map[string]string
	selector    map[string]string
	// busy nodes are held by a pod outside gangs, bound ones by members.
	busy, bound, cordoned, tainted, a100 []int
}

var (
	rack = map[string]string{kube.AnnotationTopologyRequired: "rack"}
	h100 = map[string]string{kube.AnnotationGPUModels: "H100"}
	pair = map[string]string{kube.AnnotationSliceSize: "2", kube.AnnotationSliceTopology: "rack"}
	// roomy GPUs are none of those that the nodes have.
	roomy = map[string]string{kube.AnnotationGPUMemory: ">=100Gi"}
)

// TestLive_SchedulerTakesTheAdvice makes one proposed change of each kind, as a
// user would, and waits until the scheduler has started the gang.
func TestLive_SchedulerTakesTheAdvice(t *testing.T) {
	l := startLive(t)
	process.StartScheduler(t, "--kubeconfig="+l.KubeconfigPath(), "--leader-elect=false", "--secure-port=0")
	for _, w := range []wants{
		{kind: explain.ChangeNodes, pods: 3, annotations: rack, cordoned: []int{0}, busy: []int{3}},
		{kind: explain.ChangeTerminations, pods: 3, annotations: rack, busy: []int{0, 3}},
		{kind: explain.ChangeTolerations, pods: 6, tainted: []int{1}},
		{kind: explain.ChangeSelector, pods: 2, selector: map[string]string{v1.LabelHostname: "n0"}},
		{kind: explain.ChangeWiderLevel, pods: 4, annotations: rack},
		{kind: explain.ChangePreferredLevel, pods: 4, annotations: rack},
		{kind: explain.ChangeSlices, pods: 2, annotations: pair, busy: []int{0, 1, 3, 4}},
		{kind: explain.ChangeModels, pods: 3, annotations: h100, a100: []int{0, 1, 2, 3, 4}},
		{kind: explain.ChangeMemory, pods: 3, annotations: roomy},
		{kind: explain.ChangeFewerPods, pods: 4, annotations: rack},
		{kind: explain.ChangeSmallerRequest, pods: 3, cpu: "100", annotations: rack},
		{kind: explain.ChangeRestart, pods: 3, annotations: rack, bound: []int{0}, busy: []int{1}},
	} {
		t.Run(string(w.kind), func(t *testing.T) {
			l.set(t, w)
			t.Cleanup(func() { l.clear(t) })
			c := l.proposed(t, w.kind)
			l.take(t, w, c)
			require.Eventually(t, func() bool { return l.started(t) == c.Pods }, patience, pollPause,
				"after %q the scheduler starts another number of pods than %d", c.Text, c.Pods)
		})
	}
}

// set makes the nodes and pods.
func (l *live) set(t *testing.T, w wants) {
	t.Helper()
	var nodes []*v1.Node
	for i := range 6 {
		product := "NVIDIA-H100-80GB-HBM3"
		if slices.Contains(w.a100, i) {
			product = "NVIDIA-A100-SXM4-80GB"
		}
		node := sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 8},
			Labels: map[string]string{
				"cloud.provider.com/topology-block": "b0", "topology.kubernetes.io/rack": fmt.Sprintf("r%d", i/3), kube.LabelGPUProduct: product,
			},
		})
		node.Spec.Unschedulable = slices.Contains(w.cordoned, i)
		if slices.Contains(w.tainted, i) {
			node.Spec.Taints = []v1.Taint{{Key: "team", Value: "nlp", Effect: v1.TaintEffectNoSchedule}}
		}
		nodes = append(nodes, node)
	}
	require.NoError(t, l.CreateNodes(t.Context(), nodes))
	for _, i := range w.busy {
		l.create(t, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("busy-%d", i)}, Spec: v1.PodSpec{NodeName: fmt.Sprintf("n%d", i)}}, "1")
	}
	l.gang(t, w, w.bound, nil)
}

// gang creates the members, of which the first run on the bound nodes.
func (l *live) gang(t *testing.T, w wants, bound []int, edit func(*v1.Pod)) {
	t.Helper()
	for i := range w.pods {
		pod := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("train-%d", i), Labels: map[string]string{kube.LabelGang: "train"},
				Annotations: map[string]string{kube.AnnotationMinCount: fmt.Sprint(w.pods)},
			},
			Spec: v1.PodSpec{SchedulerName: "muster", NodeSelector: maps.Clone(w.selector)},
		}
		maps.Copy(pod.Annotations, w.annotations)
		if i < len(bound) {
			pod.Spec.NodeName = fmt.Sprintf("n%d", bound[i])
		}
		if edit != nil {
			edit(pod)
		}
		l.create(t, pod, cmp.Or(w.cpu, "1"))
	}
}

func (l *live) create(t *testing.T, pod *v1.Pod, cpu string) {
	t.Helper()
	pod.Spec.Containers = []v1.Container{{Name: "main", Image: "pause", Resources: v1.ResourceRequirements{
		Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}, Limits: v1.ResourceList{"nvidia.com/gpu": *quantity(8)},
	}}}
	_, err := l.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
}

var atOnce = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

// clear removes what set made.
func (l *live) clear(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	assert.NoError(t, l.Client().CoreV1().Pods("default").DeleteCollection(ctx, atOnce, metav1.ListOptions{}))
	assert.NoError(t, l.Client().CoreV1().Nodes().DeleteCollection(ctx, atOnce, metav1.ListOptions{}))
}

// proposed is the first change of a kind that explain proposes.
func (l *live) proposed(t *testing.T, kind explain.ChangeKind) explain.Change {
	t.Helper()
	status, e := l.explain(t, "train")
	require.Equal(t, 1, status, "%s: %s", e.Reason, e.Message)
	for _, c := range e.Changes {
		if c.Kind == kind {
			return c
		}
	}
	require.Fail(t, "no such change", "%s: %+v", e.Message, e.Changes)
	return explain.Change{}
}

// started counts the members with a node.
func (l *live) started(t *testing.T) (n int) {
	t.Helper()
	pods, err := l.Client().CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: kube.LabelGang + "=train"})
	require.NoError(t, err)
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			n++
		}
	}
	return n
}

// take makes a change. What stands on the pods is changed by creating them
// again, as a controller does after an edit of its template.
func (l *live) take(t *testing.T, w wants, c explain.Change) {
	t.Helper()
	pods := l.Client().CoreV1().Pods("default")
	switch c.Kind {
	case explain.ChangeNodes:
		for _, node := range c.Nodes {
			patchNode(t, l, node, `{"spec":{"unschedulable":false}}`)
		}
		return
	case explain.ChangeTerminations:
		for _, name := range c.Workloads {
			require.NoError(t, pods.Delete(t.Context(), strings.TrimPrefix(name, "pod default/"), atOnce))
		}
		return
	default:
	}
	key, value, _ := strings.Cut(c.Setting, ": ")
	value = strings.Trim(value, `"`)
	require.NoError(t, pods.DeleteCollection(t.Context(), atOnce, metav1.ListOptions{LabelSelector: kube.LabelGang + "=train"}))
	if c.Kind == explain.ChangeSmallerRequest {
		w.cpu = value
	}
	l.gang(t, w, nil, func(p *v1.Pod) {
		switch c.Kind {
		case explain.ChangeTolerations:
			p.Spec.Tolerations = []v1.Toleration{{Key: "team", Value: "nlp", Effect: v1.TaintEffectNoSchedule}}
		case explain.ChangeSelector:
			p.Spec.NodeSelector = nil
		case explain.ChangeWiderLevel, explain.ChangeModels, explain.ChangeFewerPods:
			p.Annotations[key] = value
		case explain.ChangePreferredLevel:
			delete(p.Annotations, kube.AnnotationTopologyRequired)
			p.Annotations[key], _, _ = strings.Cut(value, " ")
		case explain.ChangeSlices, explain.ChangeMemory:
			maps.DeleteFunc(p.Annotations, func(key, _ string) bool { return strings.Contains(c.Setting, key) })
		default:
		}
	})
}
