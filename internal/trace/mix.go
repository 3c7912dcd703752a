// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// MixSingles returns gangs with single pods between them: of the jobs of one
// pod in singles the first ones that together ask for load times what gpus GPUs
// can do while the gangs arrive. Their arrivals are stretched or compressed, by
// one factor, over that time; run times stay.
func MixSingles(gangs, singles []Gang, load float64, gpus int) ([]Gang, error) {
	if len(gangs) == 0 || load <= 0 || gpus <= 0 {
		return nil, fmt.Errorf("mixing traces: %d gangs, a load of %g and %d GPUs found; all must be above 0", len(gangs), load, gpus)
	}
	first := gangs[0].Arrival
	span := gangs[len(gangs)-1].Arrival - first
	wanted := load * span.Seconds() * float64(gpus)
	var pods []Gang
	work := 0.0 // GPU-seconds
	for _, g := range singles {
		if g.Pods != 1 {
			continue
		}
		if work >= wanted {
			break
		}
		pods = append(pods, g)
		work += float64(g.GPUs) * g.Run.Seconds()
	}
	if work < wanted {
		return nil, fmt.Errorf("mixing traces: the single pods ask for %.3g of the GPU time while the gangs arrive; %g is wanted",
			load*work/wanted, load)
	}
	if len(pods) == 0 {
		return gangs, nil
	}
	begin := pods[0].Arrival
	took := max(1, pods[len(pods)-1].Arrival-begin)
	for i, g := range pods {
		pods[i].Arrival = first + time.Duration(float64(g.Arrival-begin)/float64(took)*float64(span))
	}
	all := slices.Concat(gangs, pods)
	slices.SortStableFunc(all, func(a, b Gang) int { return cmp.Compare(a.Arrival, b.Arrival) })
	return all, nil
}
