// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// OpenbNode is a node of Alibaba's openb cluster.
type OpenbNode struct {
	Name string
	// Model is the GPU model, empty on a node without GPUs.
	Model string
	// CPUMilli, MemoryMiB and GPUs are what the node has.
	CPUMilli, MemoryMiB int64
	GPUs                int
}

// OpenbPod is a pod of Alibaba's openb cluster. The files also have times,
// which the published experiments do not use.
type OpenbPod struct {
	Name string
	// CPUMilli and MemoryMiB are the requests.
	CPUMilli, MemoryMiB int64
	// GPUs is the number of devices, GPUMilli what is asked of each: below 1000
	// a share of one device. Both are 0 for a pod without GPUs.
	GPUs, GPUMilli int
	// Models are the models that the pod accepts, each once; none means any.
	Models []string
}

// RequestedMilli returns the GPU request in thousandths of a device.
func (p *OpenbPod) RequestedMilli() int { return p.GPUs * p.GPUMilli }

// ReadOpenbNodes reads an openb node list, in file order.
func ReadOpenbNodes(name string, r io.Reader) ([]OpenbNode, error) {
	t, err := openOpenb(name, r, "a node list", "sn", "cpu_milli", "memory_mib", "gpu", "model")
	if err != nil {
		return nil, err
	}
	var nodes []OpenbNode
	for t.nextRow() {
		n := OpenbNode{
			Name: t.requiredField("sn"), Model: strings.Clone(t.textField("model")), GPUs: t.countField("gpu", 0),
			CPUMilli: int64(t.countField("cpu_milli", 0)), MemoryMiB: int64(t.countField("memory_mib", 0)),
		}
		if n.GPUs > 0 && n.Model == "" {
			t.failField("model", "", "a GPU model on a node with GPUs")
		}
		nodes = append(nodes, n)
	}
	return nodes, t.err
}

// ReadOpenbPods reads an openb pod list, in file order. The lists with many
// multi-GPU pods have no column gpu_spec.
func ReadOpenbPods(name string, r io.Reader) ([]OpenbPod, error) {
	t, err := openOpenb(name, r, "a pod list", "name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
	if err != nil {
		return nil, err
	}
	var pods []OpenbPod
	for t.nextRow() {
		p := OpenbPod{
			Name: t.requiredField("name"), CPUMilli: int64(t.countField("cpu_milli", 0)), MemoryMiB: int64(t.countField("memory_mib", 0)),
			GPUs: t.countField("num_gpu", 0), GPUMilli: t.countField("gpu_milli", 0),
		}
		switch {
		case p.GPUs == 0:
			p.GPUMilli = 0
		case p.GPUMilli < 1 || p.GPUMilli > 1000 || p.GPUs > 1 && p.GPUMilli != 1000:
			t.failField("gpu_milli", t.textField("gpu_milli"), "1 to 1000, and 1000 with several GPUs")
		}
		if spec := t.textField("gpu_spec"); spec != "" && p.GPUs > 0 {
			for model := range strings.SplitSeq(spec, "|") {
				if !slices.Contains(p.Models, model) {
					p.Models = append(p.Models, strings.Clone(model))
				}
			}
		}
		pods = append(pods, p)
	}
	return pods, t.err
}

// openOpenb opens an openb file and checks its columns.
func openOpenb(name string, r io.Reader, what string, columns ...string) (*csvTable, error) {
	t, err := openCSVTable(name, r)
	if err != nil {
		return nil, err
	}
	if !t.hasColumns(columns...) {
		return nil, fmt.Errorf("%s: %s of openb has the columns %s; the header row is %q",
			name, what, strings.Join(columns, ","), strings.Join(t.header, ","))
	}
	return t, nil
}
