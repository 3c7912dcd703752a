// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// fleet fills the API server with racks of 16 nodes, three quarters of them in
// use by gangs of 8 pods, some cordoned, and a gang of 64 that waits for two
// free racks in one block.
func (l *live) fleet(tb testing.TB, nodes int) {
	tb.Helper()
	var all []*v1.Node
	for i := range nodes {
		node := sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 8},
			Labels: map[string]string{
				"cloud.provider.com/topology-block": fmt.Sprintf("b%d", i/256), "topology.kubernetes.io/rack": fmt.Sprintf("r%d", i/16),
				kube.LabelGPUProduct: "NVIDIA-H100-80GB-HBM3",
			},
		})
		node.Spec.Unschedulable = i%50 == 49
		all = append(all, node)
	}
	require.NoError(tb, l.CreateNodes(tb.Context(), all))
	group, ctx := errgroup.WithContext(tb.Context())
	group.SetLimit(16)
	create := func(gang string, count, i int, node string, gpus int64) {
		pod := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-%d", gang, i), Labels: map[string]string{kube.LabelGang: gang},
				Annotations: map[string]string{kube.AnnotationMinCount: fmt.Sprint(count), kube.AnnotationTopologyRequired: "rack"},
			},
			Spec: v1.PodSpec{SchedulerName: "muster", NodeName: node, Containers: []v1.Container{{
				Name: "worker", Image: "pause", Resources: v1.ResourceRequirements{Limits: v1.ResourceList{"nvidia.com/gpu": *quantity(gpus)}},
			}}},
		}
		group.Go(func() error {
			_, err := l.Client().CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
			return err
		})
	}
	for i := range nodes {
		if i%4 != 3 { // two pods a node
			create(fmt.Sprintf("run%d", i/4), 8, 2*(i%4), all[i].Name, 4)
			create(fmt.Sprintf("run%d", i/4), 8, 2*(i%4)+1, all[i].Name, 4)
		}
	}
	for i := range 16 {
		create("train", 16, i, "", 8)
	}
	require.NoError(tb, group.Wait())
}

// BenchmarkLive is what a user waits for, from the call of the command to its
// answer, on an API server that holds so many nodes. The time to start the
// process is not in it.
func BenchmarkLive(b *testing.B) {
	const nodes = 5000
	l := startLive(b)
	l.fleet(b, nodes)
	dir := b.TempDir() + "/snapshot"
	status, _, errs := l.muster(b, "snapshot", dir)
	require.Equal(b, 0, status, errs)
	for _, args := range [][]string{{"explain", "train"}, {"status"}, {"topology"}, {"explain", "train", "--snapshot", dir}} {
		b.Run(fmt.Sprintf("%s/snapshot=%t/nodes=%d", args[0], len(args) > 2, nodes), func(b *testing.B) {
			for b.Loop() {
				_, out, errs := l.muster(b, args...)
				require.Empty(b, errs)
				require.NotEmpty(b, out)
			}
		})
	}
}
