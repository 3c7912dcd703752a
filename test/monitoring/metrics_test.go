// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestMetricsOfARunningScheduler places one gang of four and refuses one of
// five, on two racks of four nodes with eight GPUs each.
func TestMetricsOfARunningScheduler(t *testing.T) {
	box := startSandbox(t)
	var nodes []*v1.Node
	for i := range 8 {
		nodes = append(nodes, sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 8},
			Labels:   map[string]string{"topology.kubernetes.io/rack": fmt.Sprintf("rack-%d", i/4)},
		}))
	}
	require.NoError(t, box.CreateNodes(t.Context(), nodes))
	leader := startReplica(t, box)
	require.Eventually(t, func() bool { return leader.scrape().value("muster_leading") == 1 }, patience, 50*time.Millisecond, "it leads")
	standby := startReplica(t, box)

	create(t, box, gang("fits", 4)...)
	await(t, leader, "muster_gangs", 1, "phase", "running")
	create(t, box, gang("large", 5)...)
	await(t, leader, "muster_gangs", 1, "phase", "waiting", "reason", "GangTooLarge")
	create(t, box, gang("short", 3)[:2]...)
	await(t, leader, "muster_gangs", 1, "phase", "waiting", "reason", "GangIncomplete")
	gated := gang("gated", 2)
	gated[1].Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "example.com/quota"}}
	create(t, box, gated...)
	await(t, leader, "muster_gangs", 1, "phase", "gated")
	create(t, box, pod("single", 2))
	await(t, leader, "muster_gpus", 34, "state", "used")
	await(t, leader, "muster_gang_verdicts_total", 1, "reason", "GangTooLarge")
	await(t, leader, "muster_gang_verdicts_total", 1, "reason", "GangIncomplete")
	await(t, leader, "muster_plan_to_bound_seconds", 1)

	got := leader.scrape()
	t.Run("gangs", func(t *testing.T) {
		gangs := 0.0
		for _, m := range got["muster_gangs"].GetMetric() {
			gangs += m.GetGauge().GetValue()
		}
		assert.EqualValues(t, 4, gangs, "every gang is in one phase")
		got.equal(t, 0, "muster_gangs", "phase", "queued")
		got.equal(t, 0, "muster_gangs", "phase", "waiting", "reason", "NoFittingDomain")
		got.equal(t, 0, "muster_partial_gangs")
		got.equal(t, 1, "muster_gang_verdicts_total", "reason", "GangPlaced")
		got.equal(t, 0, "muster_gang_verdicts_total", "reason", "Other")
		got.equal(t, 0, "muster_partial_gang_evictions_total")
	})
	t.Run("waiting gangs", func(t *testing.T) {
		for class, gpus := range map[[2]string]float64{{"GangTooLarge", "5-8"}: 40, {"GangIncomplete", "2-4"}: 16, {"gated", "2-4"}: 16} {
			got.equal(t, gpus, "muster_waiting_gpus", "reason", class[0], "size", class[1])
			age := got.value("muster_oldest_waiting_seconds", "reason", class[0], "size", class[1])
			assert.GreaterOrEqual(t, age, 0.0, class)
			assert.Less(t, age, 5*patience.Seconds(), class)
		}
		assert.Len(t, got["muster_waiting_gpus"].GetMetric(), 3, "a gang that runs waits for nothing")
	})
	t.Run("steps", func(t *testing.T) {
		got.equal(t, 1, "muster_gang_wait_seconds", "size", "2-4")
		got.equal(t, 0, "muster_gang_wait_seconds", "size", "5-8")
		got.equal(t, 1, "muster_plan_to_bound_seconds")
		got.equal(t, 1, "muster_barrier_wait_seconds", "result", "opened")
		got.equal(t, 0, "muster_barrier_wait_seconds", "result", "released")
		got.equal(t, 1, "muster_gang_attempts_total", "result", "planned")
		refused := got.value("muster_gang_attempts_total", "result", "refused")
		assert.GreaterOrEqual(t, refused, 1.0)
		got.equal(t, 1+refused, "muster_plan_duration_seconds")
		got.equal(t, 1+refused, "muster_plan_domains_evaluated")
		looked := got["muster_plan_domains_evaluated"].GetMetric()[0].GetHistogram().GetSampleSum()
		assert.InDelta(t, 2*(1+refused), looked, 1e-9, "two racks for each plan")
	})
	t.Run("room", func(t *testing.T) {
		got.equal(t, 30, "muster_gpus", "state", "free")
		got.equal(t, 0, "muster_gpus", "state", "cordoned")
		for level, want := range map[string][4]float64{"rack": {2, 0, 30, 1}, "host": {8, 3, 8, 0.2}} {
			for i, name := range []string{"muster_topology_domains", "muster_topology_idle_domains", "muster_topology_largest_free_gpus", "muster_fragmentation_ratio"} {
				got.equal(t, want[i], name, "level", level)
			}
		}
		got.equal(t, -1, "muster_topology_domains", "level", "zone")
	})
	t.Run("standby", func(t *testing.T) {
		idle := standby.scrape()
		idle.equal(t, 0, "muster_leading")
		assert.NotContains(t, idle, "muster_gangs")
		assert.NotContains(t, idle, "muster_gpus")
		assert.NotContains(t, idle, "muster_waiting_gpus")
	})
	t.Run("documentation", func(t *testing.T) { documented(t, got) })
	t.Run("queries", func(t *testing.T) {
		for _, q := range queries(t) {
			t.Run(q.where, func(t *testing.T) { q.check(t, got) })
		}
	})
	t.Run("partly started", func(t *testing.T) { partlyStarted(t, box, leader) })
	t.Run("next leader", func(t *testing.T) {
		before := leader.scrape()
		leader.terminate()
		for _, name := range []string{"muster_gangs", "muster_gpus", "muster_waiting_gpus"} {
			await(t, standby, "muster_leading", 1)
			for _, m := range before[name].GetMetric() {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetName(), l.GetValue())
				}
				await(t, standby, name, m.GetGauge().GetValue(), labels...)
			}
		}
	})
}

