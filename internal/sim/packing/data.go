// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-scheduler/muster/internal/trace"
)

//go:embed data/*.csv.gz
var files embed.FS

// WorkloadNames returns the names of the pod lists that come with the package,
// in the order of tables.
func WorkloadNames() []string {
	return []string{"default", "gpuspec10", "gpuspec33", "multigpu20", "multigpu50", "gpushare40", "cpu200"}
}

// LoadExperiment returns one of the experiments that come with the package.
func LoadExperiment(workload string) (*Experiment, error) {
	if !slices.Contains(WorkloadNames(), workload) {
		return nil, fmt.Errorf("workload %q: there are %s", workload, strings.Join(WorkloadNames(), ", "))
	}
	const nodeFile = "openb_node_list_gpu_node.csv"
	nodeText, err := openCompressed(nodeFile)
	if err != nil {
		return nil, err
	}
	nodes, err := trace.ReadOpenbNodes(nodeFile, nodeText)
	if err != nil {
		return nil, err
	}
	podFile := "openb_pod_list_" + workload + ".csv"
	podText, err := openCompressed(podFile)
	if err != nil {
		return nil, err
	}
	pods, err := trace.ReadOpenbPods(podFile, podText)
	if err != nil {
		return nil, err
	}
	return NewExperiment(workload, nodes, pods)
}

// openCompressed opens an embedded file.
func openCompressed(name string) (io.Reader, error) {
	packed, err := files.ReadFile("data/" + name + ".gz")
	if err != nil {
		return nil, err
	}
	return gzip.NewReader(bytes.NewReader(packed))
}

// readTable reads an embedded CSV file.
func readTable(name string) ([][]string, error) {
	text, err := openCompressed(name)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(text).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rows, nil
}

// PublishedLoads are the loads, in percent, of which results were published.
var PublishedLoads = []int{50, 80, 90, 95, 100, 110, 120, 130}

// Published is one published run.
type Published struct {
	Workload, Policy string
	Seed             int64
	// Allocated is the GPU allocation in percent at each of PublishedLoads.
	Allocated []float64
}

// PublishedResults returns the runs that the authors of FGD published. Their
// policies are BestFit, DotProd, FGD, GpuClustering, GpuPacking and Random.
func PublishedResults() ([]Published, error) {
	const name = "fgd_published_results.csv"
	rows, err := readTable(name)
	if err != nil {
		return nil, err
	}
	var results []Published
	for i, row := range rows[1:] {
		p := Published{Workload: row[0], Policy: row[1]}
		if p.Seed, err = strconv.ParseInt(row[2], 10, 64); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
		}
		for j := range PublishedLoads {
			value, err := strconv.ParseFloat(row[3+j], 64)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
			}
			p.Allocated = append(p.Allocated, value)
		}
		results = append(results, p)
	}
	return results, nil
}
