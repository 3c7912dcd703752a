// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"strings"
	"time"
)

// All namespaces share one scheduling loop. A plan that costs no more than cheapPlan is
// nobody's concern; the costs of the others are added up for each namespace. Beyond
// shareAllowance its gangs wait until the costs are no more than their share of the
// time that went by.
const (
	cheapPlan      = 5 * time.Millisecond
	shareAllowance = time.Second
)

// loopShares is what the plans of each namespace cost lately.
type loopShares struct {
	percent int // of the time, for each namespace; 0 for no bound
	debts   map[string]debt
}

// debt is a cost that shrinks as time goes by.
type debt struct {
	cost time.Duration
	at   time.Time
}

// debtOf returns the debt of a namespace now.
func (s *loopShares) debtOf(namespace string, now time.Time) time.Duration {
	d := s.debts[namespace]
	return d.cost - max(0, now.Sub(d.at))*time.Duration(s.percent)/100
}

// charge adds the cost of a plan.
func (s *loopShares) charge(namespace string, cost time.Duration, now time.Time) {
	if cost <= cheapPlan || s.percent == 0 {
		return
	}
	s.debts[namespace] = debt{max(0, s.debtOf(namespace, now)) + cost, now}
}

// waitOf returns how long the gangs of a namespace have to wait. It forgets a debt that
// is paid.
func (s *loopShares) waitOf(namespace string, now time.Time) time.Duration {
	if _, owes := s.debts[namespace]; !owes {
		return 0
	}
	left := s.debtOf(namespace, now)
	if left <= 0 {
		delete(s.debts, namespace)
	}
	return max(0, left-shareAllowance) * 100 / time.Duration(s.percent)
}

// shareWait returns how long a gang has to wait for the plans of its namespace.
func (q *Queue) shareWait(g *gang, now time.Time) time.Duration {
	return q.shares.waitOf(namespaceOf(g), now)
}

func namespaceOf(g *gang) string {
	namespace, _, _ := strings.Cut(g.key.Name, "/")
	return namespace
}

// planned charges the cost of a plan to the namespace of its gang.
func (q *Queue) planned(e Planned, now time.Time) {
	if g, ok := q.gangs[e.Gang]; ok {
		q.shares.charge(namespaceOf(g), e.Cost, now)
	}
}

// pauseForShare keeps a gang out for a time whose namespace has had more than its share.
// It returns why, nil if the gang may be tried.
func (q *Queue) pauseForShare(g *gang, now time.Time) *Verdict {
	wait := q.shareWait(g, now)
	if wait == 0 || q.trying == g {
		return nil
	}
	q.withdraw(g, now)
	g.state, g.retryAt = backingOff, now.Add(wait)
	g.refusal = &Verdict{Reason: ReasonCostly, Remedy: ByTime, Message: fmt.Sprintf(
		"gang %s: planning the gangs of namespace %s takes more than %d %% of the scheduler's time, which all namespaces share; trying again in %s; fewer roles, shapes and slices make plans cheaper",
		g.name, namespaceOf(g), q.shares.percent, wait.Round(100*time.Millisecond))}
	q.pausing[g.id] = g
	return g.refusal
}
