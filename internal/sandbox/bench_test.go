// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// residentMB is what the process holds in memory, files included, and the most
// it ever held.
func residentMB(b *testing.B) (now, peak float64) {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %f kB", &now) // matches one line
		_, _ = fmt.Sscanf(line, "VmHWM: %f kB", &peak)
	}
	return now / 1000, peak / 1000
}

// BenchmarkStart reports how long a sandbox with its nodes takes until pods can
// be created, and what it holds in memory then.
func BenchmarkStart(b *testing.B) {
	for _, count := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", count), func(b *testing.B) {
			nodes, err := sandbox.Fleet{Nodes: count, GPUs: 8, NodesPerRack: 8, RacksPerBlock: 4}.BuildNodes()
			require.NoError(b, err)
			for b.Loop() {
				s, err := sandbox.Start(b.Context(), sandbox.Options{PodGroupCRD: true})
				require.NoError(b, err)
				require.NoError(b, s.CreateNodes(b.Context(), nodes))
				b.StopTimer()
				now, peak := residentMB(b)
				b.ReportMetric(now, "MB")
				b.ReportMetric(peak, "peak-MB")
				s.Stop()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkPods reports how many pods a second get from nothing to an end
// through the API server, bound by the benchmark itself: the ceiling for any
// scheduler. kubelets=false stops at the binding.
func BenchmarkPods(b *testing.B) {
	const nodes, pods = 1000, 3000
	for _, kubelets := range []bool{false, true} {
		b.Run(fmt.Sprintf("kubelets=%t", kubelets), func(b *testing.B) {
			s, err := sandbox.Start(b.Context(), sandbox.Options{DisableKubelets: !kubelets})
			require.NoError(b, err)
			defer s.Stop()
			fleet, err := sandbox.Fleet{Nodes: nodes, GPUs: 8}.BuildNodes()
			require.NoError(b, err)
			require.NoError(b, s.CreateNodes(b.Context(), fleet))
			round := 0
			before := cpuTime(b)
			for b.Loop() {
				round++
				runPods(b, s, fmt.Sprintf("round-%d", round), pods, func(i int) string { return fleet[i%nodes].Name }, kubelets)
			}
			b.ReportMetric(float64(pods*round)/b.Elapsed().Seconds(), "pods/s")
			b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(pods*round), "cpu-ms/pod")
			_, peak := residentMB(b)
			b.ReportMetric(peak, "peak-MB")
		})
	}
}

// cpuTime is what the process used of all cores so far. Unlike the pods per
// second it means the same on a busy machine.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// runPods creates and binds pods that run for 0 s, and waits for their end.
func runPods(b *testing.B, s *sandbox.Sandbox, prefix string, count int, node func(int) string, wait bool) {
	b.Helper()
	api := s.Client().CoreV1().Pods("default")
	var group errgroup.Group
	group.SetLimit(64)
	for i := range count {
		group.Go(func() error {
			pod := gpuPod(fmt.Sprintf("%s-%d", prefix, i), 1)
			pod.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0"}
			pod.Labels = map[string]string{"round": prefix}
			pod, err := api.Create(b.Context(), pod, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			return api.Bind(b.Context(), &v1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
				Target:     v1.ObjectReference{Kind: "Node", Name: node(i)},
			}, metav1.CreateOptions{})
		})
	}
	require.NoError(b, group.Wait())
	require.Eventually(b, func() bool {
		if !wait {
			return true
		}
		open, err := api.List(b.Context(), metav1.ListOptions{LabelSelector: "round=" + prefix, FieldSelector: "status.phase!=Succeeded", Limit: 1})
		return err == nil && len(open.Items) == 0
	}, 10*time.Minute, time.Second)
}
