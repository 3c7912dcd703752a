// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestScripts plays the stories in testdata: what happens, line by line, and
// what the queue is expected to do about it. testdata/README.md has the words.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			play(t, file, string(text))
		})
	}
}

// play runs the lines of a script.
func play(t require.TestingT, file, text string) {
	s := newScript(t)
	for i, text := range strings.Split(text, "\n") {
		text, _, _ = strings.Cut(text, "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		s.line = &scriptLine{t: t, where: fmt.Sprintf("%s:%d: %s", file, i+1, strings.TrimSpace(text)), words: words}
		s.run()
		s.line.done()
	}
	s.checkEffects()
	assert.True(t, s.expectations > 0, "%s expects nothing", file)
}

// script is the state of a script that is played.
type script struct {
	t            require.TestingT
	q            *Queue
	now          time.Time
	line         *scriptLine
	gangs        map[string]*GangSeen // as they were seen last, by name
	snapshot     scriptSnapshot
	expectations int

	// happened are the effects since the last block of expectations; expected are
	// those of the block that is being read, since line expectedAt.
	happened   []string
	expected   []string
	mentioned  []string
	counted    []string
	expectedAt string
}

// scriptStart is when scripts begin.
var scriptStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newScript(t require.TestingT) *script {
	return &script{
		t: t, now: scriptStart, gangs: map[string]*GangSeen{},
		q:        New(Config{PartialGrace: time.Minute}),
		snapshot: scriptSnapshot{pods: map[string]string{}, versions: map[string]string{}},
	}
}

// scriptSnapshot is the cluster as attempts see it.
type scriptSnapshot struct {
	pods     map[string]string // node by pod
	versions map[string]string // by node
}

func (s scriptSnapshot) HasPod(node, pod string) bool   { return s.pods[pod] == node }
func (s scriptSnapshot) NodeVersion(node string) string { return s.versions[node] }

// scriptLine is a line of a script, of which words are taken.
type scriptLine struct {
	t     require.TestingT
	where string
	words []string
}

// next takes the first word.
func (l *scriptLine) next() string {
	require.NotEmpty(l.t, l.words, "%s: a word is missing at the end", l.where)
	word := l.words[0]
	l.words = l.words[1:]
	return word
}

// flag takes a word, wherever it stands, and reports whether it is there.
func (l *scriptLine) flag(word string) bool {
	at := slices.Index(l.words, word)
	if at >= 0 {
		l.words = slices.Delete(slices.Clone(l.words), at, at+1)
	}
	return at >= 0
}

// option takes a word and the one that follows, "" if it is not there.
func (l *scriptLine) option(word string) string {
	at := slices.Index(l.words, word)
	if at < 0 {
		return ""
	}
	require.Less(l.t, at+1, len(l.words), "%s: nothing follows %s", l.where, word)
	value := l.words[at+1]
	l.words = slices.Delete(slices.Clone(l.words), at, at+2)
	return value
}

func (l *scriptLine) number(word string, otherwise int) int {
	value := l.option(word)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	require.NoError(l.t, err, l.where)
	return n
}

func (l *scriptLine) duration(text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	require.NoError(l.t, err, l.where)
	return d
}

// amounts reads quantities, as in 8xgpu,2xpods.
func (l *scriptLine) amounts(text string) Quantities {
	if text == "" {
		return nil
	}
	out := Quantities{}
	for part := range strings.SplitSeq(text, ",") {
		count, resource, ok := strings.Cut(part, "x")
		require.True(l.t, ok, "%s: %s is not an amount such as 8xgpu", l.where, part)
		n, err := strconv.ParseInt(count, 10, 64)
		require.NoError(l.t, err, l.where)
		out[resource] += n
	}
	return out
}

// done fails if words are left that nobody took.
func (l *scriptLine) done() {
	require.Empty(l.t, l.words, "%s: what are these words?", l.where)
}

// run carries out the line.
func (s *script) run() {
	word := s.line.next()
	if word == "expect" {
		s.expectations++
		s.expect()
		return
	}
	s.checkEffects()
	if word == "await" {
		s.expectations++
		s.await()
		return
	}
	if event := s.event(word); event != nil {
		s.step(event)
		return
	}
	switch word {
	case "tick": // time passes, with its ticks
		for end := s.now.Add(s.line.duration(s.line.next())); s.now.Before(end); {
			s.now = s.now.Add(min(TickInterval, end.Sub(s.now)))
			s.step(Tick{})
		}
	case "wait": // time passes, and nobody ticks
		s.now = s.now.Add(s.line.duration(s.line.next()))
	case "config":
		s.q = New(Config{PartialGrace: s.line.duration(s.line.option("grace")), HistorySize: s.line.number("history", 0), NamespaceShare: s.line.number("share", 0)})
	case "snapshot":
		s.changeSnapshot()
	default:
		require.Fail(s.t, "unknown command", s.line.where)
	}
}

// await lets time pass until something is done that is not quiet, and expects it
// to be the effect of the line.
func (s *script) await() {
	end := s.now.Add(s.line.duration(s.line.option("within")))
	s.checkEffects()
	s.expectedAt, s.expected = s.line.where, []string{s.line.rest()}
	for len(s.loud()) == 0 && s.now.Before(end) {
		s.now = s.now.Add(TickInterval)
		s.step(Tick{})
	}
}

// changeSnapshot sets what attempts see from now on.
func (s *script) changeSnapshot() {
	what, name := s.line.next(), s.line.next()
	switch what {
	case "has":
		s.snapshot.pods[name] = s.line.option("on")
	case "lacks":
		delete(s.snapshot.pods, name)
	case "node":
		s.snapshot.versions[name] = s.line.option("version")
	default:
		require.Fail(s.t, "unknown snapshot", s.line.where)
	}
}

// step takes in an event, checks the queue and notes the effects.
func (s *script) step(event Event) {
	for _, effect := range s.q.Step(s.now, event) {
		s.happened = append(s.happened, describe(effect))
	}
	require.NoError(s.t, checkInvariants(s.q), s.line.where)
}

// describe is an effect as scripts write it.
func describe(effect Effect) string {
	switch e := effect.(type) {
	case Activate:
		return "activate " + string(e.Gang)
	case Gate:
		return "gate " + string(e.Gang) + " " + e.Verdict.Reason
	case Recheck:
		return "recheck " + strings.TrimPrefix(e.Name, "ns/")
	case Evict:
		return "evict " + string(e.Gang)
	case ClearNominations:
		return "clear nominations " + strings.TrimPrefix(e.Name, "ns/")
	case Offer:
		return "offer"
	case Decided:
		return "decided " + string(e.Decision.Kind)
	case Report:
		return "report " + string(e.Gang) + " " + e.Verdict.Reason
	case Unreport:
		return "unreport " + string(e.Gang)
	}
	return fmt.Sprintf("%T", effect)
}

// quiet effects are told only where a block of expectations mentions one of
// their kind.
var quiet = []string{"recheck", "report", "unreport", "offer", "decided"}

// checkEffects compares what was expected with what happened, and begins anew.
func (s *script) checkEffects() {
	if s.expectedAt == "" {
		return
	}
	assert.Equal(s.t, strings.Join(s.expected, "; "), strings.Join(s.loud(), "; "), s.expectedAt)
	s.expected, s.mentioned, s.counted, s.happened, s.expectedAt = nil, nil, nil, nil, ""
}

// loud returns the effects since the last block that are not quiet, or that this
// block mentions, without those that were counted.
func (s *script) loud() []string {
	var loud []string
	for _, effect := range s.happened {
		kind, _, _ := strings.Cut(effect, " ")
		if slices.Contains(s.counted, effect) {
			continue
		}
		if !slices.Contains(quiet, kind) || slices.Contains(s.mentioned, kind) {
			loud = append(loud, effect)
		}
	}
	return loud
}
