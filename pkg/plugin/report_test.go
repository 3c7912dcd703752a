// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// tellingGroups notes what is told of the one gang that there is.
type tellingGroups struct {
	Groups
	sentence, verdict string
	writes            int
	// pods is how many members a gang has by its UID; else it has one.
	pods       map[types.UID]int
	listening  bool
	objections []string
}

func (g *tellingGroups) SetSentence(pg *schedulingapi.PodGroup, reason, message string) int {
	if g.sentence = message; message == "" {
		return 0
	}
	g.sentence = reason + " | " + message
	writes := max(1, g.pods[pg.UID])
	g.writes += writes
	return writes
}
func (g *tellingGroups) Verdict(_ *schedulingapi.PodGroup, reason, message string) {
	g.verdict = reason + ": " + message
}
func (g *tellingGroups) Listen(*schedulingapi.PodGroup) { g.listening = true }
func (g *tellingGroups) Objections(*schedulingapi.PodGroup) []string {
	g.listening = false
	return g.objections
}
func (g *tellingGroups) Source(*schedulingapi.PodGroup) runtime.Object { return newGroup() }
func (g *tellingGroups) DeclarationOf(*schedulingapi.PodGroup) *kube.Declaration {
	return nil
}

// recordingHandle records the events that are told.
type recordingHandle struct {
	fwk.Handle
	noGroups
	recorder *recordedEvents
}

func (h *recordingHandle) EventRecorder() events.EventRecorderLogger { return h.recorder }
func (h *recordingHandle) PodGroupManager() fwk.PodGroupManager      { return noGroups{} }

// recordedEvents are events as "action reason: note".
type recordedEvents struct {
	events.EventRecorderLogger
	told []string
}

func (e *recordedEvents) WithLogger(klog.Logger) events.EventRecorderLogger { return e }
func (e *recordedEvents) Eventf(_, _ runtime.Object, _, reason, action, _ string, args ...any) {
	e.told = append(e.told, action+" "+reason+": "+args[0].(string))
}

func newGroup() *schedulingapi.PodGroup {
	pg := &schedulingapi.PodGroup{}
	pg.UID = "g"
	return pg
}

// reportTest is a reporter with its clock and what it told.
type reportTest struct {
	*reporter
	now    time.Time
	groups *tellingGroups
	events *recordedEvents
}

func newReportTest() *reportTest {
	test := &reportTest{now: epoch, groups: &tellingGroups{}, events: &recordedEvents{}}
	test.reporter = newReporter(&recordingHandle{recorder: test.events}, test.groups)
	test.reporter.incompleteDelay = 3 * time.Second
	test.reporter.now = func() time.Time { return test.now }
	return test
}

// pass lets time pass, with what falls due, and returns the events.
func (r *reportTest) pass(d time.Duration) []string {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(flushInterval)
		r.flushDue(context.Background())
	}
	told := r.events.told
	r.events.told = nil
	return told
}

func TestReporter_OneSentenceEverywhere(t *testing.T) {
	r, pg := newReportTest(), newGroup()
	none, one := newVerdict(kube.NoFittingDomain, "room for none"), newVerdict(kube.NoFittingDomain, "room for 1")

	r.reportVerdict(pg, none, false)
	assert.Equal(t, "Unschedulable | NoFittingDomain: room for none", r.groups.sentence, "before kube-scheduler says its own")
	assert.Equal(t, "NoFittingDomain: room for none", r.groups.verdict)
	assert.Same(t, none, r.shownRefusal(pg, none))
	assert.Equal(t, []string{"Scheduling-1 NoFittingDomain: room for none"}, r.pass(time.Second))

	// Of a change in numbers only the pods hear within 10 s, and the events within a
	// minute.
	r.reportVerdict(pg, one, false)
	assert.Same(t, none, r.shownRefusal(pg, one))
	assert.Empty(t, r.pass(8*time.Second))
	assert.Contains(t, r.groups.sentence, "room for none")
	assert.Empty(t, r.pass(2*time.Second))
	assert.Equal(t, "Unschedulable | NoFittingDomain: room for 1", r.groups.sentence)
	assert.Equal(t, []string{"Scheduling-2 NoFittingDomain: room for 1"}, r.pass(time.Minute), "it differs from the first in more than its text")

	// Another reason is told at once, and the same again costs nothing.
	large := newVerdict(kube.GangTooLarge, "too large")
	r.reportVerdict(pg, large, false)
	assert.Equal(t, "Unschedulable | GangTooLarge: too large", r.groups.sentence)
	writes := r.groups.writes
	for range 100 {
		r.reportVerdict(pg, newVerdict(kube.GangTooLarge, "too large"), false)
		r.shownRefusal(pg, large)
		r.pass(time.Second)
	}
	assert.Equal(t, writes, r.groups.writes)

	r.forgetGang(pg.UID)
	assert.Empty(t, r.groups.sentence)
	assert.Empty(t, r.gangs)
}

