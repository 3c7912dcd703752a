// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
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

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// node offers resources, written as name and count.
func node(name, rack string, offers ...any) *v1.Node {
	list := v1.ResourceList{v1.ResourceCPU: resource.MustParse("64"), v1.ResourcePods: resource.MustParse("110")}
	for i := 0; i < len(offers); i += 2 {
		list[v1.ResourceName(offers[i].(string))] = resource.MustParse(fmt.Sprint(offers[i+1]))
	}
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name}}, Status: v1.NodeStatus{Allocatable: list, Capacity: list}}
	if rack != "" {
		n.Labels["network.topology.nvidia.com/leaf"] = rack
	}
	return n
}

// pod asks for a resource; on is its node, gang its gang, "" for none.
func pod(namespace, name, gang, on, what string, count int) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name), CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
		},
		Spec: v1.PodSpec{NodeName: on, SchedulerName: "muster", Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{
			Requests: v1.ResourceList{v1.ResourceName(what): resource.MustParse(fmt.Sprint(count))},
		}}}},
	}
	if on != "" {
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-50 * time.Minute))}}
	}
	if gang != "" {
		p.Labels = map[string]string{kube.LabelGang: gang}
		p.Annotations = map[string]string{kube.AnnotationMinCount: "2"}
	}
	return p
}

const gpus = "nvidia.com/gpu"

func build(t *testing.T, namespace string, nodes []*v1.Node, pods ...*v1.Pod) *Data {
	t.Helper()
	p, err := explain.NewClusterView(explain.Config{}, nodes, pods, store.Objects{Pods: pods}.Gangs("muster"))
	require.NoError(t, err)
	d, err := BuildData(p, noon, namespace)
	require.NoError(t, err)
	return d
}

func racks() ([]*v1.Node, []*v1.Pod) {
	nodes := []*v1.Node{
		node("n1", "rack-1", gpus, 8), node("n2", "rack-1", gpus, 8), node("n3", "rack-2", gpus, 8),
		node("mig", "rack-2", "nvidia.com/mig-1g.10gb", 7, gpus, 2, "nvidia.com/mig-3g.40gb", 2), node("plain", ""),
	}
	nodes[0].Labels[kube.LabelGPUProduct] = "NVIDIA-H100-80GB-HBM3"
	nodes[2].Spec.Unschedulable = true
	return nodes, []*v1.Pod{
		pod("a", "train-1", "train", "n1", gpus, 4), pod("a", "train-0", "train", "n1", gpus, 4),
		pod("b", "lone", "", "n2", gpus, 3), pod("a", "slice", "", "mig", "nvidia.com/mig-1g.10gb", 1),
		pod("b", "big-0", "big", "", gpus, 16), pod("b", "big-1", "big", "", gpus, 16), pod("b", "cpu-only", "", "n2", "cpu", 1),
	}
}

func TestBuild(t *testing.T) {
	nodes, pods := racks()
	d := build(t, "", nodes, pods...)
	assert.Equal(t, []Domain{{"cluster", "cluster", -1}, {"rack-1", "rack", 0}, {"rack-2", "rack", 0}}, d.Domains)
	assert.Equal(t, []string{gpus, "nvidia.com/mig-1g.10gb", "nvidia.com/mig-3g.40gb"}, d.Resources)
	assert.Equal(t, []string{"NVIDIA-H100-80GB-HBM3"}, d.Models)

	byName := map[string]Node{}
	for _, n := range d.Nodes {
		byName[n.Name] = n
	}
	require.Len(t, byName, 5)
	big, train := 1, 0
	assert.Equal(t, Node{Name: "n1", Domain: 1, Model: 0, Offers: []Amount{{0, 8}}, Pods: []Pod{
		{"a", "train-0", train, 0, []Amount{{0, 4}}}, {"a", "train-1", train, 1, []Amount{{0, 4}}},
	}}, byName["n1"])
	assert.Equal(t, []Pod{{"b", "lone", -1, -1, []Amount{{0, 3}}}}, byName["n2"].Pods, "a pod without GPUs holds no cell")
	assert.Equal(t, "cordoned", byName["n3"].State)
	assert.Equal(t, []Amount{{0, 2}, {1, 7}, {2, 2}}, byName["mig"].Offers, "whole GPUs come first")
	assert.Equal(t, Node{Name: "plain", Domain: 0, Model: -1}, byName["plain"])

	require.Len(t, d.Gangs, 2)
	assert.Equal(t, "train", d.Gangs[train].Name)
	assert.Equal(t, noon.Add(-time.Hour), *d.Gangs[train].Created)
	assert.Equal(t, noon.Add(-50*time.Minute), *d.Gangs[train].Started)
	assert.Equal(t, "big", d.Gangs[big].Name)
	assert.Nil(t, d.Gangs[big].Started)
	assert.Equal(t, kube.Reason("GangTooLarge"), d.Gangs[big].Reason)
	assert.Contains(t, d.Gangs[big].Message, "gang big needs 2 pods")
}

