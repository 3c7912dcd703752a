// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// PlacementPreview is where a gang, or a pod outside gangs, would be placed.
type PlacementPreview struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Gang is false for a pod outside gangs.
	Gang bool `json:"gang"`
	Fits bool `json:"fits"`
	// Reason and Message say why it does not fit.
	Reason  kube.Reason `json:"reason,omitempty"`
	Message string      `json:"message,omitempty"`
	// Domain is the path of the domain that holds it, Hosts the number of
	// nodes.
	Domain string `json:"domain,omitempty"`
	Hosts  int    `json:"hosts,omitempty"`
	// Model is the GPU product that was chosen, if the gang names any.
	Model string `json:"model,omitempty"`
	// Pods are the members in rank order.
	Pods  []PodPlacement `json:"pods,omitempty"`
	Notes []string       `json:"notes,omitempty"`
}

// PodPlacement is the node of one pod.
type PodPlacement struct {
	Pod string `json:"pod"`
	// Node is empty for a member beyond the minimum without room.
	Node string `json:"node,omitempty"`
	// Domain is the path of the narrowest domain around the node.
	Domain string `json:"domain,omitempty"`
	// Links are those of a pod with several GPUs.
	Links *Links `json:"links,omitempty"`
}

// PreviewPlacement returns where the gang of a pod would be placed, or the pod
// itself if it is in none, and assigns its pods in the view, so that the next
// call does not give the same room away again.
func (v *ClusterView) PreviewPlacement(pod *v1.Pod) (*PlacementPreview, error) {
	g := v.gangOfWaiting(pod)
	o := &PlacementPreview{Namespace: pod.Namespace, Name: pod.Name}
	if g == nil {
		o.Notes = []string{"it is in no gang: it would start without waiting for any other pod; put the label " + kube.LabelGang + " on pods that need one another"}
		for _, p := range kube.PreferencesOf(&pod.Spec) {
			o.Notes = append(o.Notes, "pods: spec."+string(p)+" counts among the scores of the scheduler, and not here; the node may differ")
		}
		g = &Gang{Namespace: pod.Namespace, Name: pod.Name, Waiting: []*v1.Pod{pod}, Spec: &kube.Spec{
			Name: pod.Name, MinCount: 1, Required: topology.NoLevel, Preferred: topology.NoLevel,
		}}
	} else {
		o.Gang, o.Name, o.Notes = true, g.Name, slices.Clone(g.Declaration.Ignored)
	}
	if g.Invalid != nil {
		o.Reason, o.Message = g.Invalid.Reason, g.Invalid.Message
		return o, nil
	}
	if len(g.Gated) > 0 {
		o.Notes = append(o.Notes, fmt.Sprintf("%s carry scheduling gates; planned as if they were removed", formatPodCount(len(g.Gated))))
		g.Waiting, g.Gated = append(g.Waiting, g.Gated...), nil
	}
	if have := len(g.Waiting); have < g.Spec.MinCount {
		o.Reason = kube.GangIncomplete
		o.Message = fmt.Sprintf("gang %s needs %s that start together, but %d are declared here", g.Name, formatPodCount(g.Spec.MinCount), have)
		return o, nil
	}
	return o, v.previewPlan(o, g)
}

// previewPlan asks the engine where a gang would be placed, and notes the answer.
func (v *ClusterView) previewPlan(o *PlacementPreview, g *Gang) error {
	members, plan, err := v.solveScenario(g.currentScenario())
	if err != nil {
		return err
	}
	if bad := members.Invalid; bad != nil {
		o.Reason, o.Message = bad.Reason, bad.Message
		return nil
	}
	if r := plan.Refusal; r != nil {
		if !o.Gang {
			r.Gang = o.Name
		}
		o.Reason, o.Message = kube.Reason(r.Reason), r.Error()+members.DeviceNote()
		return nil
	}
	if members.Unmodelled != "" {
		o.Notes = append(o.Notes, "its pods use "+members.Unmodelled+", which only the scheduler checks; the nodes may differ")
	}
	o.recordPlan(v, members, plan)
	return nil
}

// gangOfWaiting returns the gang of a pod that has no node yet, or nil.
func (v *ClusterView) gangOfWaiting(pod *v1.Pod) *Gang {
	for _, g := range v.Gangs {
		if g.Namespace == pod.Namespace && slices.ContainsFunc(g.Members(), func(m *v1.Pod) bool { return m.UID == pod.UID }) {
			return g
		}
	}
	return nil
}

// recordPlan writes a plan into the preview and assigns its pods in the view.
func (o *PlacementPreview) recordPlan(p *ClusterView, members *kube.Members, plan placement.Plan) {
	tree := members.TreeOn(p.cluster.Usage().Tree)
	o.Fits, o.Domain, o.Model = true, tree.DomainPath(plan.Domain), plan.Model
	hosts := map[topology.NodeID]bool{}
	for r, pods := range members.Pods {
		for i, pod := range pods {
			seat := PodPlacement{Pod: pod.Name}
			if n := plan.Nodes[r][i]; n != placement.NoNode {
				hosts[n] = true
				seat.Node = tree.Nodes[n].Name
				if box := p.enclosingDomain(n); box != 0 {
					seat.Domain = tree.DomainPath(box)
				}
				seat.Links = linksOf(pod, p.Node(n), p.freeGPUs(seat.Node))
				placed := *pod
				placed.Spec.NodeName = seat.Node
				p.infos[p.index[seat.Node]].(*framework.NodeInfo).AddPod(&placed)
			}
			o.Pods = append(o.Pods, seat)
		}
	}
	members.AssumeDevices(plan)
	o.Hosts = len(hosts)
}
