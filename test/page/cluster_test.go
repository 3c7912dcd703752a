// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/page"
)

// taken is the moment of every picture.
var taken = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// cluster is nodes and pods; gangs are placed where Muster would place them.
type cluster struct {
	testing.TB
	nodes []*v1.Node
	pods  []*v1.Pod
}

// fleet is a cluster of nodes with 8 GPUs, 8 to a rack and 4 racks to a block.
func fleet(t testing.TB, nodes int) *cluster {
	t.Helper()
	built, err := sandbox.Fleet{Nodes: nodes, GPUs: 8, Product: "NVIDIA-H100-80GB-HBM3", NodesPerRack: 8, RacksPerBlock: 4}.BuildNodes()
	require.NoError(t, err)
	return &cluster{TB: t, nodes: built}
}

// gang adds the pods of a gang, created before the picture, and returns them.
func (c *cluster) gang(namespace, name string, pods, gpus int, ago time.Duration, annotations ...string) []*v1.Pod {
	notes := map[string]string{kube.AnnotationMinCount: fmt.Sprint(pods)}
	for i := 0; i+1 < len(annotations); i += 2 {
		notes[annotations[i]] = annotations[i+1]
	}
	var made []*v1.Pod
	for i := range pods {
		pod := c.pod(namespace, fmt.Sprintf("%s-%d", name, i), sandbox.GPUResource, gpus, ago)
		pod.Labels = map[string]string{kube.LabelGang: name}
		pod.Annotations = maps.Clone(notes)
		made = append(made, pod)
	}
	return made
}

// pod adds a pod that holds so much of a resource.
func (c *cluster) pod(namespace, name, what string, count int, ago time.Duration) *v1.Pod {
	amount := v1.ResourceList{v1.ResourceName(what): resource.MustParse(fmt.Sprint(count))}
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name), CreationTimestamp: metav1.NewTime(taken.Add(-ago))},
		Spec: v1.PodSpec{SchedulerName: "muster", Containers: []v1.Container{{
			Name: "main", Resources: v1.ResourceRequirements{Requests: amount, Limits: amount},
		}}},
	}
	c.pods = append(c.pods, pod)
	return pod
}

// run adds a gang that started 90 s after it was created.
func (c *cluster) run(namespace, name string, pods, gpus int, ago time.Duration, annotations ...string) {
	c.Helper()
	made := c.gang(namespace, name, pods, gpus, ago, annotations...)
	outline, err := c.picture().PreviewPlacement(made[0])
	require.NoError(c, err)
	require.True(c, outline.Fits, outline.Message)
	seats := map[string]string{}
	for _, seat := range outline.Pods {
		seats[seat.Pod] = seat.Node
	}
	for _, pod := range made {
		c.bind(pod, seats[pod.Name])
	}
}

func (c *cluster) bind(pod *v1.Pod, node string) {
	pod.Spec.NodeName = node
	pod.Status.Phase = v1.PodRunning
	pod.Status.Conditions = []v1.PodCondition{{
		Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(pod.CreationTimestamp.Add(90 * time.Second)),
	}}
}

func (c *cluster) node(name string) *v1.Node {
	for _, node := range c.nodes {
		if node.Name == name {
			return node
		}
	}
	require.Fail(c, "no node "+name)
	return nil
}

func (c *cluster) picture() *explain.ClusterView {
	p, err := explain.NewClusterView(explain.Config{}, c.nodes, c.pods, store.Objects{Pods: c.pods}.Gangs("muster"))
	require.NoError(c, err)
	return p
}

func (c *cluster) data(namespace string) *page.Data {
	c.Helper()
	d, err := page.BuildData(c.picture(), taken, namespace)
	require.NoError(c, err)
	return d
}

// file writes the page to a file and returns its address.
func (c *cluster) file(namespace string) string {
	c.Helper()
	var text bytes.Buffer
	require.NoError(c, page.WriteFile(&text, c.data(namespace)))
	path := filepath.Join(c.TempDir(), "cluster.html")
	require.NoError(c, os.WriteFile(path, text.Bytes(), 0o600))
	return "file://" + path
}

const required = kube.AnnotationTopologyRequired

// example is a cluster with something of everything.
func example(t testing.TB) *cluster {
	t.Helper()
	c := fleet(t, 64)
	for i := range 8 {
		c.nodes = append(c.nodes, sandbox.NewNode(fmt.Sprintf("mig-%d", i+1), sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 4, "nvidia.com/mig-1g.10gb": 14, "nvidia.com/mig-3g.40gb": 4},
			Labels: map[string]string{
				sandbox.ProductLabel: "NVIDIA-A100-SXM4-80GB", sandbox.RackLabel: "rack-9", sandbox.BlockLabel: "block-3",
			},
		}))
	}
	c.node("node-11").Spec.Unschedulable = true
	c.node("node-12").Spec.Unschedulable = true
	c.node("node-50").Spec.Taints = []v1.Taint{{Key: v1.TaintNodeNotReady, Effect: v1.TaintEffectNoExecute}}
	c.run("research", "llama-70b", 16, 8, 26*time.Hour, required, "block")
	c.run("research", "ablation-7", 4, 8, 5*time.Hour, required, "rack")
	c.run("speech", "whisper-ft", 6, 8, 3*time.Hour, required, "rack")
	c.run("speech", "tts-train", 5, 4, 90*time.Minute, required, "rack", kube.AnnotationGPUModels, "H100")
	c.run("vision", "dino-vit", 7, 8, 50*time.Minute, required, "block")
	c.run("vision", "seg-small", 3, 2, 40*time.Minute)
	c.run("vision", "sweep-1", 4, 1, 30*time.Minute)
	c.run("research", "reward-model", 3, 8, 20*time.Minute, required, "rack")
	c.run("evals", "mmlu", 6, 2, 10*time.Minute, kube.AnnotationGPUModels, "A100")
	for i := range 9 {
		c.bind(c.pod("serving", fmt.Sprintf("chat-%d", i), "nvidia.com/mig-1g.10gb", 1, 48*time.Hour), fmt.Sprintf("mig-%d", i/3+1))
	}
	c.bind(c.pod("serving", "embed-0", "nvidia.com/mig-3g.40gb", 1, 48*time.Hour), "mig-1")
	c.bind(c.pod("notebooks", "jupyter-ada", sandbox.GPUResource, 2, 7*time.Hour), "node-64")
	c.bind(c.pod("notebooks", "jupyter-lin", sandbox.GPUResource, 1, 2*time.Hour), "node-64")
	c.gang("research", "llama-405b", 32, 8, 42*time.Minute, required, "block")
	c.gang("speech", "codec", 8, 8, 12*time.Minute, required, "rack")
	short := c.gang("vision", "video-gen", 4, 8, 3*time.Minute)
	c.pods = c.pods[:len(c.pods)-len(short)/2] // two are still to be created
	return c
}
