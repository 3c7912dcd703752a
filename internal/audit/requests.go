// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// podRequests returns what a pod requests from its node: its containers and
// sidecars together, or the largest request at one step of its initialization
// if that is more; requests of the pod as a whole replace them; overhead comes
// on top. Every pod takes one pod slot. Source: "Resource Management for Pods
// and Containers" and "Sidecar Containers" in the Kubernetes documentation. What
// comes from a claim that the scheduler made for it is none of the node's.
func podRequests(p *v1.Pod) resources {
	running, initial := resources{}, resources{}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			running.addScaled(toResources(c.Resources.Requests), 1)
			initial.raiseTo(running)
			continue
		}
		moment := resources{}
		moment.addScaled(running, 1) // the sidecars started before it
		moment.addScaled(toResources(c.Resources.Requests), 1)
		initial.raiseTo(moment)
	}
	for i := range p.Spec.Containers {
		running.addScaled(toResources(p.Spec.Containers[i].Resources.Requests), 1)
	}
	running.raiseTo(initial)
	if whole := p.Spec.Resources; whole != nil {
		for name, quantity := range whole.Requests {
			running[name] = toAmount(name, quantity)
		}
	}
	running.addScaled(toResources(p.Spec.Overhead), 1)
	if claimed := p.Status.ExtendedResourceClaimStatus; claimed != nil {
		for _, mapping := range claimed.RequestMappings {
			delete(running, v1.ResourceName(mapping.ResourceName))
		}
	}
	running[v1.ResourcePods] = 1
	return running
}

// raiseTo sets each amount to the larger one of both.
func (r resources) raiseTo(o resources) {
	for name, n := range o {
		r[name] = max(r[name], n)
	}
}

// toResources converts a Kubernetes resource list.
func toResources(list v1.ResourceList) resources {
	r := resources{}
	for name, quantity := range list {
		r[name] = toAmount(name, quantity)
	}
	return r
}

// toAmount returns a quantity as a whole number: milli-cores of CPU, else
// units.
func toAmount(name v1.ResourceName, quantity resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return quantity.MilliValue()
	}
	return quantity.Value()
}
