// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRankOf_ReadsTheIndexesOfEveryController(t *testing.T) {
	for name, c := range map[string]struct {
		pod    string
		labels map[string]string
		want   rank
	}{
		"indexed job": {
			"train-3-x7k2p", map[string]string{"batch.kubernetes.io/job-completion-index": "3"}, rank{-1, 3},
		},
		"jobset": {
			"train-workers-1-2-abcde", map[string]string{
				"jobset.sigs.k8s.io/job-index": "1", "jobset.sigs.k8s.io/job-global-index": "5",
				"batch.kubernetes.io/job-completion-index": "2",
			}, rank{5, 2},
		},
		"statefulset": {"serve-4", map[string]string{"apps.kubernetes.io/pod-index": "4"}, rank{-1, 4}},
		"leader of a leaderworkerset": {
			"serve-2", map[string]string{
				"apps.kubernetes.io/pod-index": "2", "leaderworkerset.sigs.k8s.io/group-index": "2",
				"leaderworkerset.sigs.k8s.io/worker-index": "0",
			}, rank{2, 0},
		},
		"worker of a leaderworkerset": {
			"serve-2-3", map[string]string{
				"apps.kubernetes.io/pod-index": "3", "leaderworkerset.sigs.k8s.io/group-index": "2",
				"leaderworkerset.sigs.k8s.io/worker-index": "3",
			}, rank{2, 3},
		},
		"kubeflow": {"bert-worker-7", map[string]string{"training.kubeflow.org/replica-index": "7"}, rank{-1, 7}},
		"host of a ray replica": {
			"ray-tpu-worker-x7k2p", map[string]string{
				"ray.io/worker-group-replica-index": "1", "ray.io/replica-host-index": "2",
			}, rank{1, 2},
		},
		"grove":                         {"serve-0-worker-4-x7k2p", map[string]string{"grove.io/podclique-pod-index": "4"}, rank{-1, 4}},
		"number at the end of the name": {"train-12", nil, rank{-1, 12}},
		"no number":                     {"train", nil, rank{-1, -1}},
		"senseless index":               {"train-1", map[string]string{"apps.kubernetes.io/pod-index": "-4"}, rank{-1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, rankOf(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.pod, Labels: c.labels}}))
		})
	}
}
