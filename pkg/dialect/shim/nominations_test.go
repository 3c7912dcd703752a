// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
)

func TestSplitNomination(t *testing.T) {
	for name, c := range map[string]struct {
		patch, rest, node string
		nominates         bool
	}{
		"with a condition":    {`{"status":{"conditions":[{"type":"PodScheduled"}],"nominatedNodeName":"n"}}`, `{"status":{"conditions":[{"type":"PodScheduled"}]}}`, "n", true},
		"alone":               {`{"status":{"nominatedNodeName":"n"}}`, "", "n", true},
		"that is dropped":     {`{"status":{"nominatedNodeName":null}}`, "", "", true},
		"with something else": {`{"metadata":{"uid":"u"},"status":{"nominatedNodeName":"n"}}`, `{"metadata":{"uid":"u"}}`, "n", true},
		"none":                {`{"status":{"conditions":[]}}`, `{"status":{"conditions":[]}}`, "", false},
		"of another shape":    {`{"status":{"nominatedNodeName":7}}`, `{"status":{"nominatedNodeName":7}}`, "", false},
		"no status":           {`{}`, `{}`, "", false},
		"no JSON":             {`status`, `status`, "", false},
	} {
		rest, node, nominates := splitNomination([]byte(c.patch))
		assert.Equal(t, c.rest, string(rest), name)
		assert.Equal(t, c.node, node, name)
		assert.Equal(t, c.nominates, nominates, name)
	}
}

// nominate patches the nomination of a pod as kube-scheduler does, and returns when that
// does.
func (c *cluster) nominate(t *testing.T, name, node string) {
	t.Helper()
	word := "null"
	if node != "" {
		word = `"` + node + `"`
	}
	_, err := c.Client().CoreV1().Pods("ns").Patch(t.Context(), name, types.StrategicMergePatchType, fmt.Appendf(nil, `{"status":{"nominatedNodeName":%s}}`, word), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
}

// The members of a gang are nominated while the API server answers nothing. The
// scheduler goes on; what is promised is told at once, and the last word is written.
func TestNominations_AreWrittenInTheBackground(t *testing.T) {
	const size = 64
	var objects []runtime.Object
	for i := range size {
		objects = append(objects, newPod(fmt.Sprint("p", i), "group=train"))
	}
	c := newCluster(t, nil, objects...)
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "train"}}
	told := make(chan string, 3*size)
	c.FollowNominations(func(pod *v1.Pod, node string) { told <- pod.Name + " " + node })
	answer, conflicts := make(chan struct{}), make(chan error, 1)
	conflicts <- apierrors.NewConflict(v1.Resource("pods"), "p", nil)
	c.api.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		<-answer
		select {
		case err := <-conflicts: // it is tried again
			return true, nil, err
		default:
			return false, nil, nil
		}
	})
	for i := range size {
		c.nominate(t, fmt.Sprint("p", i), "n1")
		assert.Equal(t, fmt.Sprint("p", i, " n1"), <-told)
	}
	assert.Equal(t, size, c.PendingNominations(pg))
	c.nominate(t, "p0", "")
	assert.Equal(t, "p0 ", <-told)
	c.nominate(t, "p1", "n2")
	assert.Equal(t, size, c.PendingNominations(pg))
	close(answer)
	require.Eventually(t, func() bool { return c.PendingNominations(pg) == 0 }, eventually, often)
	for i := range size {
		pod, err := c.api.CoreV1().Pods("ns").Get(context.Background(), fmt.Sprint("p", i), metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, map[int]string{0: "", 1: "n2"}[i]+map[bool]string{true: "n1"}[i > 1], pod.Status.NominatedNodeName, pod.Name)
	}
	assert.Empty(t, c.nominations.pending)
	assert.Empty(t, c.nominations.groups)
}

// One that cannot be written is given up, and what stands in the pod counts.
func TestNominations_AreGivenUp(t *testing.T) {
	c := newCluster(t, nil, newPod("a", "group=train"), newPod("bound", "group=train", "node=n1"), newPod("single"))
	c.api.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(assert.AnError)
	})
	told := make(chan string, 8)
	c.FollowNominations(func(pod *v1.Pod, node string) { told <- pod.Name + " " + node })
	c.nominate(t, "a", "n1")
	assert.Equal(t, "a n1", <-told)
	assert.Equal(t, "a ", <-told)
	c.nominate(t, "bound", "n2")
	assert.Equal(t, "bound n2", <-told)
	require.Eventually(t, func() bool {
		return c.PendingNominations(&schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "train"}}) == 0
	}, eventually, often)

	_, err := c.Client().CoreV1().Pods("ns").Patch(t.Context(), "single", types.StrategicMergePatchType, []byte(`{"status":{"nominatedNodeName":"n1"}}`), metav1.PatchOptions{}, "status")
	assert.Error(t, err, "kube-scheduler patches single pods itself")
}

// What waits is bounded: beyond it the scheduler waits for each patch.
func TestNominations_AreBounded(t *testing.T) {
	n := newNominations(nil, nil)
	for i := range maxNominations {
		require.True(t, n.take(&v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(fmt.Sprint(i))}}, "n"))
	}
	assert.False(t, n.take(&v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "more"}}, "n"))
	assert.True(t, n.take(&v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "0"}}, "other"), "one that waits may change")
}
