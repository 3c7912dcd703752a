// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
)

// rankKeys are the labels (and, for completion indexes, the annotation) under
// which workload controllers number their pods. A LeaderWorkerSet is made of
// StatefulSets, whose own index numbers its leaders by group: its label goes
// first. Sources: the documentation of Job, StatefulSet, Kubeflow Training
// Operator, JobSet, LeaderWorkerSet, KubeRay (from v1.5 on, for groups of several
// hosts) and Grove.
var rankKeys = []string{
	"leaderworkerset.sigs.k8s.io/worker-index",
	"kueue.x-k8s.io/pod-group-pod-index",
	"gang.scheduling.koordinator.sh/network-topology-index",
	"batch.kubernetes.io/job-completion-index",
	"apps.kubernetes.io/pod-index",
	"training.kubeflow.org/replica-index",
	"ray.io/replica-host-index",
	"grove.io/podclique-pod-index",
}

// rankKeyAnnotation names the label that has the pod's number, for Kueue.
const rankKeyAnnotation = "kueue.x-k8s.io/pod-group-pod-index-label"

// groupRankKeys number the group that a pod's own index counts within: the
// replicated job of a JobSet, the group of a LeaderWorkerSet, the replica of a
// Ray worker group.
var groupRankKeys = []string{
	"jobset.sigs.k8s.io/job-global-index",
	"jobset.sigs.k8s.io/job-index",
	"leaderworkerset.sigs.k8s.io/group-index",
	"ray.io/worker-group-replica-index",
}

// rank is the position of a pod in its gang: first the group, then the index
// within it. Unknown parts are -1.
type rank struct{ group, index int }

// PodRank is the number that a pod's controller, or else the end of its name,
// gives it among the members of its gang, -1 if neither does.
func PodRank(pod *v1.Pod) int { return rankOf(pod).index }

// rankOf reads the pod's index from its controller's label, else from the
// number at the end of its name.
func rankOf(pod *v1.Pod) rank {
	r := rank{group: firstNumber(pod, groupRankKeys), index: firstNumber(pod, rankKeys)}
	if key := pod.Annotations[rankKeyAnnotation]; key != "" && r.index < 0 {
		r.index = firstNumber(pod, []string{key})
	}
	if r.index < 0 {
		r.index = trailingNumber(pod.Name)
	}
	return r
}

func firstNumber(pod *v1.Pod, keys []string) int {
	for _, key := range keys {
		value, ok := pod.Labels[key]
		if !ok {
			value, ok = pod.Annotations[key]
		}
		if n, err := strconv.Atoi(value); ok && err == nil && n >= 0 {
			return n
		}
	}
	return -1
}

func trailingNumber(name string) int {
	start := len(name)
	for start > 0 && name[start-1] >= '0' && name[start-1] <= '9' {
		start--
	}
	n, err := strconv.Atoi(name[start:])
	if err != nil {
		return -1
	}
	return n
}
