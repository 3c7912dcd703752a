// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/preemption"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const twoRacks = `levels: rack
rack-1
  n1 8
  n2 8
rack-2
  n3 8
  n4 8
`

// on puts pods of some GPUs each on nodes, one a node that is named.
func on(u *topology.Usage, gpus int64, work int64, nodes ...string) []preemption.Pod {
	var pods []preemption.Pod
	for i, name := range nodes {
		n, ok := u.Tree.NodeByName(name)
		if !ok {
			panic(name)
		}
		pods = append(pods, preemption.Pod{Name: fmt.Sprint(i), Node: n, Request: []int64{gpus}, Work: work})
	}
	return pods
}

func budgeted(pods []preemption.Pod) []preemption.Pod {
	for i := range pods {
		pods[i].Budgets = []int{0}
	}
	return pods
}

// asking is a gang of members of some GPUs each that one domain of a level holds.
func asking(count int, gpus int64, level topology.Level) *gang.Gang {
	return &gang.Gang{Name: "high", MinCount: count, Required: level, Preferred: topology.NoLevel,
		Roles: []gang.Role{{Count: count, Request: []int64{gpus}, Required: topology.NoLevel, NearRole: -1}}}
}

func TestChooseVictims_Stories(t *testing.T) {
	const rack = topology.Level(0)
	type workloads = func(u *topology.Usage) []preemption.Workload
	for _, story := range []struct {
		name    string
		running workloads
		gang    *gang.Gang
		budgets []preemption.Budget
		strict  bool
		ignored []preemption.Part
		victims []string // names, with the pods where not all of them go
		refused bool
	}{
		{
			name: "a rack with one small pod makes way, not the rack with a gang",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "train", Gang: true, Pods: on(u, 8, 100, "n1", "n2")},
					{Name: "notebook", Pods: on(u, 1, 9000, "n3")},
				}
			},
			gang: asking(2, 8, rack), victims: []string{"notebook"},
		},
		{
			name: "the lower priority makes way, although more of it has to",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "low", Gang: true, Priority: 1, Pods: on(u, 8, 5000, "n1", "n2")},
					{Name: "middle", Priority: 5, Pods: on(u, 1, 1, "n3")},
				}
			},
			gang: asking(2, 8, rack), victims: []string{"low"},
		},
		{
			name: "equal and higher priorities never make way",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "equal", Priority: 10, Pods: on(u, 1, 0, "n1")},
					{Name: "higher", Priority: 11, Pods: on(u, 1, 0, "n3")},
				}
			},
			gang: asking(2, 8, rack), refused: true,
		},
		{
			name: "members to spare go before a whole gang",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "elastic", Gang: true, Spare: 2, Pods: on(u, 8, 100, "n1", "n2", "n3")},
					{Name: "rigid", Gang: true, Pods: on(u, 8, 1, "n4")},
				}
			},
			gang: asking(2, 8, rack), victims: []string{"elastic [0 1]"},
		},
		{
			name: "a gang gives up no more than it has to spare",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "elastic", Gang: true, Spare: 1, Pods: on(u, 8, 1, "n1", "n2")},
					{Name: "rigid", Gang: true, Pods: on(u, 8, 100, "n3", "n4")},
				}
			},
			gang: asking(2, 8, rack), victims: []string{"elastic"},
		},
		{
			name: "the gang that lost the least work stops: one that was just checkpointed",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "fresh", Gang: true, Pods: on(u, 8, 7200, "n1", "n2")},
					{Name: "checkpointed", Gang: true, Pods: on(u, 8, 60, "n3", "n4")},
				}
			},
			gang: asking(2, 8, rack), victims: []string{"checkpointed"},
		},
		{
			name: "a single pod takes two singles and not a member of a gang",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "gang", Gang: true, Pods: on(u, 8, 1, "n1", "n2")},
					{Name: "high-1", Priority: 10, Pods: on(u, 8, 1, "n4")},
					{Name: "single-1", Pods: on(u, 2, 900, "n3")},
					{Name: "single-2", Pods: on(u, 2, 900, "n3")},
					{Name: "filler", Priority: 10, Pods: on(u, 4, 0, "n3")},
				}
			},
			gang: asking(1, 4, topology.NoLevel), victims: []string{"single-1", "single-2"},
		},
		{
			name: "a budget is kept where another set is enough",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "kept", Pods: budgeted(on(u, 8, 1, "n1"))},
					{Name: "free", Pods: on(u, 8, 100, "n3")},
				}
			},
			gang: asking(2, 8, rack), budgets: []preemption.Budget{{Name: "pdb"}}, victims: []string{"free"},
		},
		{
			name: "a budget is exceeded where nothing else helps",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "kept", Pods: budgeted(on(u, 8, 1, "n1"))},
					{Name: "equal", Priority: 10, Pods: on(u, 8, 1, "n3")},
				}
			},
			gang: asking(2, 8, rack), budgets: []preemption.Budget{{Name: "pdb"}}, victims: []string{"kept"},
		},
		{
			name: "a strict budget is never exceeded, not by pods of several workloads either",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "one", Pods: budgeted(on(u, 8, 1, "n1"))},
					{Name: "two", Pods: budgeted(on(u, 8, 1, "n2"))},
					{Name: "equal", Priority: 10, Pods: on(u, 8, 1, "n3")},
				}
			},
			gang: asking(2, 8, rack), budgets: []preemption.Budget{{Name: "pdb", Allowed: 1}}, strict: true, refused: true,
		},
		{
			name: "what is protected or young makes way for nobody",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "young", Exempt: preemption.TooYoung, Pods: on(u, 1, 0, "n1")},
					{Name: "protected", Exempt: preemption.Protected, Pods: on(u, 1, 0, "n3")},
				}
			},
			gang: asking(2, 8, rack), refused: true,
		},
		{
			name: "victims share a node: the cheapest of them go",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "a", Pods: on(u, 2, 50, "n1")}, {Name: "b", Pods: on(u, 2, 10, "n1")},
					{Name: "c", Pods: on(u, 2, 20, "n1")}, {Name: "d", Pods: on(u, 2, 30, "n1")},
					{Name: "rest", Priority: 10, Gang: true, Pods: on(u, 8, 0, "n2", "n3", "n4")},
				}
			},
			gang: asking(1, 4, topology.NoLevel), victims: []string{"b", "c"},
		},
		{
			name: "a part of the price that is left out does not count",
			running: func(u *topology.Usage) []preemption.Workload {
				return []preemption.Workload{
					{Name: "gang", Gang: true, Pods: on(u, 8, 1, "n1", "n2")},
					{Name: "single", Pods: on(u, 8, 100, "n3")},
				}
			},
			gang: asking(2, 8, rack), ignored: []preemption.Part{preemption.PartWork}, victims: []string{"single"},
		},
	} {
		t.Run(story.name, func(t *testing.T) {
			_, u, err := topology.ParseUsage(twoRacks)
			require.NoError(t, err)
			p := &preemption.Problem{Usage: u, Gang: story.gang, Priority: 10, Workloads: story.running(u), Budgets: story.budgets, Strict: story.strict}
			for _, part := range story.ignored {
				p.Ignored[part] = true
			}
			for _, w := range p.Workloads {
				for _, pod := range w.Pods {
					u.AllocateOn(pod.Node, pod.Request)
				}
			}
			a := preemption.ChooseVictims(placement.NewPlanner(u), p)
			require.NoError(t, preemption.Check(p, a))
			assert.Equal(t, story.refused, a.Plan.Refusal != nil)
			assert.Equal(t, story.victims, victimNames(p, a))
		})
	}
}

func victimNames(p *preemption.Problem, a preemption.Answer) []string {
	var names []string
	for _, v := range a.Victims {
		name := p.Workloads[v.Workload].Name
		if !v.Whole {
			name += fmt.Sprint(" ", v.Pods)
		}
		names = append(names, name)
	}
	return names
}
