// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"iter"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Work is what a Job has counted of its pods that need no successor: those that
// have done their work, and the indexes that it has given up.
type Work struct {
	Count int
	// indexes lists those of an Indexed Job, "" for any other.
	indexes string
}

// readDone reads what a Job has counted. Its controller notes the pods that have
// ended in uncountedTerminatedPods before it adds them to the number. Source:
// kubernetes/kubernetes, pkg/apis/batch/types.go, v1.37.
func readDone(r *reader, succeeded int) Work {
	if r.readText("spec.completionMode") == "Indexed" {
		w := Work{indexes: r.readText("status.completedIndexes")}
		if given := r.readText("status.failedIndexes"); given != "" {
			w.indexes += "," + given
		}
		w.Count = max(countIndexes(w.indexes), succeeded)
		return w
	}
	return Work{Count: succeeded + len(r.readList("status.uncountedTerminatedPods.succeeded"))}
}

// Missing returns how many pods of the Job are done beside those of which it shows
// finished ones, and the first of their indexes if it has some. shown are the values
// of LabelIndex on those.
func (w Work) Missing(shown []string) (count int, first []int) {
	if w.indexes == "" {
		return max(w.Count-len(shown), 0), nil
	}
	seen := map[int]bool{}
	for _, text := range shown {
		if i, err := strconv.Atoi(text); err == nil {
			seen[i] = true
		}
	}
	counted := 0
	for from, to := range eachRange(w.indexes) {
		for i := from; i <= to && len(first) < mostIndexes; i++ {
			if !seen[i] {
				first = append(first, i)
			}
		}
		for i := range seen {
			if from <= i && i <= to {
				counted++
			}
		}
	}
	return max(w.Count-counted, 0), first
}

// LabelIndex is the annotation of a Job's pod, and its label, that hold its index.
const LabelIndex = "batch.kubernetes.io/job-completion-index"

// mostIndexes is how many indexes are told one by one.
const mostIndexes = 1000

// countIndexes counts the indexes in a list such as "1,3-5,7". One that cannot
// be read has none.
func countIndexes(text string) int {
	count := 0
	for from, to := range eachRange(text) {
		count += min(to-from+1, MaxPods)
	}
	return min(count, MaxPods)
}

// eachRange yields the first and the last index of the ranges of a list.
func eachRange(text string) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
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
			if !yield(from, to) {
				return
			}
		}
	}
}

// BatchJob is the kind of Kubernetes' own Jobs, which count the pods that have done their
// work.
func BatchJob() *Kind { return job }

// BatchJobOf returns the Job that is the controller of a pod, "" and "" for none.
func BatchJobOf(pod *v1.Pod) (name string, uid types.UID) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil || owner.Kind != job.Name || !strings.HasPrefix(owner.APIVersion, job.Group+"/") {
		return "", ""
	}
	return owner.Name, owner.UID
}
