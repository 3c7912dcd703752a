// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed workload
var workload embed.FS

// clusterShape is a number of equal gangs on a cluster of equal nodes.
type clusterShape struct {
	name                        string
	nodes, groups, podsPerGroup int
	// rack asks for one rack for each gang.
	rack bool
}

// clusterShapes are the ones that -shapes can name. Many small gangs measure
// the rate of decisions, few large ones the rate of binds.
var clusterShapes = []clusterShape{
	{"topology/750x4", 5000, 750, 4, true},
	{"topology/3x1000", 5000, 3, 1000, true},
	{"gang/1000x3", 5000, 1000, 3, false},
	{"gang/3x1000", 5000, 3, 1000, false},
	{"small/10x3", 200, 10, 3, true},
}

// podCount returns the number of pods of all gangs.
func (s clusterShape) podCount() int { return s.groups * s.podsPerGroup }

// The contestants.
const (
	// upstreamScheduler is the scheduler that scheduler_perf starts.
	upstreamScheduler = "upstream"
	// musterScheduler is this repository's.
	musterScheduler = "muster"
	// nullScheduler binds without a decision.
	nullScheduler = "null"
)

// contestants are all of them, in the order of the table.
var contestants = []string{upstreamScheduler, musterScheduler, nullScheduler}

// benchmarkJob is one shape for one contestant.
type benchmarkJob struct {
	shape      clusterShape
	contestant string
}

// parseJobs reads what is asked for, the contestants of a shape one after
// another.
func parseJobs(shapeNames, contestantNames string) ([]benchmarkJob, error) {
	var jobs []benchmarkJob
	for name := range strings.SplitSeq(shapeNames, ",") {
		for contestant := range strings.SplitSeq(contestantNames, ",") {
			one, err := findJob(name, contestant)
			if err != nil {
				return nil, err
			}
			jobs = append(jobs, one)
		}
	}
	return jobs, nil
}

// findJob returns the job of two names, or an error that lists the known ones.
func findJob(name, contestant string) (benchmarkJob, error) {
	var known []string
	for _, one := range contestants {
		if one == contestant {
			for _, s := range clusterShapes {
				if s.name == name {
					return benchmarkJob{s, contestant}, nil
				}
				known = append(known, s.name)
			}
			return benchmarkJob{}, fmt.Errorf("shape %q is not known; there are %s", name, strings.Join(known, ", "))
		}
	}
	return benchmarkJob{}, fmt.Errorf("contestant %q is not known; there are %s", contestant, strings.Join(contestants, ", "))
}

// schedulerName returns the schedulerName of the pods. Upstream is the
// scheduler that scheduler_perf starts; beside the others it has no pods.
func (j benchmarkJob) schedulerName() string {
	if j.contestant == upstreamScheduler {
		return "default-scheduler"
	}
	return j.contestant
}

// writeFiles writes scheduler_perf's files into a new directory.
func (j benchmarkJob) writeFiles(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return err
	}
	files, err := fs.Sub(workload, "workload")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}
	text, err := template.ParseFS(files, "workload.yaml")
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(dir, "workload.yaml"))
	if err != nil {
		return err
	}
	defer out.Close()
	family, _, _ := strings.Cut(j.shape.name, "/")
	return text.Execute(out, map[string]any{
		"Family": family,
		"Nodes":  j.shape.nodes, "Groups": j.shape.groups, "PodsPerGroup": j.shape.podsPerGroup, "Rack": j.shape.rack,
		"Scheduler": j.schedulerName(),
		// Muster's cycle is behind this gate. Upstream does without where no
		// gang asks for a rack, as in its own benchmark of gangs.
		"TopologyGate": j.shape.rack || j.contestant == musterScheduler,
	})
}
