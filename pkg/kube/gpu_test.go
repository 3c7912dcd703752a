// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
)

// gpuKind is a node with the labels that GPU Feature Discovery writes.
func gpuKind(product string, more ...string) *v1.Node {
	n := node("n", "r1", 8)
	n.Labels[LabelGPUProduct] = product
	for i := 0; i < len(more); i += 2 {
		n.Labels[more[i]] = more[i+1]
	}
	return n
}

func asking(name v1.ResourceName) *v1.Pod {
	p := pod("p", 0)
	p.Spec.Containers[0].Resources.Requests = v1.ResourceList{name: resource.MustParse("1")}
	return p
}

func selecting(key, value string) *v1.Pod {
	p := asking(devices)
	p.Spec.NodeSelector = map[string]string{key: value}
	return p
}

func TestGPUWish_Refuse(t *testing.T) {
	const cut, sliced = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "Tesla-T4-SHARED"
	unlabelled := gpuKind("")
	delete(unlabelled.Labels, LabelGPUProduct)
	rows := []struct {
		name   string
		pod    *v1.Pod
		models []string
		memory gpu.MemoryFloor
		node   *v1.Node
		want   gpu.Mismatch
	}{
		{"a plain pod may use whole GPUs", asking(devices), nil, 0, gpuKind("Tesla-T4"), ""},
		{"a plain pod is kept off slices", asking(devices), nil, 0, gpuKind(cut), gpu.NotWhole},
		{"a plain pod is kept off shared GPUs", asking(devices), nil, 0, gpuKind(sliced), gpu.NotWhole},
		{"a plain pod is kept off GPUs with replicas", asking(devices), nil, 0, gpuKind("Tesla-T4", gpu.ReplicasLabel, "4"), gpu.NotWhole},
		{"one replica is a whole GPU", asking(devices), nil, 0, gpuKind("Tesla-T4", gpu.ReplicasLabel, "1"), ""},
		{"a plain pod may use a node without labels", asking(devices), nil, 0, unlabelled, ""},
		{"a pod without GPUs may use any node", asking(v1.ResourceCPU), nil, 0, gpuKind(cut), ""},
		{"models do not concern a pod without GPUs", asking(v1.ResourceCPU), []string{"H100"}, 0, gpuKind("Tesla-T4"), ""},
		{"a pod that asks for the profile gets slices", asking(devices), []string{"A100-MIG-1g.5gb"}, 0, gpuKind(cut), ""},
		{"a pod that asks for the profile gets no whole GPU", asking(devices), []string{"A100-MIG-1g.5gb"}, 0, gpuKind("NVIDIA-A100-SXM4-40GB"), gpu.WrongModel},
		{"a pod that asks for shared GPUs gets them", asking(devices), []string{"T4-SHARED"}, 0, gpuKind(sliced), ""},
		{"a pod that asks for the model wants it whole", asking(devices), []string{"A100"}, 0, gpuKind(cut), gpu.NotWhole},
		{"a pod that selects the product gets its slices", selecting(LabelGPUProduct, cut), nil, 0, gpuKind(cut), ""},
		{"another selector is no choice", selecting("pool", "a"), nil, 0, gpuKind(cut), gpu.NotWhole},
		{"the memory suffices", asking(devices), nil, 80, gpuKind("NVIDIA-H100-80GB-HBM3"), ""},
		{"the memory is too little", asking(devices), nil, 80, gpuKind("Tesla-T4"), gpu.TooLittleMemory},
		{"memory is not known without labels", asking(devices), nil, 80, unlabelled, gpu.TooLittleMemory},
		{"a MIG instance has its own memory", asking("nvidia.com/mig-1g.10gb"), nil, 20, gpuKind("NVIDIA-H100-80GB-HBM3"), gpu.TooLittleMemory},
		{"a MIG instance with enough memory", asking("nvidia.com/mig-2g.20gb"), nil, 20, gpuKind("NVIDIA-H100-80GB-HBM3"), ""},
		{"a MIG instance of another model", asking("nvidia.com/mig-1g.10gb"), []string{"A100"}, 0, gpuKind("NVIDIA-H100-80GB-HBM3"), gpu.WrongModel},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			wish := WholeOnly.GPUWishOf(row.pod, row.models, row.memory)
			why := wish.Refuse(row.node)
			if row.want == "" {
				assert.Nil(t, why)
				return
			}
			require.NotNil(t, why)
			assert.Equal(t, row.want, why.Mismatch)
		})
	}
}