// Numbers that change all the time cost a namespace at most ten writes a second, however
// many pods wait there, and another namespace nothing; far too many pods follow once in
// five minutes.
func TestReporter_NumbersThatChangeCostANamespaceABoundedRate(t *testing.T) {
	for name, row := range map[string]struct {
		gangs  map[types.UID]int // their pods
		wanted int               // writes within ten minutes
	}{
		"a small gang follows each 10 s":   {map[types.UID]int{"a": 4}, 4 * (1 + 60)},
		"a gang of 1,000 each 100 s":       {map[types.UID]int{"a": 1000}, 1000 * (1 + 6)},
		"several gangs share it":           {map[types.UID]int{"a": 500, "b": 300, "c": 200}, 1000 * (1 + 6)},
		"20,000 pods follow each 5 min":    {map[types.UID]int{"a": 20_000}, 20_000 * (1 + 2)},
		"nothing at all but the first one": {map[types.UID]int{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReportTest()
			r.groups.pods = row.gangs
			other := newGroup()
			other.UID, other.Namespace = "other", "elsewhere"
			groups := []*schedulingapi.PodGroup{}
			for uid := range row.gangs {
				pg := newGroup()
				pg.UID, pg.Namespace = uid, "team"
				groups = append(groups, pg)
			}
			spent := func(pg *schedulingapi.PodGroup, why *queue.Verdict) int {
				before := r.groups.writes
				r.reportVerdict(pg, why, false)
				return r.groups.writes - before
			}
			all, others := 0, 0
			for second := range 601 {
				why := newVerdict(kube.NoFittingDomain, "room for %d", second)
				for _, pg := range groups {
					all += spent(pg, why)
				}
				others += spent(other, why)
				r.now = r.now.Add(time.Second)
			}
			assert.Equal(t, row.wanted, all)
			assert.Equal(t, 1+60, others)
			for _, pg := range append(groups, other) {
				r.forgetGang(pg.UID)
			}
			assert.Empty(t, r.writes, "nothing is left of gangs that are gone")
		})
	}
}

func TestReporter_ChangingReasonsDoNotFloodTheEvents(t *testing.T) {
	r, pg := newReportTest(), newGroup()
	var told []string
	for range 300 {
		r.reportVerdict(pg, newVerdict(kube.NoFittingDomain, "no room"), false)
		told = append(told, r.pass(time.Second)...)
		r.reportVerdict(pg, newVerdict(kube.GangTooLarge, "too large"), false)
		told = append(told, r.pass(time.Second)...)
	}
	assert.LessOrEqual(t, len(told), 2*11, "each reason once a minute")
	assert.Equal(t, "Unschedulable | GangTooLarge: too large", r.groups.sentence, "the pods have the newest")
}

