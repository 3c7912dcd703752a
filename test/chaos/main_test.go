// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos runs two replicas of the scheduler under load and faults, and has an
// independent checker watch what they do; see docs/reliability.md.
package chaos

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/muster-scheduler/muster/test/process"
)

// background is the context of what outlives a test.
var background = context.Background()

var (
	length   = flag.Duration("chaos", 40*time.Second, "for how long the bench makes faults, for each seed")
	seedFlag = flag.Uint64("seed", 0, "the seed of what happens; 0 for those of testdata/seeds or, in a run of more than two minutes, a new one")
	only     = flag.String("only", "", "the kinds of faults to make, such as kill-leader,answer-429; empty for all")
	mutants  = flag.String("mutants", "", "run the mutants of the scheduler with these names, or all, until each is caught")
	slack    = flag.Float64("slack", 5, "by what the times are multiplied that hold without faults: more than 1 where others use the machine")
	lease    = flag.Duration("lease", 5*time.Second, "how long a lease of the replicas is: with a short one, more of their ends fit into a run")
	pause    = flag.Duration("pause", 500*time.Millisecond, "the time between two faults, on average")
	steady   = flag.Duration("steady", 0, "for how long TestSteady runs small gangs without faults; 0 for not at all")
	rate     = flag.Float64("rate", 17, "how many gangs a second TestSteady creates")
	rivals   = flag.String("rivals", "rechecked", "the cases of TestRival to run: rechecked, unchecked, tainted, or all")
	recordTo = flag.String("record", "", "a file to add the record of each run to, as JSON")
)

func TestMain(m *testing.M) { process.Main(m.Run) }
