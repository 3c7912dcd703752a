// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"strings"
	"time"
)

// tenure is the time for which one replica holds the lease.
type tenure struct {
	holder string
	from   time.Time
}

// sentBind is a binding as it was sent.
type sentBind struct {
	at          time.Time
	writer, pod string
}

// tenures are the holders of the lease, in order, and the bindings that are to be
// held against them: the lease may be heard of later than what its holder sends.
type tenures struct {
	terms []tenure
	sent  []sentBind
}

// settleTime is when a binding is judged.
const settleTime = 5 * time.Second

func (t *tenures) add(holder string, acquired time.Time) {
	if t.last() != holder {
		t.terms = append(t.terms, tenure{holder, acquired})
	}
}

func (t *tenures) last() string {
	if len(t.terms) == 0 {
		return ""
	}
	return t.terms[len(t.terms)-1].holder
}

// due takes the bindings out that can be judged.
func (t *tenures) due(now time.Time) []sentBind {
	count := 0
	for count < len(t.sent) && now.Sub(t.sent[count].at) > settleTime {
		count++
	}
	due := t.sent[:count]
	t.sent = t.sent[count:]
	return due
}

// held reports whether a replica held the lease at any time in a span.
func (t *tenures) held(writer string, from, to time.Time) bool {
	for i, term := range t.terms {
		ended := i+1 < len(t.terms) && !t.terms[i+1].from.After(from)
		if writer != "" && strings.HasSuffix(term.holder, writer) && !ended && !term.from.After(to) {
			return true
		}
	}
	return false
}

// text says who held the lease around a time.
func (t *tenures) text(at time.Time) string {
	var parts []string
	for _, term := range t.terms {
		if at.Sub(term.from).Abs() < time.Minute {
			parts = append(parts, fmt.Sprintf("%q from %s", term.holder, term.from.Format(stamp)))
		}
	}
	return strings.Join(parts, ", ")
}
