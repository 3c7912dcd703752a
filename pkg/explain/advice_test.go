// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// world is a cluster as its objects.
type world struct {
	nodes []*v1.Node
	pods  []*v1.Pod
}

var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func (w *world) picture(t *testing.T) *explain.ClusterView {
	t.Helper()
	p, err := explain.NewClusterView(explain.Config{}, w.nodes, w.pods, store.Objects{Pods: w.pods}.Gangs())
	require.NoError(t, err)
	return p
}

func (w *world) explain(t *testing.T, name string) *explain.Explanation {
	t.Helper()
	p := w.picture(t)
	found := p.FindGangs("default", name)
	require.Len(t, found, 1)
	e, err := p.Explain(found[0], now)
	require.NoError(t, err)
	return e
}

func (w *world) clone() *world {
	out := &world{}
	for _, n := range w.nodes {
		out.nodes = append(out.nodes, n.DeepCopy())
	}
	for _, p := range w.pods {
		out.pods = append(out.pods, p.DeepCopy())
	}
	return out
}

func (w *world) node(name, block, rack string) *v1.Node {
	n := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1.LabelHostname: name, "topology.kubernetes.io/rack": rack, "cloud.provider.com/topology-block": block,
		}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse("64"), v1.ResourceMemory: resource.MustParse("512Gi"),
			v1.ResourcePods: resource.MustParse("110"), "nvidia.com/gpu": resource.MustParse("8"),
		}},
	}
	w.nodes = append(w.nodes, n)
	return n
}

// gang adds pods of one gang, bound to the nodes given and waiting beyond them.
func (w *world) gang(name string, count int, gpus string, annotations map[string]string, nodes ...string) []*v1.Pod {
	var all []*v1.Pod
	for i := range count {
		pod := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-%d", name, i), Namespace: "default", UID: types.UID(fmt.Sprintf("%s-%d", name, i)), Generation: 1,
				Labels: map[string]string{kube.LabelGang: name}, Annotations: map[string]string{kube.AnnotationMinCount: fmt.Sprint(count)},
			},
			Spec: v1.PodSpec{SchedulerName: "muster", Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
				v1.ResourceCPU: resource.MustParse("4"), "nvidia.com/gpu": resource.MustParse(gpus),
			}}}}},
			Status: v1.PodStatus{Phase: v1.PodPending},
		}
		maps.Copy(pod.Annotations, annotations)
		if i < len(nodes) {
			pod.Spec.NodeName, pod.Status.Phase = nodes[i], v1.PodRunning
		}
		all = append(all, pod)
	}
	w.pods = append(w.pods, all...)
	return all
}

// apply makes a change to the objects, as a user would who reads no more than
// the proposal.
func (w *world) apply(t *testing.T, gang string, c explain.Change) {
	t.Helper()
	setting := func(key string) string {
		_, value, ok := strings.Cut(c.Setting, key+": ")
		require.True(t, ok, "%q does not set %s", c.Setting, key)
		return strings.Trim(strings.Fields(value)[0], `"`)
	}
	members := func(edit func(*v1.Pod)) {
		for _, p := range w.pods {
			if p.Labels[kube.LabelGang] == gang {
				edit(p)
			}
		}
	}
	if c.Role != "" {
		members(func(p *v1.Pod) {
			p.Annotations[kube.AnnotationRoles] = changedRole(t, p.Annotations[kube.AnnotationRoles], c)
		})
		return
	}
	switch c.Kind {
	case explain.ChangeNodes:
		for _, n := range w.nodes {
			if slices.Contains(c.Nodes, n.Name) {
				n.Spec.Unschedulable = false
				n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t v1.Taint) bool { return t.Key == v1.TaintNodeNotReady })
			}
		}
	case explain.ChangeTerminations:
		w.pods = slices.DeleteFunc(w.pods, func(p *v1.Pod) bool { return p.Spec.NodeName != "" && slices.Contains(c.Workloads, workload(p)) })
	case explain.ChangeTolerations:
		for _, word := range strings.FieldsFunc(c.Text, func(r rune) bool { return r == ' ' || r == ',' }) {
			what, effect, ok := strings.Cut(word, ":")
			key, value, _ := strings.Cut(what, "=")
			if ok {
				members(func(p *v1.Pod) {
					p.Spec.Tolerations = append(p.Spec.Tolerations, v1.Toleration{Key: key, Value: value, Effect: v1.TaintEffect(effect)})
				})
			}
		}
	case explain.ChangeSelector:
		members(func(p *v1.Pod) { p.Spec.NodeSelector = nil })
	case explain.ChangeWiderLevel:
		members(func(p *v1.Pod) {
			p.Annotations[kube.AnnotationTopologyRequired] = setting(kube.AnnotationTopologyRequired)
		})
	case explain.ChangePreferredLevel:
		members(func(p *v1.Pod) {
			delete(p.Annotations, kube.AnnotationTopologyRequired)
			p.Annotations[kube.AnnotationTopologyPreferred] = setting(kube.AnnotationTopologyPreferred)
		})
	case explain.ChangeSlices:
		members(func(p *v1.Pod) {
			delete(p.Annotations, kube.AnnotationSliceSize)
			delete(p.Annotations, kube.AnnotationSliceTopology)
		})
	case explain.ChangeModels:
		members(func(p *v1.Pod) { p.Annotations[kube.AnnotationGPUModels] = setting(kube.AnnotationGPUModels) })
	case explain.ChangeMemory:
		members(func(p *v1.Pod) { delete(p.Annotations, kube.AnnotationGPUMemory) })
	case explain.ChangeFewerPods:
		members(func(p *v1.Pod) { p.Annotations[kube.AnnotationMinCount] = setting(kube.AnnotationMinCount) })
	case explain.ChangeSmallerRequest:
		members(func(p *v1.Pod) {
			p.Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = resource.MustParse(setting("resources.requests.cpu"))
		})
	case explain.ChangeRestart:
		members(func(p *v1.Pod) { p.Spec.NodeName = "" })
	default:
		t.Fatalf("kind %q is not known to the test", c.Kind)
	}
}