func TestReporter_ObjectionsOfOtherPlugins(t *testing.T) {
	r, pg := newReportTest(), newGroup()
	pg.Name = "label~train"
	refuse := func(objections ...string) []string {
		r.groups.objections = objections
		why := newVerdict(kube.NoFittingDomain, "1 of 2 pods pass")
		r.holdRefusal(pg, why)
		assert.True(t, r.groups.listening)
		r.reportVerdict(pg, why, false)
		return r.pass(time.Second)
	}
	assert.Equal(t, []string{`Scheduling-1 NoFittingDomain: 1 of 2 pods pass: "affinity"`}, refuse("affinity"), "told once, with the words")
	assert.False(t, r.groups.listening)
	assert.Equal(t, `Unschedulable | NoFittingDomain: 1 of 2 pods pass: "affinity"`, r.groups.sentence)
	assert.Equal(t, `NoFittingDomain: 1 of 2 pods pass: "affinity"`, r.groups.verdict)
	assert.Empty(t, refuse("affinity"), "the same attempt again")
	assert.Equal(t, `NoFittingDomain: 1 of 2 pods pass: "affinity"`, r.groups.verdict, "the group keeps the words")
	r.pass(time.Minute)
	assert.Equal(t, []string{`Scheduling-2 NoFittingDomain: 1 of 2 pods pass: "a", "b" and 2 more`}, refuse("a", "b", "c", "d"))
	r.pass(time.Minute)
	assert.Equal(t, []string{`Scheduling-3 NoFittingDomain: 1 of 2 pods pass`}, refuse(), "nobody gave a word")

	// What the API server has against binding a member is in the sentence, too.
	r.pass(time.Minute)
	r.groups.objections = []string{"denied: not today"}
	r.reportVerdict(pg, bindDenied(pg, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p1"}}, time.Second), false)
	assert.True(t, r.groups.listening)
	const denied = `BindDenied: gang train had its nodes and is tried again in 1s, because pod p1 could not be bound: "denied: not today"`
	assert.Equal(t, []string{"Scheduling-4 " + denied}, r.pass(time.Second))
	assert.Equal(t, "BindDenied | "+denied, r.groups.sentence)

	// A gang that starts meanwhile is not refused any more.
	r.holdRefusal(pg, newVerdict(kube.NoFittingDomain, "1 of 2 pods pass"))
	r.reportPlaced(pg, &gangPlan{domain: "rack-1"}, 2)
	assert.Equal(t, []string{"Scheduling-5 GangPlaced: 2 pods placed together on 0 nodes in rack-1"}, r.pass(time.Minute))
	assert.Empty(t, r.groups.sentence)
}

func TestReporter_AStartIsNotLostToThoseWhoJoin(t *testing.T) {
	r, pg := newReportTest(), newGroup()
	r.reportPlaced(pg, &gangPlan{domain: "rack-1", nodes: map[types.UID]string{"a": "n1", "b": "n2", "c": "n2"}}, 3)
	r.reportPlaced(pg, &gangPlan{domain: "rack-1", nodes: map[types.UID]string{"d": "n3"}}, 1)
	r.reportPlaced(pg, &gangPlan{domain: "rack-1", nodes: map[types.UID]string{"e": "n3"}}, 1)
	assert.Equal(t, []string{"Scheduling-1 GangPlaced: 3 pods placed together on 2 nodes in rack-1; 2 more joined"}, r.pass(time.Second))
	r.reportPlaced(pg, &gangPlan{domain: "rack-1", nodes: map[types.UID]string{"f": "n3"}}, 1)
	assert.Equal(t, []string{"Scheduling-2 GangPlaced: 1 pod placed on 1 node in rack-1"}, r.pass(time.Second))
}

func TestReporter_IgnoredFieldsAreToldOnce(t *testing.T) {
	e := &gangReport{}
	assert.Empty(t, e.newNotes(&kube.Declaration{}))
	d := &kube.Declaration{Ignored: []string{"no queue", "no backoff"}}
	assert.Equal(t, "no queue. no backoff", e.newNotes(d))
	assert.Empty(t, e.newNotes(d), "once")
	assert.Empty(t, e.newNotes(nil), "a version of the group that is no longer known says nothing")
	assert.Empty(t, e.newNotes(d), "nor does it make it new")
	d = &kube.Declaration{Ignored: []string{strings.Repeat("é", longestNote)}}
	assert.Equal(t, strings.Repeat("é", longestNote/2), e.newNotes(d), "as much as an event takes")
}

func TestReporter_AGangInTheQueueIsNotCalledIncomplete(t *testing.T) {
	r, pg := newReportTest(), newGroup()
	incomplete := func(text string) { r.reportVerdict(pg, newVerdict(kube.GangIncomplete, "%s", text), true) }
	incomplete("1 of 3")
	assert.Empty(t, r.pass(2*time.Second))
	incomplete("1 of 3") // the same again does not put it off
	assert.Equal(t, []string{"Scheduling-1 GangIncomplete: 1 of 3"}, r.pass(2*time.Second))
	assert.Equal(t, "GangIncomplete | GangIncomplete: 1 of 3", r.groups.sentence, "nothing that a node more could help")
	incomplete("2 of 3")
	assert.Empty(t, r.pass(2*time.Second))
	incomplete("1 of 3") // a member went
	assert.Empty(t, r.pass(time.Minute), "as was told before")
	incomplete("2 of 3")
	r.dropUnreported(pg.UID)
	assert.Empty(t, r.pass(time.Minute), "it is complete, though it has to wait for its turn")
	refused := &queue.Verdict{Reason: "NoFittingDomain", Message: "room for none", Remedy: queue.ByRoom}
	r.reportVerdict(pg, refused, false)
	r.dropUnreported(pg.UID)
	assert.Equal(t, []string{"Scheduling-2 NoFittingDomain: room for none"}, r.pass(time.Second), "a refusal is told, though the gang is tried again")
}

// A gang that may not be evicted is tried every ten seconds: its log line says what has
// changed.
func TestReporter_KeptIsNewOncePerReason(t *testing.T) {
	r := newReporter(&recordingHandle{recorder: &recordedEvents{}}, &tellingGroups{})
	budget, admission := newVerdict(kube.PartialGang, "a budget forbids it"), newVerdict(kube.PartialGang, "a webhook forbids it")
	pg := newGroup()
	assert.True(t, r.reportKept(pg, budget))
	assert.False(t, r.reportKept(pg, budget), "ten seconds later")
	assert.True(t, r.reportKept(pg, admission))
	assert.True(t, r.reportKept(pg, budget))
	r.reportPlaced(pg, &gangPlan{domain: "rack-1"}, 1)
	assert.True(t, r.reportKept(pg, budget), "it was whole in between")
}
