// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestScheduler_NominatesNoNode checks that the first that is written of the
// members of a gang that has room is that they are bound.
func TestScheduler_NominatesNoNode(t *testing.T) {
	c := start(t, sandbox.Options{})
	c.run()
	pods, err := c.Client().CoreV1().Pods("default").Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer pods.Stop()
	gang := []string{"w-0", "w-1", "w-2", "w-3"}
	c.create(gang, kube.LabelGang+"=w", kube.AnnotationMinCount+"=4")
	bound := map[string]bool{}
	for len(bound) < len(gang) {
		select {
		case event := <-pods.ResultChan():
			pod, ok := event.Object.(*v1.Pod)
			require.True(t, ok, "%v", event.Object)
			assert.Empty(t, pod.Status.NominatedNodeName)
			if pod.Spec.NodeName != "" {
				bound[pod.Name] = true
			}
		case <-time.After(patience):
			require.Fail(t, "the gang is not bound")
		}
	}
}