// changedRole makes a change to one of the roles in an annotation.
func changedRole(t *testing.T, text string, c explain.Change) string {
	t.Helper()
	roles, err := kube.ParseRoles(text)
	require.NoError(t, err)
	for i := range roles {
		r := &roles[i]
		if r.Name != c.Role {
			continue
		}
		switch c.Kind {
		case explain.ChangeWiderLevel:
			_, value, ok := strings.Cut(c.Setting, `"topologyRequired": `)
			require.True(t, ok, c.Setting)
			r.Required = strings.Trim(value, `"`)
		case explain.ChangePreferredLevel:
			r.Required, r.Preferred = "", r.Required
		case explain.ChangeSlices:
			r.SliceSize, r.SliceTopology = 0, ""
		default:
			t.Fatalf("kind %q of a role is not known to the test", c.Kind)
		}
	}
	return kube.FormatRoles(roles)
}

func workload(p *v1.Pod) string {
	if g := p.Labels[kube.LabelGang]; g != "" {
		return "gang " + p.Namespace + "/" + g
	}
	return "pod " + p.Namespace + "/" + p.Name
}

// randomWorld is a cluster of two blocks in some disorder, on which a gang
// called train waits.
func randomWorld(r *rand.Rand) *world {
	w := &world{}
	yes := func(percent int) bool { return r.IntN(100) < percent }
	products := []string{"NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-40GB"}
	for b := range 2 {
		for rack := range 3 {
			for n := range 3 {
				node := w.node(fmt.Sprintf("n%d%d%d", b, rack, n), fmt.Sprintf("b%d", b), fmt.Sprintf("r%d%d", b, rack))
				node.Labels[kube.LabelGPUProduct] = products[(b+rack)%2]
				node.Spec.Unschedulable = yes(20)
				if yes(10) {
					node.Spec.Taints = append(node.Spec.Taints, v1.Taint{Key: v1.TaintNodeNotReady, Effect: v1.TaintEffectNoSchedule})
				}
				if yes(15) {
					node.Spec.Taints = append(node.Spec.Taints, v1.Taint{Key: "team", Value: "nlp", Effect: v1.TaintEffectNoSchedule})
				}
				if yes(80) {
					node.Labels["pool"] = "big"
				}
			}
		}
	}
	for i := range 6 { // what runs: one pod a node
		var on []string
		for range 1 + r.IntN(3) {
			on = append(on, w.nodes[r.IntN(len(w.nodes))].Name)
		}
		pods := w.gang(fmt.Sprintf("run%d", i), len(on), fmt.Sprint(1+r.IntN(4)), nil, on...)
		if yes(30) {
			pods[0].Labels = nil
			delete(pods[0].Annotations, kube.AnnotationMinCount)
		}
	}
	annotations := map[string]string{}
	if yes(70) {
		annotations[kube.AnnotationTopologyRequired] = []string{"rack", "block"}[r.IntN(2)]
	}
	if yes(30) {
		annotations[kube.AnnotationGPUModels] = []string{"H100", "A100"}[r.IntN(2)]
	}
	if yes(20) {
		annotations[kube.AnnotationGPUMemory] = ">=80Gi"
	}
	if yes(20) {
		annotations[kube.AnnotationSliceSize], annotations[kube.AnnotationSliceTopology] = "2", "rack"
	}
	train := w.gang("train", 2+r.IntN(8), []string{"4", "4", "8"}[r.IntN(3)], annotations)
	if yes(20) {
		train[0].Spec.NodeName = w.nodes[r.IntN(len(w.nodes))].Name
	}
	selector := yes(30)
	cores := []string{"4", "40"}[r.IntN(2)]
	for _, p := range train {
		p.Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = resource.MustParse(cores)
		if selector {
			p.Spec.NodeSelector = map[string]string{"pool": "big"}
		}
	}
	if yes(45) {
		role := kube.Role{Name: "worker", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"part": "worker"}}}
		if yes(60) {
			role.Required = []string{"rack", "block"}[r.IntN(2)]
		} else {
			role.SliceSize, role.SliceTopology = 3, "rack"
		}
		for i, p := range train {
			p.Annotations[kube.AnnotationRoles] = kube.FormatRoles([]kube.Role{role})
			if i > 0 {
				p.Labels["part"] = "worker"
			}
		}
	}
	return w
}

