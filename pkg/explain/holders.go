// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import v1 "k8s.io/api/core/v1"

// Holders are the pods that are on the nodes of the cluster.
func (p *Picture) Holders() []*v1.Pod { return p.pods }

// GangOf is the gang of a pod that is on a node, nil if it is in none.
func (p *Picture) GangOf(pod *v1.Pod) *Gang { return p.gangOf[pod.UID] }

// NodeNamed finds a node by its name.
func (p *Picture) NodeNamed(name string) (*v1.Node, bool) {
	i, ok := p.index[name]
	if !ok {
		return nil, false
	}
	return p.infos[i].Node(), true
}
