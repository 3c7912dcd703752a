// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// declared is one way to declare a gang that must share a rack.
type declared struct {
	// kind is the group object, called name or else PodGroup; empty for none. spec
	// is its spec for a gang of so many pods.
	kind schema.GroupVersionResource
	name string
	spec func(pods int) map[string]any
	// mark puts a pod into the gang of that name.
	mark func(gang string, pods int) func(*v1.Pod)
	// placed and refused tell whether the object's status says that the gang
	// has its nodes, and that it has none for a reason.
	placed, refused func(status map[string]any, reason string) bool
}

// both makes several changes to a pod.
func both(changes ...func(*v1.Pod)) func(*v1.Pod) {
	return func(p *v1.Pod) {
		for _, change := range changes {
			change(p)
		}
	}
}

func groups(group, version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: "podgroups"}
}

// condition reports whether a list of conditions holds one of a type with a
// status and a reason.
func condition(list any, kind, status, reason string) bool {
	conditions, _ := list.([]any)
	for _, one := range conditions {
		c, _ := one.(map[string]any)
		if c["type"] == kind && c["status"] == status && c["reason"] == reason && c["lastTransitionTime"] != nil {
			return true
		}
	}
	return false
}

const rackWord = "topology.kubernetes.io/rack"

func dialects() map[string]declared {
	counted := func(path string) func(int) map[string]any {
		return func(pods int) map[string]any { return map[string]any{path: int64(pods)} }
	}
	phases := func(status map[string]any, _ string) bool {
		phase := status["phase"]
		return (phase == "Scheduled" || phase == "Running") && status["scheduled"] == int64(4)
	}
	waits := func(status map[string]any, _ string) bool { return status["phase"] == "PreScheduling" }
	return map[string]declared{
		"label": {mark: func(gang string, pods int) func(*v1.Pod) {
			return both(label(kube.LabelGang, gang), annotation(kube.AnnotationMinCount, fmt.Sprint(pods)), annotation(kube.AnnotationTopologyRequired, "rack"))
		}},
		"koordinator": {mark: func(gang string, pods int) func(*v1.Pod) {
			return both(annotation("gang.scheduling.koordinator.sh/name", gang), annotation("gang.scheduling.koordinator.sh/min-available", fmt.Sprint(pods)),
				annotation("gang.scheduling.koordinator.sh/network-topology-spec", `{"gatherStrategy":[{"layer":"RackLayer","strategy":"MustGather"}]}`))
		}},
		"kueue": {mark: func(gang string, pods int) func(*v1.Pod) {
			return both(label("kueue.x-k8s.io/pod-group-name", gang), annotation("kueue.x-k8s.io/pod-group-total-count", fmt.Sprint(pods)),
				annotation("kueue.x-k8s.io/podset-required-topology", rackWord))
		}},
		"crd": {
			kind: groups("scheduling.x-k8s.io", "v1alpha1"), spec: counted("minMember"), placed: phases, refused: waits,
			mark: func(gang string, _ int) func(*v1.Pod) {
				return both(label(kube.LabelPodGroup, gang), annotation(kube.AnnotationTopologyRequired, "rack"))
			},
		},
		"koordinator's PodGroup": {
			kind: groups("scheduling.sigs.k8s.io", "v1alpha1"), spec: counted("minMember"), placed: phases, refused: waits,
			mark: func(gang string, _ int) func(*v1.Pod) {
				return both(label(kube.LabelPodGroupOld, gang), annotation(kube.AnnotationTopologyRequired, "rack"))
			},
		},
		"native": {
			kind: groups("scheduling.k8s.io", "v1beta1"),
			spec: func(pods int) map[string]any {
				return map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(pods)}}}
			},
			mark: func(gang string, _ int) func(*v1.Pod) {
				return both(annotation(kube.AnnotationTopologyRequired, "rack"), func(p *v1.Pod) {
					p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &gang}
				})
			},
			placed: func(status map[string]any, _ string) bool {
				return condition(status["conditions"], "PodGroupInitiallyScheduled", "True", "Scheduled")
			},
			refused: func(status map[string]any, reason string) bool {
				return condition(status["conditions"], "PodGroupInitiallyScheduled", "False", reason)
			},
		},
		"volcano": {
			kind: groups("scheduling.volcano.sh", "v1beta1"),
			spec: func(pods int) map[string]any {
				return map[string]any{"minMember": int64(pods), "queue": "gold", "networkTopology": map[string]any{"highestTierAllowed": int64(1)}}
			},
			mark: func(gang string, _ int) func(*v1.Pod) { return annotation("scheduling.k8s.io/group-name", gang) },
			placed: func(status map[string]any, _ string) bool {
				return condition(status["conditions"], "Scheduled", "True", "Scheduled") && (status["phase"] == "Inqueue" || status["phase"] == "Running") &&
					!condition(status["conditions"], "Unschedulable", "True", "Scheduled")
			},
			refused: func(status map[string]any, reason string) bool {
				return condition(status["conditions"], "Unschedulable", "True", reason) && status["phase"] == "Inqueue"
			},
		},
		"kai": {
			kind: groups("scheduling.run.ai", "v2alpha2"),
			spec: func(pods int) map[string]any {
				return map[string]any{"minMember": int64(pods), "topologyConstraint": map[string]any{"requiredTopologyLevel": rackWord}}
			},
			mark: func(gang string, _ int) func(*v1.Pod) { return annotation("pod-group-name", gang) },
			placed: func(status map[string]any, _ string) bool {
				return condition(status["conditions"], "Scheduled", "True", "Scheduled")
			},
			refused: func(status map[string]any, reason string) bool {
				return condition(status["conditions"], "Scheduled", "False", reason) &&
					condition(status["schedulingConditions"], "UnschedulableOnNodePool", "True", reason) && status["pending"] == int64(5)
			},
		},
		"grove": {
			kind: schema.GroupVersionResource{Group: "scheduler.grove.io", Version: "v1alpha1", Resource: "podgangs"}, name: "PodGang",
			spec: func(pods int) map[string]any {
				return map[string]any{
					"podgroups":          []any{map[string]any{"name": "worker", "minReplicas": int64(pods), "podReferences": []any{}}},
					"topologyConstraint": map[string]any{"packConstraint": map[string]any{"required": rackWord}},
				}
			},
			mark: func(gang string, _ int) func(*v1.Pod) {
				return both(label("grove.io/podgang", gang), label("grove.io/podclique", "worker"))
			},
			placed: func(status map[string]any, _ string) bool {
				return condition(status["conditions"], "muster.sh/Scheduled", "True", "Scheduled") && (status["phase"] == "Starting" || status["phase"] == "Running")
			},
			refused: func(status map[string]any, reason string) bool {
				return condition(status["conditions"], "muster.sh/Scheduled", "False", reason) && status["phase"] == "Pending"
			},
		},
	}
}

