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

// ReadNodes reads a fabric or an inventory in file order. The header row says which
// of the known formats it has:
//
//   - Lingjun fabric: host, dsw (core), psw (spine), asw (leaf);
//   - topograph model: node, gpu_model, gpus, tier0_leaf, tier1_spine,
//     tier2_core, nvl_domain;
//   - InfiniBand dump of a GB200 system: node, rack, leaf_rail_1 ...; the rack
//     is the leaf and the NVLink domain, as one rail's leaf switch per rack is;
//   - Alibaba inventory: node, gpu_model, gpus, cpus; without a fabric.
func ReadNodes(name string, r io.Reader) ([]Node, error) {
	t, err := openCSVTable(name, r)
	if err != nil {
		return nil, err
	}
	var read func(*csvTable) Node
	switch {
	case t.hasColumns("host", "dsw", "psw", "asw"):
		read = lingjunNode
	case t.hasColumns("node", "gpu_model", "gpus", "tier0_leaf", "tier1_spine", "tier2_core", "nvl_domain"):
		read = modelNode
	case t.hasColumns("node", "rack", "tray", "leaf_rail_1"):
		read = infinibandNode
	case t.hasColumns("node", "gpu_model", "gpus", "cpus"):
		read = inventoryNode
	default:
		return nil, fmt.Errorf("%s: a fabric or an inventory in a known format is wanted; the header row is %q", name, strings.Join(t.header, ","))
	}
	var nodes []Node
	for t.nextRow() {
		n := read(t)
		t.checkUnique("node", n.Name)
		nodes = append(nodes, n)
	}
	if t.err != nil {
		return nil, t.err
	}
	return nodes, nil
}

func lingjunNode(t *csvTable) Node {
	return Node{Name: t.requiredField("host"), Core: t.requiredField("dsw"), Spine: t.requiredField("psw"), Leaf: t.requiredField("asw")}
}

func modelNode(t *csvTable) Node {
	return Node{
		Name: t.requiredField("node"), Model: t.requiredField("gpu_model"), GPUs: t.countField("gpus", 0),
		Core: t.requiredField("tier2_core"), Spine: t.requiredField("tier1_spine"), Leaf: t.requiredField("tier0_leaf"), Clique: t.requiredField("nvl_domain"),
	}
}

func infinibandNode(t *csvTable) Node {
	rack := t.requiredField("rack")
	return Node{Name: t.requiredField("node"), Leaf: rack, Clique: rack, Model: "NVIDIA-GB200", GPUs: 4}
}

func inventoryNode(t *csvTable) Node {
	return Node{
		Name: "node-" + t.requiredField("node"), Model: t.requiredField("gpu_model"),
		GPUs: t.countField("gpus", 0), CPUMilli: int64(t.countField("cpus", 0)) * 1000,
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

// TopologyLabels returns the labels of the node. Levels that the file does not
// know are left out.
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
