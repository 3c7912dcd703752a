// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Compression is how a trace is compressed in time. Run times are divided by
// Speed and then held at MinRun or more; arrivals are divided by the one factor
// that makes the load come out. Order and simultaneity of arrivals, sizes and
// requests stay as they were.
type Compression struct {
	// Speed divides every run time.
	Speed float64
	// MinRun is the shortest run after the division: what a control plane can
	// still start and end.
	MinRun time.Duration
	// Load is the work that arrives (GPUs x run time, after the squeeze)
	// divided by what GPUs could do between the first and the last arrival. At
	// 1 the fleet would be just busy if nothing were ever left idle.
	Load float64
	// GPUs is the size of the fleet.
	GPUs int
}

// Apply returns the compressed gangs and the factor by which arrivals were
// divided. The first gang arrives at 0.
func (c Compression) Apply(gangs []Gang) ([]Gang, float64, error) {
	if c.Speed <= 0 || c.Load <= 0 || c.GPUs <= 0 || c.MinRun < 0 {
		return nil, 0, fmt.Errorf("compressing a trace: speed %g, load %g, %d GPUs and shortest run %s found; the first three must be above 0",
			c.Speed, c.Load, c.GPUs, c.MinRun)
	}
	if len(gangs) == 0 {
		return nil, 0, errors.New("compressing a trace: it has no gangs")
	}
	out := make([]Gang, len(gangs))
	var work float64 // GPU-seconds
	for i, g := range gangs {
		out[i] = g
		out[i].Run = max(c.MinRun, time.Duration(float64(g.Run)/c.Speed))
		work += float64(g.TotalGPUs()) * out[i].Run.Seconds()
	}
	first := gangs[0].Arrival
	span := (gangs[len(gangs)-1].Arrival - first).Seconds()
	factor := span * c.Load * float64(c.GPUs) / work
	if span <= 0 || work <= 0 || math.IsInf(factor, 0) {
		factor = 1
	}
	for i, g := range gangs {
		out[i].Arrival = time.Duration(float64(g.Arrival-first) / factor)
	}
	return out, factor, nil
}
