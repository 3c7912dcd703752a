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

// Milli is the GPU request in thousandths of a device.
func (p *OpenbPod) Milli() int { return p.GPUs * p.GPUMilli }

// OpenbNodes reads an openb node list, in file order.
func OpenbNodes(name string, r io.Reader) ([]OpenbNode, error) {
	t, err := openOpenb(name, r, "a node list", "sn", "cpu_milli", "memory_mib", "gpu", "model")
	if err != nil {
		return nil, err
	}
	var nodes []OpenbNode
	for t.next() {
		n := OpenbNode{
			Name: t.word("sn"), Model: strings.Clone(t.text("model")), GPUs: t.count("gpu", 0),
			CPUMilli: int64(t.count("cpu_milli", 0)), MemoryMiB: int64(t.count("memory_mib", 0)),
		}
		if n.GPUs > 0 && n.Model == "" {
			t.fail("model", "", "a GPU model on a node with GPUs")
		}
		nodes = append(nodes, n)
	}
	return nodes, t.err
}

// OpenbPods reads an openb pod list, in file order. The lists with many
// multi-GPU pods have no column gpu_spec.
func OpenbPods(name string, r io.Reader) ([]OpenbPod, error) {
	t, err := openOpenb(name, r, "a pod list", "name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
	if err != nil {
		return nil, err
	}
	var pods []OpenbPod
	for t.next() {
		p := OpenbPod{
			Name: t.word("name"), CPUMilli: int64(t.count("cpu_milli", 0)), MemoryMiB: int64(t.count("memory_mib", 0)),
			GPUs: t.count("num_gpu", 0), GPUMilli: t.count("gpu_milli", 0),
		}
		switch {
		case p.GPUs == 0:
			p.GPUMilli = 0
		case p.GPUMilli < 1 || p.GPUMilli > 1000 || p.GPUs > 1 && p.GPUMilli != 1000:
			t.fail("gpu_milli", t.text("gpu_milli"), "1 to 1000, and 1000 with several GPUs")
		}
		if spec := t.text("gpu_spec"); spec != "" && p.GPUs > 0 {
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

func openOpenb(name string, r io.Reader, what string, columns ...string) (*table, error) {
	t, err := openTable(name, r)
	if err != nil {
		return nil, err
	}
	if !t.has(columns...) {
		return nil, fmt.Errorf("%s: %s of openb has the columns %s; the header row is %q",
			name, what, strings.Join(columns, ","), strings.Join(t.header, ","))
	}
	return t, nil
}
