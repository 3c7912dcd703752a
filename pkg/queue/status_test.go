// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatusOf(t *testing.T) {
	refusal := &Verdict{Reason: "NoRoom", Message: "there is no room"}
	problem := &Verdict{Reason: "Misdeclared", Message: "it says two things"}
	tests := []struct {
		name      string
		readiness Readiness
		refusal   *Verdict
		phase     Phase
		reason    string
	}{
		{"complete and not tried yet", Readiness{Waiting: 4}, nil, Queued, ""},
		{"refused", Readiness{Waiting: 4}, refusal, Waiting, "NoRoom"},
		{"without members", Readiness{}, nil, Waiting, ReasonIncomplete},
		{"short of a member", Readiness{Waiting: 3}, nil, Waiting, ReasonIncomplete},
		{"short of a member after it was refused", Readiness{Waiting: 3}, refusal, Waiting, ReasonIncomplete},
		{"held back as a whole", Readiness{Gated: 4}, nil, Gated, ReasonGated},
		{"held back in part, and short of a member", Readiness{Waiting: 2, Gated: 1}, nil, Waiting, ReasonIncomplete},
		{"held back in part", Readiness{Waiting: 3, Gated: 1}, nil, Gated, ReasonGated},
		{"complete beside a member that is held back", Readiness{Waiting: 4, Gated: 1}, nil, Queued, ""},
		{"misdeclared", Readiness{Waiting: 4, Problem: problem}, refusal, Waiting, "Misdeclared"},
		{"misdeclared and held back", Readiness{Gated: 4, Problem: problem}, nil, Waiting, "Misdeclared"},
		{"being bound", Readiness{Bound: 4, Assumed: 4}, nil, Binding, ""},
		{"being bound in part, whatever stands against it", Readiness{Bound: 1, Assumed: 1, Waiting: 3, Problem: problem}, refusal, Binding, ""},
		{"running", Readiness{Bound: 4}, nil, Running, ""},
		{"running, declared anew in a way that cannot be", Readiness{Bound: 2, Problem: problem}, nil, Running, ""},
		{"running with more to come", Readiness{Bound: 4, Waiting: 1}, nil, Running, ""},
		{"running with more to come that have no room", Readiness{Bound: 4, Waiting: 1}, refusal, Running, "NoRoom"},
		{"running with more to come that are held back", Readiness{Bound: 4, Gated: 1}, nil, Running, ReasonGated},
		{"partial while the others wait", Readiness{Bound: 2, Waiting: 2}, nil, Partial, ""},
		{"partial while the others have no room", Readiness{Bound: 2, Waiting: 2}, refusal, Partial, "NoRoom"},
		{"partial while too few others wait", Readiness{Bound: 2, Waiting: 1}, nil, Partial, ReasonIncomplete},
		{"partial while the others are held back", Readiness{Bound: 2, Gated: 2}, nil, Partial, ReasonGated},
		{"running, and another run waits for its end", Readiness{Bound: 4, Later: 4}, nil, Running, ReasonConflict},
		{"complete beside another run", Readiness{Waiting: 4, Later: 4}, nil, Queued, ""},
		{"short of a member beside another run", Readiness{Waiting: 3, Later: 4}, nil, Waiting, ReasonIncomplete},
		{"what is left of a gang, and nobody waits", Readiness{Bound: 2}, nil, Running, ReasonPartial},
	}
	seen := map[Phase]bool{}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := test.readiness
			r.Gang, r.MinCount, r.Required, r.Gates, r.LaterWhy = "train", 4, 4, "kueue.x-k8s.io/admission", "two runs under one name"
			status := StatusOf(r, test.refusal)
			assert.Equal(t, test.phase, status.Phase)
			assert.Equal(t, test.reason, status.Reason)
			assert.Equal(t, test.reason == "", status.Message == "", "a reason comes with a message, and a message with a reason")
		})
		seen[test.phase] = true
	}
	for _, phase := range Phases() {
		assert.True(t, seen[phase], "no row is %s", phase)
	}
}

func TestReadiness_ObstacleSaysWhatIsMissing(t *testing.T) {
	tests := []struct {
		name      string
		readiness Readiness
		message   string
	}{
		{"nobody", Readiness{MinCount: 1}, "gang train has none of the 1 pod that must start together; waiting for them to be created"},
		{"some", Readiness{MinCount: 4, Bound: 1, Waiting: 2}, "gang train has 3 of the 4 pods that must start together; waiting for the others to be created"},
		{"a gate", Readiness{MinCount: 4, Waiting: 3, Gated: 1, Gates: "quota"}, "gang train: the scheduling gate quota holds back 1 pod of 4; whoever put it there has to remove it"},
		{"a gate, and some", Readiness{MinCount: 4, Waiting: 1, Gated: 2, Gates: "quota"}, "gang train has 3 of the 4 pods that must start together (the scheduling gate quota holds back 2 of them); waiting for the others to be created"},
		{"nothing", Readiness{MinCount: 4, Bound: 1, Waiting: 3}, ""},
		{"enough beside a gate", Readiness{MinCount: 3, Waiting: 3, Gated: 1, Gates: "quota"}, ""},
		{"more than enough", Readiness{MinCount: 4, Waiting: 9}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.readiness.Gang = "train"
			obstacle := test.readiness.Obstacle()
			if test.message == "" {
				assert.Nil(t, obstacle)
				return
			}
			require.NotNil(t, obstacle)
			assert.Equal(t, test.message, obstacle.Message)
			assert.Equal(t, ByUser, obstacle.Remedy)
		})
	}
}
