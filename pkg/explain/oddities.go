// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// maxOddities is the number of different oddities that an explanation names.
const maxOddities = 5

// oddities are what is wrong with the GPUs of nodes, for a gang that asks for
// GPUs: such a node is used as it is, and holds less than one would think. Nodes
// of the domain that comes nearest are named first.
func (x *explainer) oddities() []string {
	if !x.asksForGPUs() {
		return nil
	}
	tree, nearest := x.usage.Tree, x.nearest()
	choosy := len(x.g.Spec.Models) > 0 || x.g.Spec.Memory > 0
	var texts []string
	nodes := map[string][]string{}
	look := func(inside bool) {
		for i := range tree.Nodes {
			n := topology.NodeID(i)
			if tree.ContainsNode(nearest, n) != inside {
				continue
			}
			for _, text := range kube.GPUNode(x.p.Node(n)).Warnings {
				if !choosy && strings.Contains(text, gpu.ProductLabel) {
					continue // of no concern to those who take any model
				}
				if len(nodes[text]) == 0 {
					texts = append(texts, text)
				}
				nodes[text] = append(nodes[text], tree.Nodes[n].Name)
			}
		}
	}
	look(true)
	look(false)
	var notes []string
	for _, text := range texts[:min(len(texts), maxOddities)] {
		slices.Sort(nodes[text])
		notes = append(notes, join(nodes[text])+": "+text)
	}
	return notes
}

// asksForGPUs reports whether the role that is short of room asks for GPUs.
func (x *explainer) asksForGPUs() bool {
	for c, q := range x.members.Roles[x.scarce].Request {
		if q > 0 && topology.IsGPU(x.usage.Resources[c]) {
			return true
		}
	}
	return false
}