func TestSharing_AnyShareConcernsPlainRequestsOnly(t *testing.T) {
	cut := gpuKind("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb")
	refused := func(models []string, memory gpu.MemoryFloor) bool {
		wish := AnyShare.GPUWishOf(asking(devices), models, memory)
		return wish.Refuse(cut) != nil
	}
	assert.False(t, refused(nil, 0), "a plain request takes what there is")
	assert.True(t, refused([]string{"A100"}, 0), "a model means whole devices")
	assert.True(t, refused(nil, 40), "so does a memory floor")
	assert.False(t, refused([]string{"A100-MIG-1g.5gb"}, 0))
}

func TestFilter_LeavesOutSlicesAndTheWrongMemory(t *testing.T) {
	whole, cut, small := gpuKind("NVIDIA-H100-80GB-HBM3"), gpuKind("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"), gpuKind("Tesla-T4")
	whole.Name, cut.Name, small.Name = "a", "b", "c"
	c := NewCluster(DefaultLadder())
	require.NoError(t, c.Update(infos(whole, cut, small)))
	p := pod("p", 1)
	assert.Equal(t, []gang.Exclusion{gang.Eligible, gang.Shared, gang.Eligible}, c.Filter(p, WholeOnly.GPUWishOf(p, nil, 0)).Exclusions)
	assert.Equal(t, []gang.Exclusion{gang.Eligible, gang.Shared, gang.SmallMemory}, c.Filter(p, WholeOnly.GPUWishOf(p, nil, 40)).Exclusions)
	assert.Equal(t, []gang.Exclusion{gang.WrongModel, gang.Eligible, gang.WrongModel}, c.Filter(p, WholeOnly.GPUWishOf(p, []string{"H100-MIG-1g.10gb"}, 0)).Exclusions)
}

func TestCheckProfiles(t *testing.T) {
	assert.Nil(t, CheckProfiles(asking("nvidia.com/mig-1g.10gb"), nil), "a known profile that no node offers yet")
	assert.Nil(t, CheckProfiles(asking(devices), nil))
	bad := CheckProfiles(asking("nvidia.com/mig-9g.99gb"), infos(node("n", "r", 8)))
	require.NotNil(t, bad)
	assert.Equal(t, InvalidMIGProfile, bad.Reason)
	assert.Equal(t, "pod p asks for nvidia.com/mig-9g.99gb: no GPU has this MIG profile, and no node offers it; "+
		`no node offers MIG instances by name; ask for nvidia.com/gpu, or have nodes cut (strategy "mixed")`, bad.Message)
	cut := node("n", "r", 8)
	cut.Status.Allocatable["nvidia.com/mig-3g.40gb"] = resource.MustParse("2")
	cut.Status.Allocatable["nvidia.com/mig-1g.10gb"] = resource.MustParse("7")
	bad = CheckProfiles(asking("nvidia.com/mig-9g.99gb"), infos(cut))
	require.NotNil(t, bad)
	assert.Contains(t, bad.Message, "; nodes offer nvidia.com/mig-1g.10gb, nvidia.com/mig-3g.40gb")
	newer := node("n", "r", 8)
	newer.Status.Allocatable["nvidia.com/mig-9g.99gb"] = resource.MustParse("1")
	assert.Nil(t, CheckProfiles(asking("nvidia.com/mig-9g.99gb"), infos(newer)), "a node that offers it knows better")
}

func TestGPUProduct_TellsSharedDevicesByTheirReplicas(t *testing.T) {
	assert.Equal(t, "Tesla-T4", GPUProduct(gpuKind("Tesla-T4")))
	shared := GPUProduct(gpuKind("NVIDIA-L4", gpu.ReplicasLabel, "2"))
	assert.Equal(t, "NVIDIA-L4-SHARED", shared)
	assert.True(t, gpu.MatchesLabel("L4-SHARED", shared), "so that a gang can be led there")
	assert.Equal(t, "Tesla-T4-SHARED", GPUProduct(gpuKind("Tesla-T4-SHARED", gpu.ReplicasLabel, "4")))
}