func TestExplain_EveryChangeLetsTheGangIn(t *testing.T) {
	const worlds = 1000
	seen, ofRoles := map[explain.ChangeKind]int{}, map[explain.ChangeKind]int{}
	for seed := range uint64(worlds) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 1)))
		e := w.explain(t, "train")
		for _, c := range e.Changes {
			seen[c.Kind]++
			if c.Role != "" {
				ofRoles[c.Kind]++
			}
			changed := w.clone()
			changed.apply(t, "train", c)
			after := changed.explain(t, "train")
			require.Equal(t, explain.ReasonFitsNow, after.Reason, "seed %d: %s: %s\nbefore: %s\nafter: %s", seed, c.Kind, c.Text, e.Message, after.Message)
			require.Contains(t, after.Message, fmt.Sprintf(" %d pod", c.Pods), "seed %d: %s", seed, c.Text)
		}
	}
	t.Logf("changes applied: %v; of roles: %v", seen, ofRoles)
	for _, kind := range []explain.ChangeKind{explain.ChangeWiderLevel, explain.ChangePreferredLevel, explain.ChangeSlices} {
		assert.Greater(t, ofRoles[kind], 5, "too few of kind %s to tell anything", kind)
	}
	for _, kind := range []explain.ChangeKind{
		explain.ChangeNodes, explain.ChangeTerminations, explain.ChangeTolerations, explain.ChangeSelector, explain.ChangeWiderLevel, explain.ChangePreferredLevel, explain.ChangeSlices,
		explain.ChangeModels, explain.ChangeMemory, explain.ChangeFewerPods, explain.ChangeSmallerRequest, explain.ChangeRestart,
	} {
		assert.Greater(t, seen[kind], 5, "too few of kind %s to tell anything", kind)
	}
}

// TestExplain_ProposesSmallChanges: no part of a proposed set can be left out,
// and a single node or workload that is enough is found.
func TestExplain_ProposesSmallChanges(t *testing.T) {
	for seed := range uint64(300) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 2)))
		e := w.explain(t, "train")
		if e.Reason != kube.NoFittingDomain {
			continue
		}
		fits := func(c explain.Change) bool {
			changed := w.clone()
			changed.apply(t, "train", c)
			return changed.explain(t, "train").Reason == explain.ReasonFitsNow
		}
		found := map[explain.ChangeKind]int{}
		for _, c := range e.Changes {
			found[c.Kind] = max(found[c.Kind], 1)
			for i := range c.Nodes {
				if len(c.Nodes) > 1 {
					less := explain.Change{Kind: c.Kind, Nodes: slices.Delete(slices.Clone(c.Nodes), i, i+1)}
					assert.False(t, fits(less), "seed %d: %s, but without %s too", seed, c.Text, c.Nodes[i])
				}
			}
			for i := range c.Workloads {
				if len(c.Workloads) > 1 {
					less := explain.Change{Kind: c.Kind, Workloads: slices.Delete(slices.Clone(c.Workloads), i, i+1)}
					assert.False(t, fits(less), "seed %d: %s, but without %s too", seed, c.Text, c.Workloads[i])
				}
			}
		}
		if found[explain.ChangeTerminations] == 0 {
			for _, p := range w.pods {
				if p.Spec.NodeName != "" && p.Labels[kube.LabelGang] != "train" {
					assert.False(t, fits(explain.Change{Kind: explain.ChangeTerminations, Workloads: []string{workload(p)}}), "seed %d: the end of %s is enough", seed, workload(p))
				}
			}
		}
		if found[explain.ChangeNodes] == 0 {
			for _, n := range w.nodes {
				assert.False(t, fits(explain.Change{Kind: explain.ChangeNodes, Nodes: []string{n.Name}}), "seed %d: the return of %s is enough", seed, n.Name)
			}
		}
	}
}
