// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// requests is what a pod takes from its node: its containers and sidecars
// together, or its neediest moment of initialisation if that is more; requests
// of the pod as a whole take their place; overhead comes on top. Every pod
// takes one pod slot. Source: "Resource Management for Pods and Containers" and
// "Sidecar Containers" in the Kubernetes documentation.
func requests(p *v1.Pod) resources {
	running, initial := resources{}, resources{}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			running.add(amounts(c.Resources.Requests), 1)
			initial.atLeast(running)
			continue
		}
		moment := resources{}
		moment.add(running, 1) // the sidecars started before it
		moment.add(amounts(c.Resources.Requests), 1)
		initial.atLeast(moment)
	}
	for i := range p.Spec.Containers {
		running.add(amounts(p.Spec.Containers[i].Resources.Requests), 1)
	}
	running.atLeast(initial)
	if whole := p.Spec.Resources; whole != nil {
		for name, quantity := range whole.Requests {
			running[name] = amount(name, quantity)
		}
	}
	running.add(amounts(p.Spec.Overhead), 1)
	running[v1.ResourcePods] = 1
	return running
}

func (r resources) atLeast(o resources) {
	for name, n := range o {
		r[name] = max(r[name], n)
	}
}

func amounts(list v1.ResourceList) resources {
	r := resources{}
	for name, quantity := range list {
		r[name] = amount(name, quantity)
	}
	return r
}

func amount(name v1.ResourceName, quantity resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return quantity.MilliValue()
	}
	return quantity.Value()
}
