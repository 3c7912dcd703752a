// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import v1 "k8s.io/api/core/v1"

// AssignedPods returns the pods that have a node.
func (v *ClusterView) AssignedPods() []*v1.Pod { return v.pods }

// GangOf returns the gang of a pod that is on a node, nil if it is in none.
func (v *ClusterView) GangOf(pod *v1.Pod) *Gang { return v.gangOf[pod.UID] }

// NodeNamed returns the node of a name.
func (v *ClusterView) NodeNamed(name string) (*v1.Node, bool) {
	i, ok := v.index[name]
	if !ok {
		return nil, false
	}
	return v.infos[i].Node(), true
}
