// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"maps"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/internal/demo/data"
	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/internal/trace"
)

// KalosNodes is the size of the cluster on which the gangs ran.
const KalosNodes = 302

const gpuProduct = "NVIDIA-A100-SXM4-80GB"

// levels are the topology levels of the fleet as the auditor checks them.
var levels = map[string][]string{
	"spine": {trace.CoreLabel, trace.SpineLabel},
	"leaf":  {trace.CoreLabel, trace.SpineLabel, trace.LeafLabel},
}

// firstHosts returns the first n hosts of the fabric.
func firstHosts(n int) ([]trace.Node, error) {
	nodes, err := data.LingjunNodes()
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(nodes) {
		return nil, fmt.Errorf("a fleet of %d nodes is asked for; the fabric has places for 1 to %d", n, len(nodes))
	}
	return nodes[:n], nil
}

// fleetNodes returns a node for each host, with the resources of a Kalos node:
// 128 cores, 2 TB of memory and 8 A100 (Hu et al., NSDI 2024, table 1).
func fleetNodes(hosts []trace.Node) []*v1.Node {
	nodes := make([]*v1.Node, len(hosts))
	for i, host := range hosts {
		labels := map[string]string{sandbox.ProductLabel: gpuProduct}
		maps.Copy(labels, host.TopologyLabels())
		nodes[i] = sandbox.NewNode(host.Name, sandbox.NodeShape{
			CPU: "128", Memory: "2048G", Labels: labels,
			Extended: map[string]int64{sandbox.GPUResource: trace.GPUsPerNode},
		})
	}
	return nodes
}