// TestDialects has gangs of each dialect on a real API server that holds their
// group objects to a schema. It does not run in parallel with other tests: it
// needs a feature gate, and those are of the whole process.
func TestDialects(t *testing.T) {
	served := os.Getenv(apiServer) == "" // the native groups, from 1.37 on
	box := startSandbox(t, sandbox.Options{GenericWorkload: served, PodGroupCRD: true, DisableControllers: true})
	installCRDs(t, box)
	t.Run("a gang starts whole", func(t *testing.T) { gangsStartWhole(t, box) })
	t.Run("slices", func(t *testing.T) { slicesLieInsideOneAnother(t, box) })
	t.Run("a PodGang", func(t *testing.T) { podGroupsShareARack(t, box) })
}

// gangsStartWhole has a gang wait for its last pod, whereupon all of it starts
// in one rack. One that is too large for a rack waits, and the group's status
// says so.
func gangsStartWhole(t *testing.T, box *sandbox.Sandbox) {
	inEachDialect(t, box, racks(8, 4), func(c *cluster, name string, d declared) {
		c.declare(d, "train", 4)
		pods := c.members(d, "train", 4)
		c.create(pods[:3]...)
		c.awaitReason("train", kube.GangIncomplete, "has 3 of the 4 pods")
		if d.placed != nil {
			assert.False(c.t, d.placed(c.status(d, "train"), ""), "not before its pods are bound")
		}
		c.create(pods[3])
		assert.Len(c.t, c.domains(c.awaitBound("train", 4), rackKey), 1)

		c.declare(d, "huge", 5)
		c.create(c.members(d, "huge", 5)...)
		c.awaitReason("huge", kube.GangTooLarge, "gang huge needs 5 pods in one rack")
		if d.kind.Group == "" {
			return
		}
		require.Eventually(c.t, func() bool { return d.placed(c.status(d, "train"), "") }, patience, poll, "%v", c.status(d, "train"))
		if name == "volcano" {
			require.Eventually(c.t, func() bool { return len(c.events("FieldsIgnored")) == 2 }, patience, poll, "each gang is told once")
		}
		require.Eventually(c.t, func() bool { return d.refused(c.status(d, "huge"), string(kube.GangTooLarge)) }, patience, poll, "%v", c.status(d, "huge"))
	})
}