// partlyStarted takes a member and its node from the gang that runs, and gives
// the node back.
func partlyStarted(t *testing.T, box *sandbox.Sandbox, leader *replica) {
	pods, nodes := box.Client().CoreV1().Pods(metav1.NamespaceDefault), box.Client().CoreV1().Nodes()
	lost, err := pods.Get(t.Context(), "fits-0", metav1.GetOptions{})
	require.NoError(t, err)
	cordon := func(is bool) {
		patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, is)
		_, err := nodes.Patch(t.Context(), lost.Spec.NodeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
	}
	cordon(true)
	require.NoError(t, pods.Delete(t.Context(), lost.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	await(t, leader, "muster_gpus", 8, "state", "cordoned")
	create(t, box, gang("fits", 4)[0])
	await(t, leader, "muster_gangs", 1, "phase", "partial", "reason", "NoFittingDomain")
	leader.scrape().equal(t, 1, "muster_partial_gangs")
	leader.scrape().equal(t, 0, "muster_gangs", "phase", "running")
	cordon(false)
	await(t, leader, "muster_gangs", 1, "phase", "running")
	await(t, leader, "muster_gang_wait_seconds", 2, "size", "2-4")
	got := leader.scrape()
	got.equal(t, 0, "muster_partial_gangs")
	got.equal(t, 0, "muster_gpus", "state", "cordoned")
}

func (f families) equal(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	assert.InDelta(t, want, f.value(name, labels...), 1e-9, "%s%v", name, labels)
}

// await waits until a series has a value.
func await(t *testing.T, r *replica, name string, want float64, labels ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return r.scrape().value(name, labels...) == want }, patience, 50*time.Millisecond, "%s%v has to be %v", name, labels, want)
}

func create(t *testing.T, box *sandbox.Sandbox, pods ...*v1.Pod) {
	t.Helper()
	for _, p := range pods {
		_, err := box.Client().CoreV1().Pods(metav1.NamespaceDefault).Create(t.Context(), p, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// gang builds the pods of a gang that takes whole nodes of one rack.
func gang(name string, size int) []*v1.Pod {
	pods := make([]*v1.Pod, size)
	for i := range pods {
		pods[i] = pod(fmt.Sprintf("%s-%d", name, i), 8)
		pods[i].Labels = map[string]string{kube.LabelGang: name}
		pods[i].Annotations = map[string]string{kube.AnnotationMinCount: fmt.Sprint(size), "muster.sh/topology-required": "rack"}
	}
	return pods
}

func pod(name string, gpus int64) *v1.Pod {
	amounts := v1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)}
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{SchedulerName: "muster", Containers: []v1.Container{
			{Name: "main", Image: "none", Resources: v1.ResourceRequirements{Requests: amounts, Limits: amounts}},
		}},
	}
}

// documented holds docs/metrics.md against what there is: each metric is listed
// with its type and its labels, and each label with all of its values.
func documented(t *testing.T, got families) {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	code := regexp.MustCompile("`([^`]*)`")
	metrics, values := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		name := code.FindStringSubmatch(cells[1])[1]
		into := values
		if strings.HasPrefix(name, "muster_") {
			into = metrics
			into[name] = append(into[name], strings.TrimSpace(cells[2]))
			cells = cells[1:]
		}
		for _, word := range code.FindAllStringSubmatch(cells[2], -1) {
			into[name] = append(into[name], word[1])
		}
	}
	for name, family := range got {
		if !strings.HasPrefix(name, "muster_") {
			continue
		}
		want := []string{strings.ToLower(family.GetType().String())}
		for _, l := range family.GetMetric()[0].GetLabel() {
			want = append(want, l.GetName())
		}
		assert.ElementsMatch(t, want, metrics[name], "type and labels of %s", name)
		assert.Contains(t, family.GetHelp(), "[ALPHA]", name)
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() != "level" && l.GetValue() != "" { // levels are those of the configuration
					assert.Contains(t, values[l.GetName()], l.GetValue(), "values of %s", l.GetName())
				}
			}
		}
	}
	for name := range metrics {
		assert.Contains(t, got, name, "documented, but not there")
	}
	for label, documented := range values {
		if strings.HasPrefix(label, "Muster") || label == "level" {
			continue // an alert
		}
		slices.Sort(documented)
		assert.Equal(t, slices.Compact(slices.Clone(documented)), documented, "values of %s", label)
	}
}
