// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestReporter_PodsFollowNumbersNowAndThen(t *testing.T) {
	now := epoch
	r := newReporter(nil, nil)
	r.now = func() time.Time { return now }
	pg := &schedulingapi.PodGroup{}
	pg.UID = "g"
	none := newVerdict(kube.NoFittingDomain, "room for none")
	one := newVerdict(kube.NoFittingDomain, "room for 1")
	large := newVerdict(kube.GangTooLarge, "too large")

	assert.Same(t, none, r.shownRefusal(pg, none))
	assert.Same(t, none, r.shownRefusal(pg, one), "the pods say so already, but for the number")
	assert.Same(t, one, r.gangs["g"].newer, "they will")
	assert.Same(t, none, r.shownRefusal(pg, none))
	assert.Nil(t, r.gangs["g"].newer, "it is as they say again")
	now = now.Add(numbersPace)
	assert.Same(t, one, r.shownRefusal(pg, one), "in time")
	assert.Same(t, large, r.shownRefusal(pg, large), "another reason is told at once")
	r.shownRefusal(pg, newVerdict(kube.GangTooLarge, "larger"))
	r.set(pg, &notice{kind: v1.EventTypeNormal, reason: "GangPlaced"}, 0)
	assert.Nil(t, r.gangs["g"].newer, "the gang runs")
	assert.Same(t, large, r.shownRefusal(pg, large))
}

func TestReporter_IgnoredFieldsAreToldOnce(t *testing.T) {
	r := newReporter(nil, nil)
	pg := &schedulingapi.PodGroup{}
	pg.UID = "g"
	r.refused(pg, newVerdict(kube.NoFittingDomain, "room for none"))
	assert.Empty(t, r.gangs["g"].unheard(&kube.Declaration{}))
	d := &kube.Declaration{Ignored: []string{"no queue", "no backoff"}}
	assert.Equal(t, "no queue. no backoff", r.gangs["g"].unheard(d))
	assert.Empty(t, r.gangs["g"].unheard(d), "once")
	assert.Empty(t, r.gangs["g"].unheard(nil), "a version of the group that is no longer known says nothing")
	assert.Empty(t, r.gangs["g"].unheard(d), "nor does it make it new")
	d = &kube.Declaration{Ignored: []string{strings.Repeat("é", longestNote)}}
	assert.Equal(t, strings.Repeat("é", longestNote/2), r.gangs["g"].unheard(d), "as much as an event takes")
}

func TestReporter_AGangInTheQueueIsNotCalledIncomplete(t *testing.T) {
	now := epoch
	r := newReporter(nil, nil)
	r.now, r.incompleteDelay = func() time.Time { return now }, 3*time.Second
	pg := &schedulingapi.PodGroup{}
	pg.UID = "g"
	r.report(pg, newVerdict(kube.GangIncomplete, "1 of 2"), true)
	now = now.Add(r.incompleteDelay / 2)
	r.report(pg, newVerdict(kube.GangIncomplete, "1 of 2"), true)
	assert.Equal(t, epoch.Add(r.incompleteDelay), r.gangs["g"].due, "the same again does not put it off")
	r.admitted("g")
	assert.Nil(t, r.gangs["g"].next, "it is complete, though it has to wait for its turn")
	r.refused(pg, newVerdict(kube.NoFittingDomain, "room for none"))
	r.admitted("g")
	assert.NotNil(t, r.gangs["g"].next, "a refusal is told, though the gang is tried again")
}