// slicesLieInsideOneAnother has a gang whose slices do. The annotations stand on
// the group object where there is one.
func slicesLieInsideOneAnother(t *testing.T, box *sandbox.Sandbox) {
	inEachDialect(t, box, fabric("3,3,3 3,3,3"), func(c *cluster, _ string, d declared) {
		c.declare(d, "train", 6)
		pods := c.members(d, "train", 6)
		for _, p := range pods {
			both(annotation(kube.AnnotationSliceSize, "6,2"), annotation(kube.AnnotationSliceTopologyPreferred, "rack"), annotation(kube.AnnotationSliceTopology, "clique"))(p)
		}
		c.create(pods...)
		bound := c.awaitBound("train", 6)
		assert.True(c.t, c.shares(bound, cliqueKey, 2) && c.shares(bound, rackKey, 6), "%v", bound)
	})
}

// podGroupsShareARack has a PodGang as Grove writes it for a router, and a leader with
// workers that must share a rack. Grove holds its pods by a gate until it lists them,
// and takes the minima away from a gang that has started.
func podGroupsShareARack(t *testing.T, box *sandbox.Sandbox) {
	c := on(t, box, racks(8, 4)...)
	startQuickScheduler(t, box)
	group := func(name string, least int) any {
		return map[string]any{"name": name, "minReplicas": int64(least), "podReferences": []any{}}
	}
	d := dialects()["grove"]
	d.spec = func(int) map[string]any {
		return map[string]any{
			"podgroups": []any{group("router", 1), group("leader", 1), group("worker", 3)},
			"topologyConstraintGroupConfigs": []any{map[string]any{
				"name": "decode", "podGroupNames": []any{"leader", "worker"},
				"topologyConstraint": map[string]any{"packConstraint": map[string]any{"required": rackWord}},
			}},
		}
	}
	c.declare(d, "serve", 5)
	member := func(clique string, index int) *v1.Pod {
		return pod(fmt.Sprintf("serve-%s-%d", clique, index), 8, label("grove.io/podgang", "serve"), label("grove.io/podclique", clique),
			label("grove.io/podclique-pod-index", fmt.Sprint(index)), func(p *v1.Pod) {
				p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "grove.io/podgang-pending-creation"}}
			})
	}
	pods := []*v1.Pod{member("router", 0), member("leader", 0), member("worker", 0), member("worker", 1), member("worker", 2)}
	pods[1].Spec.Containers[0].Resources.Requests[v1.ResourceCPU] = resource.MustParse("4")
	c.create(pods...)
	c.ungate(names(pods[:4])...)
	c.stayPending("serve")
	c.ungate(pods[4].Name)
	bound := c.awaitBound("serve", 5)
	router := bound["serve-router-0"]
	delete(bound, "serve-router-0")
	assert.Len(t, c.domains(bound, rackKey), 1, "%v and %s", bound, router)

	_, err := c.of(d).Patch(background, "serve", types.MergePatchType, []byte(`{"spec":{"podgroups":[
		{"name":"router","minReplicas":0,"podReferences":[]},{"name":"leader","minReplicas":0,"podReferences":[]},{"name":"worker","minReplicas":0,"podReferences":[]}]}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	require.NoError(t, c.client.CoreV1().Pods(c.namespace).Delete(background, "serve-worker-2", atOnce))
	require.Eventually(t, func() bool { return len(c.pods("serve-worker-2")) == 0 }, patience, poll)
	again := member("worker", 2)
	again.Spec.SchedulingGates = nil
	c.create(again)
	bound = c.awaitBound("serve", 5)
	delete(bound, "serve-router-0")
	assert.Len(t, c.domains(bound, rackKey), 1, "%v", bound)
}

// inEachDialect runs a test once for each dialect, with one scheduler.
func inEachDialect(t *testing.T, box *sandbox.Sandbox, nodes []*v1.Node, test func(c *cluster, name string, d declared)) {
	t.Helper()
	all := on(t, box, nodes...)
	startQuickScheduler(t, box)
	for name, d := range dialects() {
		t.Run(name, func(t *testing.T) {
			if d.kind.Group == "scheduling.k8s.io" && os.Getenv(apiServer) != "" {
				t.Skip("Kubernetes serves these groups from 1.37 on")
			}
			c := *all
			c.t = t
			t.Cleanup(c.empty)
			test(&c, name, d)
		})
	}
}

// A member that another controller holds back by a scheduling gate, as Kueue
// does before it admits the group, is not placed; the gang starts with it.
func TestDialects_AGatedMemberIsWaitedFor(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	d := dialects()["kueue"]
	pods := c.members(d, "train", 4)
	for _, p := range pods[2:] {
		p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "kueue.x-k8s.io/admission"}}
	}
	c.create(pods...)
	c.stayPending("train")
	c.ungate(names(pods[2:])...)
	assert.Len(t, c.domains(c.awaitBound("train", 4), rackKey), 1)
}

func installCRDs(t *testing.T, box *sandbox.Sandbox) {
	t.Helper()
	files, err := filepath.Glob("testdata/crds/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	kind := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		crd := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal(text, &crd.Object))
		_, err = dynamic.NewForConfigOrDie(box.Config()).Resource(kind).Create(background, crd, metav1.CreateOptions{})
		require.NoError(t, err, file)
	}
}

func (c *cluster) of(d declared) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(c.box.Config()).Resource(d.kind).Namespace(c.namespace)
}

// declare creates the group object of a gang, if its dialect has one.
func (c *cluster) declare(d declared, gang string, pods int) {
	c.t.Helper()
	if d.kind.Group == "" {
		return
	}
	group := &unstructured.Unstructured{Object: map[string]any{"spec": d.spec(pods)}}
	group.SetAPIVersion(d.kind.GroupVersion().String())
	group.SetKind(cmp.Or(d.name, "PodGroup"))
	group.SetName(gang)
	require.Eventually(c.t, func() bool { // the kind is served soon after it is there
		_, err := c.of(d).Create(background, group, metav1.CreateOptions{})
		return err == nil
	}, patience, poll)
	c.t.Cleanup(func() { assert.NoError(c.t, c.of(d).Delete(background, gang, metav1.DeleteOptions{})) })
}

func (c *cluster) status(d declared, gang string) map[string]any {
	group, err := c.of(d).Get(background, gang, metav1.GetOptions{})
	if !assert.NoError(c.t, err) {
		return nil
	}
	status, _, _ := unstructured.NestedMap(group.Object, "status")
	return status
}

func (c *cluster) members(d declared, gang string, count int) []*v1.Pod {
	pods := make([]*v1.Pod, count)
	for i := range pods {
		pods[i] = pod(fmt.Sprintf("%s-%d", gang, i), 8, d.mark(gang, count))
	}
	return pods
}
