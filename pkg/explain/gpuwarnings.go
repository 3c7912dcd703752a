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

// maxGPUWarnings is the number of different warnings that an explanation gives.
const maxGPUWarnings = 5

// gpuWarnings returns what is wrong with the GPUs of nodes, for a gang that
// asks for GPUs: such a node is used as it is, and holds less than one would
// think. Nodes of the nearest domain are named first.
func (x *explainer) gpuWarnings() []string {
	if !x.asksForGPUs() {
		return nil
	}
	tree, nearest := x.usage.Tree, x.nearestDomain()
	choosy := len(x.gang.Spec.Models) > 0 || x.gang.Spec.Memory > 0
	var texts []string
	nodes := map[string][]string{}
	look := func(inside bool) {
		for i := range tree.Nodes {
			n := topology.NodeID(i)
			if tree.ContainsNode(nearest, n) != inside {
				continue
			}
			for _, text := range kube.GPUNode(x.view.Node(n)).Warnings {
				if !choosy && (strings.Contains(text, gpu.ProductLabel) || strings.Contains(text, gpu.UnlabelledText)) {
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
	for _, text := range texts[:min(len(texts), maxGPUWarnings)] {
		slices.Sort(nodes[text])
		notes = append(notes, joinWords(nodes[text])+": "+text)
	}
	return notes
}

// asksForGPUs reports whether the bottleneck role asks for GPUs.
func (x *explainer) asksForGPUs() bool {
	for c, q := range x.members.Roles[x.bottleneck].Request {
		if q > 0 && topology.IsGPU(x.usage.Resources[c]) {
			return true
		}
	}
	return false
}
