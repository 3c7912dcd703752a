// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// newCluster is a fake API server with what the fake lacks: UIDs.
func newCluster(t *testing.T, hosts []trace.Node) kubernetes.Interface {
	client := fake.NewClientset()
	var uids atomic.Int64
	client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		pod := action.(clienttesting.CreateAction).GetObject().(*v1.Pod)
		pod.UID = types.UID(fmt.Sprint(uids.Add(1)))
		return false, nil, nil
	})
	for _, n := range fleetNodes(hosts) {
		_, err := client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	return client
}

// toy is a scheduler and the kubelets, in a few lines: a node takes one pod.
type toy struct {
	client kubernetes.Interface
	hosts  []trace.Node
	// pick chooses the pods to bind next, given those that wait and the number
	// of free nodes.
	pick func(waiting []*v1.Pod, free int) []*v1.Pod
}

func (s *toy) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.round(ctx)
		time.Sleep(time.Millisecond) // leave the processor to the others
	}
}

func (s *toy) round(ctx context.Context) {
	pods, err := s.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	used := map[string]bool{}
	var waiting []*v1.Pod
	for i := range pods.Items {
		used[pods.Items[i].Spec.NodeName] = true
		if pods.Items[i].Spec.NodeName == "" {
			waiting = append(waiting, &pods.Items[i])
		}
	}
	var free []string
	for _, host := range s.hosts {
		if !used[host.Name] {
			free = append(free, host.Name)
		}
	}
	for i, pod := range s.pick(waiting, len(free)) {
		pod.Spec.NodeName, pod.Status.Phase = free[i], v1.PodRunning
		_, _ = s.client.CoreV1().Pods(namespace).Update(ctx, pod, metav1.UpdateOptions{})
	}
}

// wholeGangs picks all the pods of the first gang that fits, the probe too.
func wholeGangs(waiting []*v1.Pod, free int) []*v1.Pod {
	gangs := map[string][]*v1.Pod{}
	var names []string
	for _, pod := range waiting {
		name := pod.Labels[kube.LabelGang]
		if gangs[name] == nil {
			names = append(names, name)
		}
		gangs[name] = append(gangs[name], pod)
	}
	slices.Sort(names)
	for _, name := range names {
		pods := gangs[name]
		if want := pods[0].Annotations["muster.sh/min-count"]; (want == "" || want == fmt.Sprint(len(pods))) && len(pods) <= free {
			return pods
		}
	}
	return nil
}

// loosePods picks pods one by one, the gangs in turn, once all are there.
func loosePods(all int) func([]*v1.Pod, int) []*v1.Pod {
	begun := false
	return func(waiting []*v1.Pod, free int) []*v1.Pod {
		begun = begun || len(waiting) == all
		if len(waiting) > 0 && waiting[0].Name == "probe" {
			return waiting[:1]
		}
		if !begun {
			return nil
		}
		slices.SortStableFunc(waiting, func(a, b *v1.Pod) int {
			return cmp.Compare(a.Name[len(a.Name)-1], b.Name[len(b.Name)-1])
		})
		return waiting[:min(len(waiting), free)]
	}
}

// rivals are two gangs that each need most of an eight-node fleet.
func rivals() []trace.Gang {
	return []trace.Gang{
		{Name: "a", Pods: 5, GPUs: 8, Run: 50 * time.Millisecond},
		{Name: "b", Pods: 5, GPUs: 8, Run: 50 * time.Millisecond},
	}
}

func replayRivals(t *testing.T, window time.Duration, pick func([]*v1.Pod, int) []*v1.Pod) *Report {
	places, err := firstHosts(8)
	require.NoError(t, err)
	client := newCluster(t, places)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go (&toy{client: client, hosts: places, pick: pick}).run(ctx)

	p := &plan{gangs: rivals(), hosts: places, scheduler: "toy", topology: TopologyPreferred, window: window, stall: time.Second, limit: time.Minute}
	out, err := p.replayTrace(ctx, client, func(sample, audit.Report) {})
	require.NoError(t, err)
	return newReport(p, Load{Nodes: 8, GPUs: 64, Gangs: 2, Pods: 10}, out)
}

func TestReplay_GangsOneAfterTheOther(t *testing.T) {
	r := replayRivals(t, time.Minute, wholeGangs)
	assert.Equal(t, EndDone, r.End)
	assert.Equal(t, 2, r.Worked)
	assert.Equal(t, 10, r.Binds)
	assert.Equal(t, 10, r.Audit.Binds)
	assert.Empty(t, r.BrokenPromises())
	assert.Empty(t, r.Stuck)
	assert.Len(t, r.Waits, 2, "one class, and all")
}

func TestReplay_PodsInTurnDeadlock(t *testing.T) {
	r := replayRivals(t, time.Millisecond, loosePods(10))
	assert.Equal(t, EndStalled, r.End)
	assert.Zero(t, r.Worked)
	assert.Equal(t, []string{"a", "b"}, r.Stuck)
	assert.Equal(t, 2, r.Audit.Partial)
	assert.Equal(t, []string{"kalos/a", "kalos/b"}, r.Audit.Open)
	assert.Equal(t, 2, r.Waits[0].Waiting)
	assert.Equal(t, []string{"GangAtomic: broken 2 times", "2 gangs were never placed although nothing else worked"}, r.BrokenPromises())
}

func TestReplay_EndsWithItsContext(t *testing.T) {
	places, err := firstHosts(8)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &plan{gangs: rivals(), hosts: places, scheduler: "toy", limit: time.Minute}
	_, err = p.replayTrace(ctx, newCluster(t, places), func(sample, audit.Report) {})
	require.ErrorIs(t, err, context.Canceled)
}
