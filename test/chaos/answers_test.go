// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/chaos/checker"
)

// faultyShare is the part of the answers that are faulty.
const faultyShare = 0.3

// anyAnswer draws what goes wrong with a request.
func anyAnswer(random *rand.Rand) action {
	return []action{
		{status: http.StatusInternalServerError}, {status: http.StatusServiceUnavailable}, {status: http.StatusGatewayTimeout},
		{status: http.StatusTooManyRequests}, {status: http.StatusConflict}, {dropAfter: true},
	}[random.IntN(6)]
}

// TestFaultyAnswers has a part of all requests of both replicas answered wrongly for the
// whole run, and holds the starts of gangs to the time that they have without a fault.
func TestFaultyAnswers(t *testing.T) {
	const kind = "faulty-answers"
	b := newBench(t, max(*seedFlag, 1), setup{qps: 1000})
	done := b.startClock()
	b.start = b.measure()
	faulty := &rule{kind, isRequest, faultyShare, anyAnswer}
	for _, r := range b.replicas {
		r.proxy.add(faulty)
	}
	end := b.checker.BeginFault(time.Now(), checker.Disturbed, kind)
	b.countFault(kind)
	b.load.setFill(0.85)
	time.Sleep(*length)
	for _, r := range b.replicas {
		r.proxy.remove(faulty)
	}
	end(time.Now())
	b.settle()
	b.drain()
	b.end = b.checkBounds(b.start)
	close(done)
	starts := b.report().Windows[kind]
	require.NotEmpty(t, starts, "gangs that were partly bound for a while")
	t.Logf("partial starts with %.0f %% faulty answers: %s", 100*faultyShare, percentiles(starts))
}
