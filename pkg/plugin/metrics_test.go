// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestEveryReasonIsALabel(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../kube/labels.go", nil, 0)
	require.NoError(t, err)
	want := []kube.Reason{reasonOther}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			want = append(want, kube.Reason(text))
		}
		return true
	})
	assert.ElementsMatch(t, want, waitReasons)
	for _, reason := range reasons {
		assert.Equal(t, string(reason), reasonLabel(reason))
	}
	assert.Equal(t, "Other", reasonLabel("whatever somebody wrote"))
}

func TestSizesFallIntoClasses(t *testing.T) {
	for pods, want := range map[int]string{
		0: "1", 1: "1", 2: "2-4", 4: "2-4", 5: "5-8", 8: "5-8", 9: "9-16", 512: "257-512", 513: "513+", 100_000: "513+",
	} {
		assert.Equal(t, want, sizeLabel(pods), "%d pods", pods)
	}
}

func TestFragmentationIsTheShareOfFreeGPUsBesideUsedOnes(t *testing.T) {
	ladder := kube.Levels{{Name: "rack", Keys: []string{"rack"}}, {Name: "host", Keys: []string{"host"}}}
	used := map[string]int64{"a1": 8, "a2": 2, "b2": 9}
	var nodes []*v1.Node
	for _, n := range []struct {
		name, rack string
		gpus       int64
		cordoned   bool
	}{
		{"a1", "a", 8, false}, {"a2", "a", 8, false}, {"a3", "a", 8, false},
		{"b1", "b", 8, true}, {"b2", "b", 8, true},
		{"c1", "c", 4, false}, {"loose", "", 2, false}, {"plain", "d", 0, false},
	} {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{"host": n.name}}, Spec: v1.NodeSpec{Unschedulable: n.cordoned}}
		if n.rack != "" {
			node.Labels["rack"] = n.rack
		}
		if n.gpus > 0 {
			node.Status.Allocatable = v1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(n.gpus, resource.DecimalSI)}
		}
		nodes = append(nodes, node)
	}
	f := newGPUTotals(ladder, nodes, used)
	assert.Equal(t, domainTotals{free: 20, used: 18}, f.total, "more is never used than is offered")
	assert.Equal(t, int64(8), f.cordoned)
	assert.Len(t, f.domains[0], 3, "racks with GPUs")
	assert.Equal(t, levelStats{idle: 1, largest: 14, fragmentation: 14.0 / 18}, f.statsOf(0), "rack c is idle; the loose node is in no rack")
	assert.Len(t, f.domains[1], 7, "hosts with GPUs")
	assert.Equal(t, levelStats{idle: 3, largest: 8, fragmentation: 6.0 / 20}, f.statsOf(1), "a2 has 6 free beside 2 used")
}

// An NVLink domain that spans racks is one domain.
func TestDomainsThatCrossAreCountedOnce(t *testing.T) {
	ladder := kube.Levels{{Name: "rack", Keys: []string{"rack"}}, {Name: "clique", Keys: []string{"clique"}, Hierarchy: "nvlink"}}
	var nodes []*v1.Node
	for name, labels := range map[string]map[string]string{"a": {"rack": "1", "clique": "x"}, "b": {"rack": "2", "clique": "x"}, "c": {"rack": "2", "clique": "y"}} {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		node.Status.Allocatable = v1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
		nodes = append(nodes, node)
	}
	f := newGPUTotals(ladder, nodes, nil)
	assert.Len(t, f.domains[0], 2)
	assert.Len(t, f.domains[1], 2)
	assert.Equal(t, int64(16), f.statsOf(1).largest)
}

func TestAFleetWithoutFreeGPUsIsNotFragmented(t *testing.T) {
	ladder := kube.Levels{{Name: "host", Keys: []string{"host"}}}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"host": "a"}}}
	node.Status.Allocatable = v1.ResourceList{"amd.com/gpu": resource.MustParse("8")}
	assert.Equal(t, levelStats{}, newGPUTotals(ladder, []*v1.Node{node}, map[string]int64{"a": 8}).statsOf(0))
}

func TestGPUsAreThoseOfAllVendors(t *testing.T) {
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	node.Status.Allocatable = v1.ResourceList{
		"nvidia.com/gpu": resource.MustParse("8"), "koordinator.sh/gpu-memory": resource.MustParse("640Gi"), "koordinator.sh/gpu-core": resource.MustParse("800"),
		"habana.ai/gaudi": resource.MustParse("4"), "huawei.com/Ascend910": resource.MustParse("2"), "google.com/tpu": resource.MustParse("1"),
		"gpu.intel.com/xe_monitoring": resource.MustParse("1"), "aws.amazon.com/neuroncore": resource.MustParse("32"), "cpu": resource.MustParse("64"),
	}
	assert.Equal(t, int64(15), gpusOffered(node), "memory, cores and percents are in no sum")
}

func TestGPUsOfAPodAreThoseThatTheSchedulerCounts(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	container := func(gpus, mig int64, policy *v1.ContainerRestartPolicy) v1.Container {
		return v1.Container{RestartPolicy: policy, Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
			"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI), "nvidia.com/mig-1g.10gb": *resource.NewQuantity(mig, resource.DecimalSI),
			v1.ResourceCPU: resource.MustParse("4"),
		}}}
	}
	for name, spec := range map[string]v1.PodSpec{
		"containers":         {Containers: []v1.Container{container(2, 0, nil), container(1, 3, nil)}},
		"large init":         {Containers: []v1.Container{container(2, 0, nil)}, InitContainers: []v1.Container{container(5, 0, nil), container(1, 0, nil)}},
		"sidecar":            {Containers: []v1.Container{container(2, 0, nil)}, InitContainers: []v1.Container{container(1, 0, &always)}},
		"init after sidecar": {Containers: []v1.Container{container(2, 0, nil)}, InitContainers: []v1.Container{container(1, 0, &always), container(4, 0, nil)}},
		"none":               {Containers: []v1.Container{{}}},
	} {
		pod := &v1.Pod{Spec: spec}
		want := requestsOf(pod)
		assert.Equal(t, want["nvidia.com/gpu"]+want["nvidia.com/mig-1g.10gb"], gpusOf(pod), name)
	}
}
