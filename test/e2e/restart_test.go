// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestRestart_ARaisedMinimumEvictsNobody raises the minimum of a gang that runs, and
// starts another scheduler, which never saw it run with fewer. The new pods find no
// room; the old ones go on.
func TestRestart_ARaisedMinimumEvictsNobody(t *testing.T) {
	c := on(t, takeStock(t), racks(2, 2)...)
	first := startQuickScheduler(t, c.box, "partialGangGracePeriod: 1s")
	c.createGroup("train", map[string]any{"minMember": int64(2)})
	pods := groupPods("train", 4)
	for _, p := range pods {
		owned(p)
	}
	c.create(pods[:2]...)
	c.awaitBound("train", 2)
	for _, pod := range c.pods("train-") {
		assert.Equal(t, "2", pod.Annotations[kube.AnnotationStartedWith])
	}
	_, err := c.groups().Patch(background, "train", types.MergePatchType, []byte(`{"spec":{"minMember":4}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	first.Kill()
	c.create(pods[2:]...)
	startQuickScheduler(t, c.box, "partialGangGracePeriod: 1s")
	c.awaitPending("train-2", kube.NoFittingDomain)
	c.passGracePeriod()
	assert.Len(t, c.bound("train"), 2)
}

// TestRestart_OneGracePeriodInAll loses a member of a gang, for which there is no room,
// and then one scheduler after the other. The last one goes on with the time of the
// first.
func TestRestart_OneGracePeriodInAll(t *testing.T) {
	const grace = 20 * time.Second
	c := on(t, takeStock(t), racks(2, 2)...)
	scheduler := startQuickScheduler(t, c.box, "partialGangGracePeriod: 20s")
	pods := gangPods("train", 2, "2", owned)
	c.create(pods...)
	c.cordon(c.awaitBound("train", 2)["train-1"], true)
	c.remove("train-1")
	require.Eventually(t, func() bool { return len(c.pods("train-")) == 1 }, patience, poll)
	c.create(pods[1])
	lost := time.Now()
	for restart := range 3 {
		// The wait is what is tested: each of them leads for a part of the grace period.
		time.Sleep(time.Until(lost.Add(time.Duration(restart+1) * grace / 4)))
		scheduler.Kill()
		scheduler = startQuickScheduler(t, c.box, "partialGangGracePeriod: 20s")
	}
	last := time.Now()
	require.Eventually(t, func() bool { return len(c.bound("train")) == 0 }, patience, poll)
	assert.Greater(t, time.Since(lost), grace-time.Second, "time stamps are whole seconds")
	assert.Less(t, time.Since(last), grace, "the last scheduler alone has not seen it for so long")
}
