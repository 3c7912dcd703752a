// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// GPUsPerNode is the number of GPUs of the nodes that the gang traces ran on,
// and so the most that one pod of a gang asks for.
const GPUsPerNode = 8

// Gang is one job of a trace: Pods equal pods that start together.
type Gang struct {
	// Name is unique in the trace and a valid part of a Kubernetes name.
	Name string
	// Arrival is when the job was submitted, from the start of the trace.
	Arrival time.Duration
	// Run is how long the job worked once all its pods ran.
	Run time.Duration
	// Pods is the number of pods, at least 1.
	Pods int
	// GPUs, CPUMilli and MemBytes are what one pod asks for; 0 where the trace
	// does not say.
	GPUs     int
	CPUMilli int64
	MemBytes int64
	// Kind is the trace's own word for the sort of job, such as "Pretrain".
	Kind string
}

// TotalGPUs returns the GPUs of all pods.
func (g Gang) TotalGPUs() int { return g.Pods * g.GPUs }

// ReadGangs reads a gang trace, sorted by arrival. The header row says which of the
// known formats it has:
//
//   - Kalos: job_id, arrival_s, workers, gpus_per_worker, cpu_per_worker
//     (cores), mem_gb_per_worker, duration_s, type;
//   - Philly: submit_s, duration_s, num_gpus, vc. A job of more than
//     GPUsPerNode GPUs becomes the fewest equal pods that hold it;
//   - openb: name, cpu_milli, memory_mib, num_gpu, gpu_milli, creation_time,
//     deletion_time, scheduled_time; each row a pod of no gang. Pods that share
//     a GPU, use none or were never scheduled are left out.
func ReadGangs(name string, r io.Reader) ([]Gang, error) {
	t, err := openCSVTable(name, r)
	if err != nil {
		return nil, err
	}
	read, keep := kalosGang, func(*csvTable) bool { return true }
	switch {
	case t.hasColumns("job_id", "arrival_s", "workers", "gpus_per_worker", "cpu_per_worker", "mem_gb_per_worker", "duration_s", "type"):
	case t.hasColumns("submit_s", "duration_s", "num_gpus", "vc"):
		read = phillyGang
	case t.hasColumns("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "creation_time", "deletion_time", "scheduled_time"):
		read, keep = openbGang, keepOpenb
	default:
		return nil, fmt.Errorf("%s: a trace in Kalos, Philly or openb format is wanted; the header row is %q", name, strings.Join(t.header, ","))
	}
	var gangs []Gang
	for t.nextRow() {
		if !keep(t) {
			continue
		}
		g := read(t, len(gangs))
		t.checkUnique("job", g.Name)
		gangs = append(gangs, g)
	}
	if t.err != nil {
		return nil, t.err
	}
	slices.SortStableFunc(gangs, func(a, b Gang) int { return cmp.Compare(a.Arrival, b.Arrival) })
	return gangs, nil
}

func kalosGang(t *csvTable, _ int) Gang {
	return Gang{
		Name:     fmt.Sprintf("kalos-%03d", t.countField("job_id", 0)),
		Arrival:  t.secondsField("arrival_s"),
		Run:      t.secondsField("duration_s"),
		Pods:     t.countField("workers", 1),
		GPUs:     t.countField("gpus_per_worker", 0),
		CPUMilli: int64(t.countField("cpu_per_worker", 0)) * 1000,
		MemBytes: int64(t.countField("mem_gb_per_worker", 0)) * 1e9,
		Kind:     t.requiredField("type"),
	}
}

func phillyGang(t *csvTable, row int) Gang {
	total := t.countField("num_gpus", 1)
	each := min(total, GPUsPerNode)
	for each > 1 && total%each != 0 {
		each--
	}
	return Gang{
		Name:    fmt.Sprintf("philly-%05d", row),
		Arrival: t.secondsField("submit_s"),
		Run:     t.secondsField("duration_s"),
		Pods:    total / max(1, each),
		GPUs:    each,
		Kind:    t.requiredField("vc"),
	}
}

func keepOpenb(t *csvTable) bool {
	return t.countField("num_gpu", 0) > 0 && t.countField("gpu_milli", 0) == 1000 && t.textField("scheduled_time") != ""
}

func openbGang(t *csvTable, _ int) Gang {
	begin, end := t.secondsField("scheduled_time"), t.secondsField("deletion_time")
	if end < begin {
		t.failField("deletion_time", t.textField("deletion_time"), "a time after scheduled_time")
	}
	return Gang{
		Name: t.requiredField("name"), Arrival: t.secondsField("creation_time"), Run: end - begin, Pods: 1,
		GPUs: t.countField("num_gpu", 1), CPUMilli: int64(t.countField("cpu_milli", 0)), MemBytes: int64(t.countField("memory_mib", 0)) << 20,
	}
}
