// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	schedulingapi "k8s.io/api/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// BenchmarkReadGang reads a gang of 1,000 pods that were read before, as at each
// further attempt.
func BenchmarkReadGang(b *testing.B) {
	nodes := make([]fwk.NodeInfo, 1000)
	for i := range nodes {
		info := framework.NewNodeInfo()
		info.SetNode(sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{Extended: map[string]int64{"nvidia.com/gpu": 8}}))
		nodes[i] = info
	}
	for _, c := range []struct {
		name                    string
		roles, shapes, affinity int
	}{{"alike", 0, 1, 0}, {"long affinity", 0, 1, 1001}, {"roles", 250, 1, 0}, {"shapes", 0, 64, 60}} {
		b.Run(c.name, func(b *testing.B) {
			spec := rolesSpec(b, c.roles)
			pods := make([]*v1.Pod, 1000)
			for i := range pods {
				pods[i] = memberPod(i, c.shapes, c.affinity, max(c.roles, 1))
			}
			cluster := kube.NewCluster(kube.DefaultLevels())
			members, err := cluster.ReadGang(spec, pods, nil, nodes)
			require.NoError(b, err)
			require.Nil(b, members.Invalid)
			for b.Loop() {
				if _, err := cluster.ReadGang(spec, pods, nil, nodes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func rolesSpec(b *testing.B, roles int) *kube.Spec {
	declaration := &kube.Declaration{}
	for r := range roles {
		declaration.Roles = append(declaration.Roles, kube.Role{
			Name: fmt.Sprintf("role-%d", r), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"role": fmt.Sprintf("role-%d", r)}},
		})
	}
	group := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "train"}}
	group.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 1000}
	spec, invalid := kube.ReadSpec(group, declaration, kube.DefaultLevels())
	require.Nil(b, invalid)
	return spec
}

// memberPod is pod i of a gang, of one of so many shapes and roles, with a node
// affinity of so many values.
func memberPod(i, shapes, affinity, roles int) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("train-%d", i), UID: types.UID(fmt.Sprint(i)), Generation: 1, Labels: map[string]string{"role": fmt.Sprintf("role-%d", i%roles)},
	}}
	pod.Spec.Containers = []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
		"nvidia.com/gpu": resource.MustParse("1"), v1.ResourceCPU: *resource.NewMilliQuantity(int64(1000+i%shapes), resource.DecimalSI),
	}}}}
	if affinity == 0 {
		return pod
	}
	hosts := v1.NodeSelectorRequirement{Key: "kubernetes.io/hostname", Operator: v1.NodeSelectorOpIn}
	for h := range affinity {
		hosts.Values = append(hosts.Values, fmt.Sprintf("n%d", h))
	}
	pod.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
		NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{hosts}}},
	}}}
	return pod
}
