// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-base/metrics"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/topology"
)

var (
	gpusDesc     = desc("muster_gpus", "GPUs and parts of GPUs that nodes offer, by state: used, free, or cordoned and not used.", "state")
	domainsDesc  = desc("muster_topology_domains", "Domains with GPUs, by topology level.", "level")
	idleDesc     = desc("muster_topology_idle_domains", "Domains with GPUs of which none is in use, by topology level.", "level")
	largestDesc  = desc("muster_topology_largest_free_gpus", "Free GPUs of the domain that has the most of them, by topology level.", "level")
	fragmentDesc = desc("muster_fragmentation_ratio", "Share of the free GPUs that stand in domains which are partly in use, by topology level.", "level")

	fleetDescs = []*metrics.Desc{gpusDesc, domainsDesc, idleDesc, largestDesc, fragmentDesc}
)

// box is what is free and used in one domain.
type box struct{ free, used int64 }

// fleet is the GPUs of all nodes, and of the domains of each level by path.
type fleet struct {
	ladder   kube.Ladder
	boxes    []map[string]*box
	total    box
	cordoned int64
}

// fleet counts the GPUs from the nodes and pods in the scheduler's memory.
func (pl *Plugin) fleet() *fleet {
	factory := pl.handle.SharedInformerFactory().Core().V1()
	nodes, err := factory.Nodes().Lister().List(labels.Everything())
	if err != nil {
		return nil // the lister reads memory
	}
	pods, err := factory.Pods().Lister().List(labels.Everything())
	if err != nil {
		return nil
	}
	// Fleets have thousands of nodes and pods without GPUs: those are passed by.
	nodes = slices.DeleteFunc(nodes, func(node *v1.Node) bool { return offers(node) == 0 })
	used := make(map[string]int64, len(nodes))
	for _, node := range nodes {
		used[node.Name] = 0
	}
	for _, pod := range pods {
		if _, ok := used[pod.Spec.NodeName]; ok && !podutil.IsPodTerminal(pod) {
			used[pod.Spec.NodeName] += gpusOf(pod)
		}
	}
	return newFleet(pl.ladder, nodes, used)
}

// offers is the number of a node's GPUs.
func offers(node *v1.Node) int64 { return gpusIn(node.Status.Allocatable) }

// gpusOf is the number of GPUs that a pod takes. amountsOf says the same at many
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
		if topology.IsGPU(string(name)) {
			sum += amount.Value()
		}
	}
	return sum
}

// newFleet sorts the nodes into domains; used is the GPUs taken on each node.
func newFleet(ladder kube.Ladder, nodes []*v1.Node, used map[string]int64) *fleet {
	f := &fleet{ladder: ladder, boxes: make([]map[string]*box, len(ladder))}
	for level := range f.boxes {
		f.boxes[level] = map[string]*box{}
	}
	for _, node := range nodes {
		if offered := offers(node); offered > 0 {
			f.add(node, offered, min(used[node.Name], offered))
		}
	}
	return f
}

func (f *fleet) add(node *v1.Node, offered, used int64) {
	here := box{free: offered - used, used: used}
	if node.Spec.Unschedulable {
		f.cordoned += here.free
		here.free = 0
	}
	f.total.free += here.free
	f.total.used += here.used
	domains := f.ladder.Domains(node.Labels)
	for level, name := range domains {
		if name == "" {
			continue
		}
		path := strings.Join(domains[:level+1], "\x00") // a label cannot hold it
		if f.boxes[level][path] == nil {
			f.boxes[level][path] = &box{}
		}
		f.boxes[level][path].free += here.free
		f.boxes[level][path].used += here.used
	}
}

// shape is what is told of the domains of one level.
type shape struct {
	idle          int
	largest       int64
	fragmentation float64
}

// shape tells of one level. Its fragmentation is the share of the free GPUs in
// domains that are partly in use: no gang that fills a domain can have them.
func (f *fleet) shape(level int) shape {
	var s shape
	var free, apart int64
	for _, b := range f.boxes[level] {
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

func (f *fleet) send(ch chan<- metrics.Metric) {
	if f == nil {
		return
	}
	for state, n := range map[string]int64{"used": f.total.used, "free": f.total.free, "cordoned": f.cordoned} {
		ch <- metrics.NewLazyConstMetric(gpusDesc, metrics.GaugeValue, float64(n), state)
	}
	for level, name := range f.ladder.Names() {
		if len(f.boxes[level]) == 0 {
			continue // no node is in a domain of this level
		}
		s := f.shape(level)
		ch <- metrics.NewLazyConstMetric(domainsDesc, metrics.GaugeValue, float64(len(f.boxes[level])), name)
		ch <- metrics.NewLazyConstMetric(idleDesc, metrics.GaugeValue, float64(s.idle), name)
		ch <- metrics.NewLazyConstMetric(largestDesc, metrics.GaugeValue, float64(s.largest), name)
		ch <- metrics.NewLazyConstMetric(fragmentDesc, metrics.GaugeValue, s.fragmentation, name)
	}
}
