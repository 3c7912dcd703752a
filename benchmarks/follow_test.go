// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// BenchmarkFollow brings the core's picture of the cluster up to date with the
// scheduler's snapshot, in which eight nodes have got a pod since the last time.
func BenchmarkFollow(b *testing.B) {
	const changed = 8
	one := v1.ResourceRequirements{Requests: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}}
	for _, size := range []int{1_000, 5_000, 20_000, 100_000} {
		b.Run(fmt.Sprintf("nodes=%d", size), func(b *testing.B) {
			nodes := make([]fwk.NodeInfo, size)
			for i := range nodes {
				labels := map[string]string{"topology.kubernetes.io/rack": fmt.Sprintf("rack-%d", i/32)}
				info := framework.NewNodeInfo()
				info.SetNode(sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{Labels: labels, Extended: map[string]int64{"nvidia.com/gpu": 1_000_000}}))
				nodes[i] = info
			}
			pod := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Resources: one}}}}
			pod.UID = types.UID("one")
			info, err := framework.NewPodInfo(pod)
			require.NoError(b, err)
			cluster := kube.NewCluster(kube.DefaultLevels())
			require.NoError(b, cluster.UpdateNodes(nodes))
			next := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for range changed {
					next = (next + 7919) % size
					nodes[next].AddPodInfo(info)
				}
				b.StartTimer()
				if err := cluster.UpdateNodes(nodes); err != nil {
					b.Fatal(err)
				}
			}
			touched, rebuilt := cluster.TouchedNodes()
			require.False(b, rebuilt)
			require.Len(b, touched, changed)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/node")
		})
	}
}
