// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement_test

import (
	"fmt"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// A gang of three goes into the rack that it fills best; a gang that no rack
// holds is refused with numbers.
func ExampleSolve() {
	tree, usage, err := topology.ParseUsage(`
block-a
  rack-1
    n1 8
    n2 8
    n3 8
    n4 8
  rack-2
    n5 8
    n6 8
    n7 8
    n8 8 cordoned`)
	if err != nil {
		panic(err)
	}
	rack, _ := tree.LevelByName("rack")
	train := &gang.Gang{
		Name: "train", MinCount: 3, Required: rack, Preferred: topology.NoLevel,
		Roles: []gang.Role{{Count: 3, Request: []int64{8}, Required: topology.NoLevel, NearRole: -1}},
	}
	plan := placement.Solve(usage, train)
	fmt.Println("domain:", tree.DomainPath(plan.Domain))
	for i, n := range plan.Nodes[0] {
		fmt.Printf("pod %d: %s\n", i, tree.Nodes[n].Name)
		usage.AllocateOn(n, train.Roles[0].Request)
	}

	train.MinCount, train.Roles[0].Count = 4, 4
	usage.AllocateOn(0, []int64{1})
	fmt.Println(placement.Solve(usage, train).Refusal)
	// Output:
	// domain: block-a/rack-2
	// pod 0: n5
	// pod 1: n6
	// pod 2: n7
	// gang train needs 4 pods in one rack; the best, rack-1, has room for 3 (short of nvidia.com/gpu)
}
