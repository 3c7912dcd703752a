// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"io"
	"strings"
)

// Node is one row of a fabric or an inventory. What a file does not say is
// empty or 0.
type Node struct {
	// Name is unique in the file and a valid Kubernetes name.
	Name string
	// Core, Spine and Leaf are the switches above the node, widest first. A
	// leaf's name is unique in the file.
	Core, Spine, Leaf string
	// Clique is the NVLink domain that the node shares with others.
	Clique string
	// Model is the GPU product.
	Model string
	// GPUs is the number of devices, CPUMilli that of processors.
	GPUs     int
	CPUMilli int64
}

// Nodes reads a fabric or an inventory in file order. The header row says which
// of the known formats it has:
//
//   - Lingjun fabric: host, dsw (core), psw (spine), asw (leaf);
//   - topograph model: node, gpu_model, gpus, tier0_leaf, tier1_spine,
//     tier2_core, nvl_domain;
//   - InfiniBand dump of a GB200 system: node, rack, leaf_rail_1 ...; the rack
//     is the leaf and the NVLink domain, as one rail's leaf switch per rack is;
//   - Alibaba inventory: node, gpu_model, gpus, cpus; without a fabric.
func Nodes(name string, r io.Reader) ([]Node, error) {
	t, err := openTable(name, r)
	if err != nil {
		return nil, err
	}
	var read func(*table) Node
	switch {
	case t.has("host", "dsw", "psw", "asw"):
		read = lingjunNode
	case t.has("node", "gpu_model", "gpus", "tier0_leaf", "tier1_spine", "tier2_core", "nvl_domain"):
		read = modelNode
	case t.has("node", "rack", "tray", "leaf_rail_1"):
		read = infinibandNode
	case t.has("node", "gpu_model", "gpus", "cpus"):
		read = inventoryNode
	default:
		return nil, fmt.Errorf("%s: a fabric or an inventory in a known format is wanted; the header row is %q", name, strings.Join(t.header, ","))
	}
	var nodes []Node
	for t.next() {
		n := read(t)
		t.unique("node", n.Name)
		nodes = append(nodes, n)
	}
	if t.err != nil {
		return nil, t.err
	}
	return nodes, nil
}

func lingjunNode(t *table) Node {
	return Node{Name: t.word("host"), Core: t.word("dsw"), Spine: t.word("psw"), Leaf: t.word("asw")}
}

func modelNode(t *table) Node {
	return Node{
		Name: t.word("node"), Model: t.word("gpu_model"), GPUs: t.count("gpus", 0),
		Core: t.word("tier2_core"), Spine: t.word("tier1_spine"), Leaf: t.word("tier0_leaf"), Clique: t.word("nvl_domain"),
	}
}

func infinibandNode(t *table) Node {
	rack := t.word("rack")
	return Node{Name: t.word("node"), Leaf: rack, Clique: rack, Model: "NVIDIA-GB200", GPUs: 4}
}

func inventoryNode(t *table) Node {
	return Node{
		Name: "node-" + t.word("node"), Model: t.word("gpu_model"),
		GPUs: t.count("gpus", 0), CPUMilli: int64(t.count("cpus", 0)) * 1000,
	}
}

// The node labels that tell Kubernetes where a node stands: the keys of NVIDIA's
// topograph, and of GPU Feature Discovery for the NVLink domain.
const (
	CoreLabel   = "network.topology.nvidia.com/core"
	SpineLabel  = "network.topology.nvidia.com/spine"
	LeafLabel   = "network.topology.nvidia.com/leaf"
	CliqueLabel = "nvidia.com/gpu.clique"
)

// TopologyLabels are the labels of the node. Levels that the file does not know
// are left out.
func (n Node) TopologyLabels() map[string]string {
	labels := map[string]string{}
	for key, value := range map[string]string{
		CoreLabel: n.Core, SpineLabel: n.Spine, LeafLabel: n.Leaf, CliqueLabel: n.Clique,
	} {
		if value != "" {
			labels[key] = value
		}
	}
	return labels
}
