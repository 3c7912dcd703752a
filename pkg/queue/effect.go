// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

// Effect is something that the caller of Step has to do. Effects of one step are
// done in their order.
type Effect interface{ isEffect() }

type (
	// Activate asks to put a waiting member into the scheduler's queue, and with it its
	// gang.
	Activate struct {
		Gang GangID
		Name string // namespace/name
	}
	// Gate says that the gang that a member asked for may not be tried now.
	Gate struct {
		Gang    GangID
		Verdict *Verdict
	}
	// Recheck asks to read the gang, and answer with GangSeen, GangIdle or GangDeleted.
	Recheck struct{ Name string } // namespace/name
	// Evict asks to give up what is left of a gang that cannot be completed, as a
	// whole. The answer is Evicted or EvictionFailed.
	Evict struct {
		Gang GangID
		Name string // namespace/name
		// Preempted says that the others made room for pods of higher priority.
		Preempted bool
	}
	// ClearNominations says that the gang holds nodes by nominations that nobody has to
	// leave any more. Take them back.
	ClearNominations struct{ Name string } // namespace/name
	// Offer says that room that was kept for a gang is not any more. Single pods that were
	// kept off it are to be tried.
	Offer struct{}
	// Decided asks to log a decision.
	Decided struct{ Decision Decision }
	// Report asks to tell the user a verdict. Settle says that it may be a passing
	// state, as while members are created, and is to stand for a while first.
	Report struct {
		Gang    GangID
		Verdict *Verdict
		Settle  bool
	}
	// Unreport asks to drop a Report with Settle that was not told yet.
	Unreport struct{ Gang GangID }
)

func (Activate) isEffect()         {}
func (Gate) isEffect()             {}
func (Recheck) isEffect()          {}
func (Evict) isEffect()            {}
func (ClearNominations) isEffect() {}
func (Decided) isEffect()          {}
func (Offer) isEffect()            {}
func (Report) isEffect()           {}
func (Unreport) isEffect()         {}
