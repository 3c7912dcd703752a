// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Labels and resources of GPU nodes, as NVIDIA's device plugin, GPU Feature
// Discovery and topograph write them.
const (
	GPUResource  = gpu.Resource
	ProductLabel = gpu.ProductLabel
	RackLabel    = "network.topology.nvidia.com/leaf"
	BlockLabel   = "network.topology.nvidia.com/spine"
)

// Fleet is a cluster of equal nodes in racks and blocks.
type Fleet struct {
	// Nodes is how many nodes there are, GPUs how many each has of Product.
	Nodes, GPUs int
	Product     string
	// NodesPerRack and RacksPerBlock are the fabric; 0 leaves that level out.
	NodesPerRack, RacksPerBlock int
}

// BuildNodes returns the fleet's nodes: node-1 .., in rack-1 .., in block-1 ...
func (f Fleet) BuildNodes() ([]*v1.Node, error) {
	if f.Nodes < 0 || f.GPUs < 0 || f.NodesPerRack < 0 || f.RacksPerBlock < 0 {
		return nil, fmt.Errorf("a fleet of %d nodes with %d GPUs, %d nodes a rack and %d racks a block: a count cannot be negative",
			f.Nodes, f.GPUs, f.NodesPerRack, f.RacksPerBlock)
	}
	nodes := make([]*v1.Node, f.Nodes)
	for i := range nodes {
		labels := map[string]string{}
		if f.NodesPerRack > 0 {
			rack := i / f.NodesPerRack
			labels[RackLabel] = fmt.Sprintf("rack-%d", rack+1)
			if f.RacksPerBlock > 0 {
				labels[BlockLabel] = fmt.Sprintf("block-%d", rack/f.RacksPerBlock+1)
			}
		}
		nodes[i] = gpuNode(fmt.Sprintf("node-%d", i+1), f.Product, f.GPUs, NodeShape{Labels: labels})
	}
	return nodes, nil
}

// gpuNode gives shape its GPUs, and 16 CPUs and 256 GiB for each of them where
// shape does not say otherwise: the proportions of a DGX H100.
func gpuNode(name, product string, gpus int, shape NodeShape) *v1.Node {
	if gpus > 0 {
		shape.Extended = map[string]int64{GPUResource: int64(gpus)}
		shape.CPU = cmp.Or(shape.CPU, strconv.Itoa(16*gpus))
		shape.Memory = cmp.Or(shape.Memory, strconv.Itoa(256*gpus)+"Gi")
		if product != "" {
			shape.Labels[ProductLabel] = product
		}
	}
	return NewNode(name, shape)
}

// ReadInventory reads nodes from CSV. The header names the columns: node is
// needed; gpu_model, gpus, cpus and memory_gib are known; a column with a "/"
// in its name is a node label, left out where the cell is empty.
func ReadInventory(r io.Reader) ([]*v1.Node, error) {
	reader := csv.NewReader(r)
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("inventory: read the header row: %w", err)
	}
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	var nodes []*v1.Node
	lines := map[string]int{}
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nodes, nil
		}
		if err != nil {
			return nil, fmt.Errorf("inventory: %w", err)
		}
		line, _ := reader.FieldPos(0)
		node, err := inventoryNode(header, row)
		if err != nil {
			return nil, fmt.Errorf("inventory line %d: %w", line, err)
		}
		if first, taken := lines[node.Name]; taken {
			return nil, fmt.Errorf("inventory line %d: node %s stands in line %d already", line, node.Name, first)
		}
		lines[node.Name] = line
		nodes = append(nodes, node)
	}
}

func checkHeader(header []string) error {
	known := []string{"node", "gpu_model", "gpus", "cpus", "memory_gib"}
	for _, column := range header {
		if !slices.Contains(known, column) && !strings.Contains(column, "/") {
			return fmt.Errorf("inventory: column %q is unknown; there are %s, and node label keys (with a /)", column, strings.Join(known, ", "))
		}
	}
	if !slices.Contains(header, "node") {
		return fmt.Errorf("inventory: the header row has no column node: %q", strings.Join(header, ","))
	}
	return nil
}

func inventoryNode(header, row []string) (*v1.Node, error) {
	var name, product string
	var gpus int
	shape := NodeShape{Labels: map[string]string{}}
	for i, column := range header {
		cell := row[i]
		if cell == "" {
			continue
		}
		switch column {
		case "node":
			name = strings.ToLower(cell)
		case "gpu_model":
			product = cell
		case "gpus", "cpus", "memory_gib":
			count, err := strconv.ParseUint(cell, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("%s is %q; a whole number of at most %d is wanted", column, cell, 1<<31-1)
			}
			switch column {
			case "gpus":
				gpus = int(count)
			case "cpus":
				shape.CPU = cell
			case "memory_gib":
				shape.Memory = cell + "Gi"
			}
		default:
			shape.Labels[column] = cell
		}
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return nil, fmt.Errorf("%q is not a node name: %s", name, strings.Join(problems, "; "))
	}
	return gpuNode(name, product, gpus, shape), nil
}
