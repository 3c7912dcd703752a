// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

const (
	// conditionRefreshInterval is how often the sentence of a gang follows a verdict
	// of which only the numbers change, at the most: each time is a write for each
	// pod. Where many pods of a namespace wait it is refreshTimePerPod for each of
	// them, and at the least once in longestRefreshInterval.
	conditionRefreshInterval = 10 * time.Second
	refreshTimePerPod        = 100 * time.Millisecond
	longestRefreshInterval   = 5 * time.Minute
	// eventInterval is the least time between two events of one reason about a gang
	// that waits. A change of the reason is told at once.
	eventInterval = time.Minute
	// objectionsDelay is how long the words of other plugins are waited for: the
	// scheduler has them once it has refused each member.
	objectionsDelay = 500 * time.Millisecond
)

// gangReport is what was and is to be told of one gang.
type gangReport struct {
	group *schedulingapi.PodGroup
	// shown is the verdict that the pods' conditions and the group's status carry,
	// and newer the one that is to take its place a refresh interval after it was
	// written, which took so many writes of pods.
	shown, newer *queue.Verdict
	shownAt      time.Time
	writes       int
	// settling is a verdict that may be a passing state, and is shown at settlesAt
	// if nothing has changed until then.
	settling  *queue.Verdict
	settlesAt time.Time
	// held is a refusal by other plugins, or by the API server to bind, that waits
	// until heldUntil for their words.
	held      *queue.Verdict
	heldUntil time.Time
	// next is the event that is to be recorded when it is due, reported the text
	// of the last one, reportedAt when each reason was last told, and events the
	// number of events so far.
	next       *notice
	due        time.Time
	reported   string
	reportedAt map[string]time.Time
	events     int
	// kept is why the gang was last left partly started.
	kept string
	// reportedNotes is what was told of what the gang asks for and does not get.
	reportedNotes string
}

// notice is one verdict to be told by an event.
type notice struct {
	kind, reason, message string
	// passing says that it is about a state that may pass before it is told.
	passing bool
	// evicted are members that have an event of their own about it, and placed,
	// where it is about some members only, those that start.
	evicted []*v1.Pod
	placed  map[types.UID]string
	// start is the text on those that started, where others joined them before it
	// was told, joined how many.
	start  string
	joined int
}

// addJoined makes the notice one of the start, which is not told yet, and of the pods
// that joined since.
func (n *notice) addJoined(start *notice, pods int) {
	n.start, n.joined = cmp.Or(start.start, start.message), start.joined+pods
	n.message = fmt.Sprintf("%s; %d more joined", n.start, n.joined)
	maps.Copy(n.placed, start.placed)
}

func newNotice(why *queue.Verdict) *notice {
	return &notice{kind: v1.EventTypeWarning, reason: why.Reason, message: why.Message}
}

func (n *notice) reasonAndMessage() string { return n.reason + ": " + n.message }

// show returns the verdict that the pods are to show from now on, and whether that is
// a change: the given one, or for a while the one that they show already and that
// differs in numbers only.
func (e *gangReport) show(why *queue.Verdict, now time.Time, interval time.Duration) (*queue.Verdict, bool) {
	if e.shown == nil || e.shown.Reason != why.Reason || now.Sub(e.shownAt) >= interval {
		changed := e.shown == nil || textOf(e.shown) != textOf(why)
		e.shown, e.newer, e.shownAt = why, nil, now
		return why, changed
	}
	e.newer = why
	if why.Message == e.shown.Message {
		e.newer = nil
	}
	return e.shown, false
}

// showNewer shows the verdict that has waited for its time, and reports whether there
// is one.
func (e *gangReport) showNewer(now time.Time, interval time.Duration) bool {
	if e.newer == nil || now.Sub(e.shownAt) < interval {
		return false
	}
	e.shown, e.newer, e.shownAt = e.newer, nil, now
	return true
}

// setSettling has a verdict shown if it stands for a while. Each change of it starts
// that anew.
func (e *gangReport) setSettling(why *queue.Verdict, delay time.Duration, now time.Time) {
	if e.shown != nil && textOf(e.shown) == textOf(why) && e.reported == textOf(why) {
		e.settling = nil
		return
	}
	if e.settling == nil || textOf(e.settling) != textOf(why) {
		e.settlesAt = now.Add(delay)
	}
	e.settling = why
}

// showSettled shows the verdict that has settled, and reports whether there is one.
func (e *gangReport) showSettled(now time.Time) bool {
	if e.settling == nil || now.Before(e.settlesAt) {
		return false
	}
	e.shown, e.newer, e.shownAt, e.settling = e.settling, nil, now, nil
	return true
}

// clear forgets what the pods show: the gang starts.
func (e *gangReport) clear() {
	e.shown, e.newer, e.settling, e.held, e.reportedAt, e.kept = nil, nil, nil, nil, nil, ""
}

// setNext has an event recorded, as soon as it may be.
func (e *gangReport) setNext(n *notice, now time.Time) {
	if n.reasonAndMessage() == e.reported {
		e.next = nil
		return
	}
	e.next, e.due = n, now
	if last, ok := e.reportedAt[n.reason]; ok && last.Add(eventInterval).After(now) {
		e.due = last.Add(eventInterval)
	}
}

// takeDue returns the event that is due, nil for none.
func (e *gangReport) takeDue(now time.Time) *notice {
	n := e.next
	if n == nil || now.Before(e.due) {
		return nil
	}
	e.next, e.reported = nil, n.reasonAndMessage()
	if n.kind == v1.EventTypeWarning {
		if e.reportedAt == nil {
			e.reportedAt = map[string]time.Time{}
		}
		e.reportedAt[n.reason] = now
	}
	return n
}

// newNotes returns what is ignored of what the gang asks for, in one line, if that
// was not told yet.
func (e *gangReport) newNotes(d *kube.Declaration) string {
	if d == nil {
		return ""
	}
	notes := strings.Join(d.Ignored, ". ")
	if notes == e.reportedNotes {
		return ""
	}
	e.reportedNotes = notes
	return truncateNote(notes)
}
