// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// byNode is the index of pods by the node that they are bound to.
const byNode = "muster.sh/node"

// indexByNode has the informer of pods find those of a node. Several profiles share it.
func indexByNode(pods cache.SharedIndexInformer) error {
	if _, known := pods.GetIndexer().GetIndexers()[byNode]; known {
		return nil
	}
	return pods.AddIndexers(cache.Indexers{byNode: func(obj any) ([]string, error) {
		if pod, ok := obj.(*v1.Pod); ok && pod.Spec.NodeName != "" {
			return []string{pod.Spec.NodeName}, nil
		}
		return nil, nil
	}})
}

// roomTaken checks a plan against the newest pods just before it is committed: it names
// the first node that has too little room for its members, since others bound pods to it
// that the plan knew nothing of, or since it offers less than it did. It returns "" if
// there is none. Pods that went since are counted still: the next plan knows better.
func roomTaken(factory informers.SharedInformerFactory, plan *gangPlan, members map[string][]*v1.Pod) string {
	nodes, pods := factory.Core().V1().Nodes().Lister(), factory.Core().V1().Pods().Informer().GetIndexer()
	for _, info := range plan.placement.Nodes {
		planned := info.Node()
		own := members[planned.Name]
		if len(own) == 0 {
			continue
		}
		newcomers := newPodsOn(info, own, pods)
		node, err := nodes.Get(planned.Name)
		if err != nil || node == planned && len(newcomers) == 0 {
			continue // nodesChanged names one that is gone
		}
		came, held := sumOfRequests(newcomers), sumOfRequests(own)
		asked := queue.Quantities{}
		asked.Add(held)
		held.Add(came)
		for _, p := range info.GetPods() {
			if !containsPod(own, p.GetPod()) {
				held.Add(requestsOf(p.GetPod()))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(asked)) {
			now, offered := offeredOf(node, name)
			before, _ := offeredOf(planned, name)
			if offered && held[name] > now && (came[name] > 0 || now < before) {
				return fmt.Sprintf("node %s has too little %s left: others used it while the gang was being placed", node.Name, name)
			}
		}
	}
	return ""
}

// newPodsOn returns the newest pods on a node that hold something there and that neither
// the snapshot nor the gang has.
func newPodsOn(info fwk.NodeInfo, own []*v1.Pod, pods cache.Indexer) []*v1.Pod {
	newest, err := pods.ByIndex(byNode, info.Node().Name)
	if err != nil {
		return nil // there is no such index
	}
	var found []*v1.Pod
	for _, obj := range newest {
		pod, ok := obj.(*v1.Pod)
		known := !ok || kube.MemberStateOf(pod).HasEnded() ||
			containsPod(own, pod) || countsPod(info, pod.UID)
		if !known {
			found = append(found, pod)
		}
	}
	return found
}

func containsPod(pods []*v1.Pod, pod *v1.Pod) bool {
	return slices.ContainsFunc(pods, func(p *v1.Pod) bool { return p.UID == pod.UID })
}

func sumOfRequests(pods []*v1.Pod) queue.Quantities {
	sum := queue.Quantities{}
	for _, pod := range pods {
		sum.Add(requestsOf(pod))
	}
	return sum
}

// offeredOf is how much of a resource a node offers, and whether it does so itself: a
// driver may offer what is not in the node's status.
func offeredOf(node *v1.Node, name string) (amount int64, offered bool) {
	quantity, offered := node.Status.Allocatable[v1.ResourceName(name)]
	return kube.ResourceUnits(v1.ResourceName(name), quantity), offered
}
