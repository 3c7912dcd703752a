// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/topology"
)

var (
	gpusDesc     = newDesc("muster_gpus", "GPUs and parts of GPUs that nodes offer, by state: used, free, or cordoned and not used.", "state")
	domainsDesc  = newDesc("muster_topology_domains", "Domains with GPUs, by topology level.", "level")
	idleDesc     = newDesc("muster_topology_idle_domains", "Domains with GPUs of which none is in use, by topology level.", "level")
	largestDesc  = newDesc("muster_topology_largest_free_gpus", "Free GPUs of the domain that has the most of them, by topology level.", "level")
	fragmentDesc = newDesc("muster_fragmentation_ratio", "Share of the free GPUs that stand in domains which are partly in use, by topology level.", "level")

	gpuDescs = []*metrics.Desc{gpusDesc, domainsDesc, idleDesc, largestDesc, fragmentDesc}
)

// domainTotals is what is free and used in one domain.
type domainTotals struct{ free, used int64 }

// gpuTotals is the GPUs of all nodes, and of the domains of each level by path.
type gpuTotals struct {
	levels   kube.Levels
	crossing []topology.Level // those whose domains do not nest in the others
	domains  []map[string]*domainTotals
	total    domainTotals
	cordoned int64
}

// gpusOffered is the number of a node's GPUs.
func gpusOffered(node *v1.Node) int64 { return gpusIn(node.Status.Allocatable) }

// gpusOf is the number of GPUs that a pod takes. requestsOf says the same at many
// times the price, and every pod is asked: GPUs are neither resized nor asked
// for by the pod as a whole. Init containers run one by one before the others,
// but for those that go on beside them (KEP-753).
func gpusOf(pod *v1.Pod) int64 {
	var beside, most int64
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		n := gpusIn(c.Resources.Requests)
		most = max(most, beside+n)
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			beside += n
		}
	}
	for i := range pod.Spec.Containers {
		beside += gpusIn(pod.Spec.Containers[i].Resources.Requests)
	}
	return max(most, beside)
}

func gpusIn(list v1.ResourceList) int64 {
	var sum int64
	for name, amount := range list {
		if gpu.IsDevice(string(name)) {
			sum += amount.Value()
		}
	}
	return sum
}

// newGPUTotals sorts the nodes into domains; used is the GPUs taken on each node.
func newGPUTotals(ladder kube.Levels, nodes []*v1.Node, used map[string]int64) *gpuTotals {
	f := &gpuTotals{levels: ladder, domains: make([]map[string]*domainTotals, len(ladder))}
	for level := range f.domains {
		f.domains[level] = map[string]*domainTotals{}
	}
	rows := make([][]string, len(nodes))
	for i, node := range nodes {
		rows[i] = ladder.NodeDomains(node)
	}
	f.crossing = slices.Concat(ladder.CrossingLevels(rows)...)
	for i, node := range nodes {
		if offered := gpusOffered(node); offered > 0 {
			f.addNode(node, rows[i], offered, min(used[node.Name], offered))
		}
	}
	return f
}

// pathOf is the domain of a level, with those around it in its hierarchy.
func (f *gpuTotals) pathOf(names []string, level int) string {
	isCrossing := func(l int) bool { return slices.Contains(f.crossing, topology.Level(l)) }
	var path []string
	for l, name := range names[:level+1] {
		if isCrossing(l) == isCrossing(level) && (!isCrossing(l) || f.levels.AreOrdered(topology.Level(l), topology.Level(level))) {
			path = append(path, name)
		}
	}
	return strings.Join(path, "\x00") // a label cannot hold it
}

func (f *gpuTotals) addNode(node *v1.Node, names []string, offered, used int64) {
	here := domainTotals{free: offered - used, used: used}
	if node.Spec.Unschedulable {
		f.cordoned += here.free
		here.free = 0
	}
	f.total.free += here.free
	f.total.used += here.used
	for level, name := range names {
		if name == "" {
			continue
		}
		path := f.pathOf(names, level)
		if f.domains[level][path] == nil {
			f.domains[level][path] = &domainTotals{}
		}
		f.domains[level][path].free += here.free
		f.domains[level][path].used += here.used
	}
}

// levelStats is what is said of the domains of one level.
type levelStats struct {
	idle          int
	largest       int64
	fragmentation float64
}

// statsOf sums up one level. Its fragmentation is the share of the free GPUs in
// domains that are partly in use: no gang that fills a domain can have them.
func (f *gpuTotals) statsOf(level int) levelStats {
	var s levelStats
	var free, apart int64
	for _, b := range f.domains[level] {
		s.largest = max(s.largest, b.free)
		free += b.free
		switch {
		case b.used > 0:
			apart += b.free
		case b.free > 0:
			s.idle++
		}
	}
	if free > 0 {
		s.fragmentation = float64(apart) / float64(free)
	}
	return s
}

func (f *gpuTotals) sendMetrics(ch chan<- metrics.Metric) {
	if f == nil {
		return
	}
	for state, n := range map[string]int64{"used": f.total.used, "free": f.total.free, "cordoned": f.cordoned} {
		ch <- metrics.NewLazyConstMetric(gpusDesc, metrics.GaugeValue, float64(n), state)
	}
	for level, name := range f.levels.LevelNames() {
		if len(f.domains[level]) == 0 {
			continue // no node is in a domain of this level
		}
		s := f.statsOf(level)
		ch <- metrics.NewLazyConstMetric(domainsDesc, metrics.GaugeValue, float64(len(f.domains[level])), name)
		ch <- metrics.NewLazyConstMetric(idleDesc, metrics.GaugeValue, float64(s.idle), name)
		ch <- metrics.NewLazyConstMetric(largestDesc, metrics.GaugeValue, float64(s.largest), name)
		ch <- metrics.NewLazyConstMetric(fragmentDesc, metrics.GaugeValue, s.fragmentation, name)
	}
}
