// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// BuildData returns the page's data from a view that was taken at that moment.
// With a namespace, gangs and pods of others are not named: what they hold is
// shown as held.
func BuildData(p *explain.ClusterView, taken time.Time, namespace string) (*Data, error) {
	b := &builder{
		view: p, data: &Data{Taken: taken.UTC(), Namespace: namespace, Gangs: []Gang{}, Nodes: []Node{}},
		gangs: map[*explain.Gang]int{}, models: map[string]int{}, resources: map[string]int{},
	}
	if err := b.addGangs(taken); err != nil {
		return nil, err
	}
	if err := b.addFabric(); err != nil {
		return nil, err
	}
	return b.data, nil
}

// builder collects the data of one page and numbers what is referred to more
// than once.
type builder struct {
	view      *explain.ClusterView
	data      *Data
	gangs     map[*explain.Gang]int
	models    map[string]int
	resources map[string]int
}

// mayName reports whether what is in a namespace may be named.
func (b *builder) mayName(namespace string) bool {
	return b.data.Namespace == "" || b.data.Namespace == namespace
}

// addGangs adds the gangs that may be named, with their status.
func (b *builder) addGangs(taken time.Time) error {
	for _, g := range b.view.Gangs {
		if !b.mayName(g.Namespace) {
			continue
		}
		s, err := b.view.Status(g, taken)
		if err != nil {
			return fmt.Errorf("gang %s: %w", g.Key(), err)
		}
		out := Gang{
			Namespace: s.Namespace, Name: s.Name, Dialect: s.Dialect, Phase: s.Phase, Reason: s.Reason, Message: s.Message,
			Bound: s.Bound, MinCount: s.MinCount, Pods: s.Pods, Domain: s.Domain, Place: s.Place,
		}
		if !s.Created.IsZero() {
			created := s.Created.UTC()
			out.Created = &created
			if s.Phase == queue.Running {
				started := created.Add(time.Duration(s.WaitSeconds) * time.Second)
				out.Started = &started
			}
		}
		b.gangs[g] = len(b.data.Gangs)
		b.data.Gangs = append(b.data.Gangs, out)
	}
	return nil
}

// addFabric adds the domains, and in them the nodes with the pods that hold
// their GPUs.
func (b *builder) addFabric() error {
	fabric, err := b.view.BuildFabric("", true)
	if err != nil {
		return err
	}
	holders := map[string][]*v1.Pod{}
	for _, pod := range b.view.AssignedPods() {
		holders[pod.Spec.NodeName] = append(holders[pod.Spec.NodeName], pod)
	}
	var path []int // the domains around the current one, by depth
	for _, d := range fabric.Domains {
		if d.Crossing { // a node is drawn once
			continue
		}
		path = path[:d.Depth]
		parent := -1
		if d.Depth > 0 {
			parent = path[d.Depth-1]
		}
		if d.Level != explain.NodeLevel {
			path = append(path, len(b.data.Domains))
			b.data.Domains = append(b.data.Domains, Domain{Name: d.Name, Level: d.Level, Parent: parent})
			continue
		}
		node, ok := b.view.NodeNamed(d.Name)
		if !ok {
			return fmt.Errorf("node %s is in the tree but not in the cluster", d.Name)
		}
		b.data.Nodes = append(b.data.Nodes, Node{
			Name: d.Name, Domain: parent, Model: indexOf(b.models, &b.data.Models, d.Model), State: d.State,
			Offers: b.gpuAmounts(node.Status.Allocatable), Pods: b.gpuPods(holders[d.Name]),
		})
	}
	return nil
}

// indexOf returns the number of a text, in the order of appearance; -1 for "".
func indexOf(known map[string]int, list *[]string, text string) int {
	if text == "" {
		return -1
	}
	n, ok := known[text]
	if !ok {
		n = len(*list)
		known[text] = n
		*list = append(*list, text)
	}
	return n
}

// gpuAmounts returns the devices and parts of devices among resources, whole
// ones first.
func (b *builder) gpuAmounts(list v1.ResourceList) []Amount {
	var amounts []Amount
	for _, name := range slices.SortedFunc(maps.Keys(list), compareDevices) {
		if count := list[name]; gpu.IsDevice(string(name)) && count.Value() > 0 {
			amounts = append(amounts, Amount{Resource: indexOf(b.resources, &b.data.Resources, string(name)), Count: count.Value()})
		}
	}
	return amounts
}

// compareDevices orders parts of devices behind whole ones.
func compareDevices(x, y v1.ResourceName) int {
	return cmp.Or(cmp.Compare(gpu.KindOf(string(x)), gpu.KindOf(string(y))), strings.Compare(string(x), string(y)))
}

// gpuPods returns those of a node's pods that hold GPUs.
func (b *builder) gpuPods(list []*v1.Pod) []Pod {
	var pods []Pod
	for _, pod := range list {
		holds := b.gpuAmounts(resource.PodRequests(pod, resource.PodResourcesOptions{}))
		if len(holds) == 0 {
			continue
		}
		out := Pod{Gang: -1, Rank: -1, Holds: holds}
		if b.mayName(pod.Namespace) {
			out.Namespace, out.Name = pod.Namespace, pod.Name
			if g := b.view.GangOf(pod); g != nil {
				out.Gang, out.Rank = b.gangs[g], kube.PodRank(pod)
			}
		}
		pods = append(pods, out)
	}
	slices.SortFunc(pods, func(x, y Pod) int {
		return cmp.Or(cmp.Compare(uint(x.Gang), uint(y.Gang)), cmp.Compare(x.Rank, y.Rank),
			strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
	})
	return pods
}