func TestBuild_CountsDevicesOfAllVendors(t *testing.T) {
	d := build(t, "", []*v1.Node{
		node("a", "", gpus, 8, "koordinator.sh/gpu-memory", "640Gi", "koordinator.sh/gpu-core", 800),
		node("b", "", "habana.ai/gaudi", 8), node("c", "", "amd.com/cpx_nps4", 64, "amd.com/spx_nps1", 2),
		node("d", "", "aws.amazon.com/neuron", 16, "aws.amazon.com/neuroncore", 128),
	}, pod("x", "p", "", "a", "koordinator.sh/gpu-memory", 1), pod("x", "q", "", "b", "habana.ai/gaudi", 4))
	assert.ElementsMatch(t, []string{gpus, "habana.ai/gaudi", "amd.com/spx_nps1", "amd.com/cpx_nps4", "aws.amazon.com/neuron"}, d.Resources)
	for _, n := range d.Nodes {
		if n.Name == "c" {
			require.Len(t, n.Offers, 2)
			assert.Equal(t, "amd.com/spx_nps1", d.Resources[n.Offers[0].Resource], "whole ones come first")
			continue
		}
		assert.Len(t, n.Offers, 1, "%s: memory and cores are no devices", n.Name)
		if n.Name == "a" {
			assert.Empty(t, n.Pods)
		}
	}
}

func TestBuild_OtherNamespacesAreNotNamed(t *testing.T) {
	nodes, pods := racks()
	text, err := json.Marshal(build(t, "a", nodes, pods...))
	require.NoError(t, err)
	assert.Contains(t, string(text), "train-0")
	assert.NotContains(t, string(text), "lone")
	assert.NotContains(t, string(text), "big")
	assert.Contains(t, string(text), `{"g":-1,"k":-1,"h":[{"r":0,"c":3}]}`, "what they hold is still held")
}

func TestBuild_OnlyTheTimeIsNew(t *testing.T) {
	nodes, pods := racks()
	p, err := explain.NewClusterView(explain.Config{}, nodes, pods, store.Objects{Pods: pods}.Gangs("muster"))
	require.NoError(t, err)
	first, err := BuildData(p, noon, "")
	require.NoError(t, err)
	later, err := BuildData(p, noon.Add(time.Hour), "")
	require.NoError(t, err)
	assert.NotEqual(t, first, later)
	later.Taken = first.Taken
	assert.Equal(t, first, later)
}

// hostile is what somebody might call a thing to run a script in the page of
// someone else. The API server refuses most of it as a name, but not as a label
// value or an annotation, and a snapshot is a file that anyone may write.
const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(1)>{{script}}<!--"'&`

func TestFile_HostileNamesStayData(t *testing.T) {
	nodes, pods := racks()
	nodes[0].Name, pods[0].Spec.NodeName, pods[1].Spec.NodeName = hostile, hostile, hostile
	nodes[0].Labels[kube.LabelGPUProduct] = hostile
	nodes[1].Labels["network.topology.nvidia.com/leaf"] = hostile
	pods[0].Name, pods[2].Namespace = hostile, hostile
	pods[4].Annotations[kube.AnnotationTopologyRequired], pods[5].Annotations[kube.AnnotationTopologyRequired] = hostile, hostile
	d := build(t, "", nodes, pods...)
	var out bytes.Buffer
	require.NoError(t, WriteFile(&out, d))
	assert.Equal(t, strings.Count(readAsset("page.html"), "<script"), strings.Count(out.String(), "<script"))
	assert.NotContains(t, out.String(), "<img")

	between := regexp.MustCompile(`(?s)<script id="data" type="application/json">(.*?)</script>`).FindStringSubmatch(out.String())
	require.Len(t, between, 2)
	var back Data
	require.NoError(t, json.Unmarshal([]byte(between[1]), &back))
	assert.Equal(t, d, &back, "every name comes back as it was")
}

func TestFile_NeedsNothingElse(t *testing.T) {
	nodes, pods := racks()
	var out bytes.Buffer
	require.NoError(t, WriteFile(&out, build(t, "", nodes, pods...)))
	text := out.String()
	assert.NotRegexp(t, `\{\{\w+\}\}`, text, "every place is filled")
	assert.NotRegexp(t, `(src|href)="[^d]`, text, "data: is the only kind of address")
	assert.Contains(t, text, "connect-src 'none'")
	assert.Contains(t, livePage(), "connect-src 'self'")
}
