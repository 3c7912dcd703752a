// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

// readJob reads a Job. Its controller keeps min(parallelism, what is left of
// the completions) pods alive. A Job without completions is a work queue: its
// pods come to an end together, and after the first success no pod is created
// any more.
func readJob(r *reader, s *Shape) {
	parallelism := r.readNumber("spec.parallelism", 1)
	completions, fixed := r.readOptional("spec.completions")
	succeeded := r.readNumber("status.succeeded", 0)
	role := Role{Replicas: parallelism, PodsCounted: true}
	s.Done = readDone(r, succeeded)
	if fixed {
		remaining := max(completions-succeeded-countIndexes(r.readText("status.failedIndexes")), 0)
		role.Replicas = min(parallelism, remaining)
		role.Waves = completions > parallelism
		if whole := min(parallelism, completions); whole > role.Replicas {
			s.Started = whole
		}
	}
	role.MinCount = role.Replicas
	if succeeded > 0 && (role.Waves || !fixed) {
		// The first pods have started together, else none would have ended.
		role.MinCount = min(role.Replicas, 1)
	}
	s.Roles = []Role{role}
}

// initialPods is the number of pods that a Job with this specification starts
// with, and whether more follow when they end.
func initialPods(r *reader, spec string) (pods int, waves bool) {
	parallelism := r.readNumber(spec+".parallelism", 1)
	completions, fixed := r.readOptional(spec + ".completions")
	if !fixed {
		return parallelism, false
	}
	return min(parallelism, completions), completions > parallelism
}
