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
	none := &verdict{reason: kube.NoFittingDomain, message: "room for none"}
	one := &verdict{reason: kube.NoFittingDomain, message: "room for 1"}
	large := &verdict{reason: kube.GangTooLarge, message: "too large"}

	assert.Same(t, none, r.show(pg, none))
	assert.Same(t, none, r.show(pg, one), "the pods say so already, but for the number")
	assert.Same(t, one, r.gangs["g"].newer, "they will")
	assert.Same(t, none, r.show(pg, none))
	assert.Nil(t, r.gangs["g"].newer, "it is as they say again")
	now = now.Add(numbersPace)
	assert.Same(t, one, r.show(pg, one), "in time")
	assert.Same(t, large, r.show(pg, large), "another reason is told at once")
	r.show(pg, &verdict{reason: kube.GangTooLarge, message: "larger"})
	r.set(pg, &notice{kind: v1.EventTypeNormal, reason: "GangPlaced"}, 0)
	assert.Nil(t, r.gangs["g"].newer, "the gang runs")
	assert.Same(t, large, r.show(pg, large))
}

func TestReporter_WhatIsNotHonouredIsToldOnce(t *testing.T) {
	r := newReporter(nil, nil)
	pg := &schedulingapi.PodGroup{}
	pg.UID = "g"
	r.refused(pg, &verdict{reason: kube.NoFittingDomain, message: "room for none"})
	assert.Empty(t, r.gangs["g"].unheard())
	pg.Annotations = map[string]string{kube.AnnotationNotes: "no queue\nno backoff"}
	assert.Equal(t, "no queue. no backoff", r.gangs["g"].unheard())
	assert.Empty(t, r.gangs["g"].unheard(), "once")
	pg.Annotations = map[string]string{kube.AnnotationNotes: strings.Repeat("é", longestNote)}
	assert.Equal(t, strings.Repeat("é", longestNote/2), r.gangs["g"].unheard(), "as much as an event takes")
}

func TestReporter_AGangInTheQueueIsNotCalledIncomplete(t *testing.T) {
	now := epoch
	r := newReporter(nil, nil)
	r.now, r.incompleteDelay = func() time.Time { return now }, 3*time.Second
	pg := &schedulingapi.PodGroup{}
	pg.UID = "g"
	r.gated(pg, &verdict{reason: kube.GangIncomplete, message: "1 of 2"})
	now = now.Add(r.incompleteDelay / 2)
	r.gated(pg, &verdict{reason: kube.GangIncomplete, message: "1 of 2"})
	assert.Equal(t, epoch.Add(r.incompleteDelay), r.gangs["g"].due, "the same again does not put it off")
	r.admitted("g")
	assert.Nil(t, r.gangs["g"].next, "it is complete, though it has to wait for its turn")
	r.refused(pg, &verdict{reason: kube.NoFittingDomain, message: "room for none"})
	r.admitted("g")
	assert.NotNil(t, r.gangs["g"].next, "a refusal is told, though the gang is tried again")
}
