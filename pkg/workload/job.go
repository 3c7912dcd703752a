// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strconv"
	"strings"
)

// readJob reads a Job. Its controller keeps min(parallelism, what is left of
// the completions) pods alive. A Job without completions is a work queue: its
// pods come to an end together, and after the first success no pod is created
// any more.
func readJob(r *reader, s *Shape) {
	parallelism := r.number("spec.parallelism", 1)
	completions, fixed := r.optional("spec.completions")
	succeeded := r.number("status.succeeded", 0)
	role := Role{Replicas: parallelism}
	if fixed {
		left := max(completions-succeeded-countIndexes(r.text("status.failedIndexes")), 0)
		role.Replicas = min(parallelism, left)
		role.Waves = completions > parallelism
	}
	role.Min = role.Replicas
	if succeeded > 0 && (role.Waves || !fixed) {
		// The first pods have started together, else none would have ended.
		role.Min = min(role.Replicas, 1)
	}
	s.Roles = []Role{role}
}

// countIndexes counts the indexes in a list such as "1,3-5,7". One that cannot
// be read has none.
func countIndexes(text string) int {
	count := 0
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(last); err != nil || to < from {
				continue
			}
		}
		count += min(to-from+1, Most)
	}
	return min(count, Most)
}

// jobSize is the number of pods that a Job with this specification starts
// with, and whether more follow when they end.
func jobSize(r *reader, spec string) (pods int, waves bool) {
	parallelism := r.number(spec+".parallelism", 1)
	completions, fixed := r.optional(spec + ".completions")
	if !fixed {
		return parallelism, false
	}
	return min(parallelism, completions), completions > parallelism
}
