// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// claimedNodes are n1 to n4 with two devices each that a driver publishes, and a class
// for them behind nvidia.com/gpu; n4 has a device plugin as well, with eight.
func claimedNodes() (*dra.Objects, []*v1.Node) {
	resource := "nvidia.com/gpu"
	o := &dra.Objects{DeviceClasses: []*resourceapi.DeviceClass{{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: resourceapi.DeviceClassSpec{ExtendedResourceName: &resource}}}}
	var nodes []*v1.Node
	for i := 1; i <= 4; i++ {
		name := fmt.Sprintf("n%d", i)
		n := node(name, "r1", 8)
		if i < 4 {
			delete(n.Status.Allocatable, "nvidia.com/gpu")
		}
		nodes = append(nodes, n)
		o.ResourceSlices = append(o.ResourceSlices, &resourceapi.ResourceSlice{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: resourceapi.ResourceSliceSpec{
				Driver: "d", NodeName: &name, Pool: resourceapi.ResourcePool{Name: name, Generation: 1, ResourceSliceCount: 1},
				Devices: []resourceapi.Device{{Name: "a"}, {Name: "b"}},
			},
		})
	}
	return o, nodes
}

// claimFor makes a claim for so many devices; on, if any, is a node on which it is
// allocated.
func claimFor(o *dra.Objects, name string, count int64, on string) {
	claim := &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
			Name: "r", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "gpu", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count},
		}}}},
	}
	if on != "" {
		claim.Status.Allocation = &resourceapi.AllocationResult{
			Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{{Request: "r", Driver: "d", Pool: on, Device: "a"}}},
			NodeSelector: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{on}}},
			}}},
		}
	}
	o.Claims = append(o.Claims, claim)
}

// claiming is a pod that names claims.
func claiming(name string, claims ...string) *v1.Pod {
	p := pod(name, 0)
	p.Namespace = ""
	p.Spec.Containers[0].Resources = v1.ResourceRequirements{}
	p.UID = types.UID(name)
	for i := range claims {
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, v1.PodResourceClaim{Name: fmt.Sprint("c", i), ResourceClaimName: &claims[i]})
	}
	return p
}

func TestReadGang_Claims(t *testing.T) {
	for _, tc := range []struct {
		name       string
		prepare    func(o *dra.Objects) []*v1.Pod
		unmodelled string
		want       string
	}{
		{"each pod has its node", func(o *dra.Objects) []*v1.Pod {
			claimFor(o, "c0", 2, "")
			claimFor(o, "c1", 2, "")
			return []*v1.Pod{claiming("p-0", "c0"), claiming("p-1", "c1")}
		}, "", "n1 n2"},
		{"what is allocated holds a pod to its node, and is taken", func(o *dra.Objects) []*v1.Pod {
			claimFor(o, "c0", 1, "n3")
			claimFor(o, "c1", 2, "")
			return []*v1.Pod{claiming("p-0", "c0"), claiming("p-1", "c1")}
		}, "", "n3 n1"},
		{"too many", func(o *dra.Objects) []*v1.Pod {
			claimFor(o, "c0", 3, "")
			return []*v1.Pod{claiming("p-0", "c0")}
		}, "", "gang train needs 1 pod; the cluster would hold none even if it were empty (short of devices of class gpu)"},
		{"no room now", func(o *dra.Objects) []*v1.Pod {
			var pods []*v1.Pod
			for i := range 4 {
				claimFor(o, fmt.Sprint("c", i), 2, "")
				pods = append(pods, claiming(fmt.Sprint("p-", i), fmt.Sprint("c", i)))
			}
			claimFor(o, "taken", 1, "n2")
			return pods
		}, "", "gang train needs 4 pods; the cluster has room for 3 (short of devices of class gpu)"},
		{"a claim that two pods share is left to the scheduler", func(o *dra.Objects) []*v1.Pod {
			claimFor(o, "c0", 1, "")
			return []*v1.Pod{claiming("p-0", "c0"), claiming("p-1", "c0")}
		}, "resource claims", "n1 n1"},
		{"so is one that is not there", func(*dra.Objects) []*v1.Pod { return []*v1.Pod{claiming("p-0", "gone")} }, "resource claims", "n1"},
		{"and devices that are not of one node", func(o *dra.Objects) []*v1.Pod {
			all := true
			o.ResourceSlices = append(o.ResourceSlices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "net"}, Spec: resourceapi.ResourceSliceSpec{
				Driver: "net", AllNodes: &all, Pool: resourceapi.ResourcePool{Name: "net", Generation: 1, ResourceSliceCount: 1}, Devices: []resourceapi.Device{{Name: "x"}},
			}})
			claimFor(o, "c0", 1, "")
			return []*v1.Pod{claiming("p-0", "c0")}
		}, "resource claims", "n1"},
		{"an extended resource is claimed where no device plugin serves it", func(*dra.Objects) []*v1.Pod {
			var pods []*v1.Pod
			for i := range 7 {
				pods = append(pods, named(fmt.Sprint("p-", i), 2))
			}
			return pods
		}, "", "n1 n2 n3 n4 n4 n4 n4"},
		{"and an amount where one does", func(*dra.Objects) []*v1.Pod { return []*v1.Pod{named("p-0", 8)} }, "", "n4"},
		{"a class that is missing", func(o *dra.Objects) []*v1.Pod {
			claimFor(o, "c0", 1, "")
			o.Claims[0].Spec.Devices.Requests[0].Exactly.DeviceClassName = "none"
			return []*v1.Pod{claiming("p-0", "c0")}
		}, "", "gang train needs 1 pod; the cluster would hold none even if it were empty (short of devices of class none, which does not exist)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, nodes := claimedNodes()
			pods := tc.prepare(o)
			c := NewCluster(DefaultLevels())
			c.Devices = dra.NewInventory(o, structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true, DeviceTaints: true})
			m, err := c.ReadGang(&Spec{Name: "train", MinCount: len(pods), Required: topology.NoLevel, Preferred: topology.NoLevel}, pods, nil, infos(nodes...))
			require.NoError(t, err)
			plan := c.Solve(placement.NewPlanner(c.Usage()), m)
			assert.Equal(t, tc.unmodelled, m.Unmodelled)
			require.NoError(t, placement.Check(c.Usage(), &m.Gang, plan))
			if plan.Refusal != nil {
				assert.Equal(t, tc.want, plan.Refusal.Error())
				return
			}
			at, text := m.Assignments(plan), ""
			for _, p := range pods {
				text += " " + c.Usage().Tree.Nodes[at[p.UID]].Name
			}
			assert.Equal(t, " "+tc.want, text)
		})
	}
}

// named is a pod that asks for GPUs by name.
func named(name string, gpus int64) *v1.Pod {
	p := pod(name, gpus)
	p.UID = types.UID(name)
	return p
}
