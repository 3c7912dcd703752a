// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// sentence is what the condition PodScheduled of each waiting member of a gang says.
type sentence struct{ reason, message string }

// sentences are those of all gangs that wait. kube-scheduler has words of its own for
// each member and each attempt; they stand in no pod whose gang has a sentence. The
// zero value knows none.
type sentences struct {
	mu     sync.Mutex
	groups map[store.Key]*groupSentence
}

// groupSentence is the sentence of one gang, the zero one for none, and what
// kube-scheduler objected to its members since somebody listens.
type groupSentence struct {
	uid types.UID
	sentence
	listening  bool
	objections []string
}

// maxObjections bounds what is remembered of one attempt.
const maxObjections = 8

// set gives a gang a sentence; the zero one takes it away. It reports whether that
// was a change.
func (s *sentences) set(pg *schedulingapi.PodGroup, text sentence) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := store.Key{Namespace: pg.Namespace, Group: pg.Name}
	known := s.groups[key]
	if text == (sentence{}) {
		if known == nil || known.uid != pg.UID {
			return false // it is another gang's by now
		}
		delete(s.groups, key)
		return true
	}
	g := s.groupOf(pg)
	changed := g.sentence != text
	g.sentence = text
	return changed
}

// groupOf is what is known of a gang. The caller holds the lock.
func (s *sentences) groupOf(pg *schedulingapi.PodGroup) *groupSentence {
	key := store.Key{Namespace: pg.Namespace, Group: pg.Name}
	if g := s.groups[key]; g != nil && g.uid == pg.UID {
		return g
	}
	if s.groups == nil {
		s.groups = map[store.Key]*groupSentence{}
	}
	s.groups[key] = &groupSentence{uid: pg.UID}
	return s.groups[key]
}

// sentenceOf returns the sentence of a pod's gang, and false if it has none.
func (s *sentences) sentenceOf(pod *v1.Pod) (sentence, bool) {
	group := kube.GroupOf(pod)
	if group == "" {
		return sentence{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[store.Key{Namespace: pod.Namespace, Group: group}]
	if g == nil || g.sentence == (sentence{}) {
		return sentence{}, false
	}
	return g.sentence, true
}

// listen notes from now on what kube-scheduler objects to the members of a gang.
func (s *sentences) listen(pg *schedulingapi.PodGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groupOf(pg)
	g.listening, g.objections = true, nil
}

// addObjections notes what kube-scheduler objects to a member, if somebody listens.
func (s *sentences) addObjections(pod *v1.Pod, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[store.Key{Namespace: pod.Namespace, Group: kube.GroupOf(pod)}]
	if g == nil || !g.listening {
		return
	}
	for _, objection := range objectionsIn(message) {
		if len(g.objections) < maxObjections && !slices.Contains(g.objections, objection) {
			g.objections = append(g.objections, objection)
		}
	}
}

// addError notes an error of the scheduler about a member as an objection, if somebody
// listens, and reports whether that is so: then it comes to stand in the sentence.
func (s *sentences) addError(pod *v1.Pod, message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[store.Key{Namespace: pod.Namespace, Group: kube.GroupOf(pod)}]
	if g == nil || !g.listening {
		return false
	}
	if len(message) > longestError {
		message = strings.ToValidUTF8(message[:longestError], "") + "..."
	}
	if len(g.objections) < maxObjections && !slices.Contains(g.objections, message) {
		g.objections = append(g.objections, message)
	}
	return true
}

// longestError is how much of an error stands in a sentence, in bytes.
const longestError = 300

// takeObjections returns what was noted since listen, sorted, and listens no more.
func (s *sentences) takeObjections(pg *schedulingapi.PodGroup) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groupOf(pg)
	objections := g.objections
	g.listening, g.objections = false, nil
	if g.sentence == (sentence{}) {
		delete(s.groups, store.Key{Namespace: pg.Namespace, Group: pg.Name})
	}
	slices.Sort(objections)
	return objections
}

// isIn reports whether a pod says the sentence already.
func (s sentence) isIn(pod *v1.Pod) bool {
	_, condition := podutil.GetPodCondition(&pod.Status, v1.PodScheduled)
	return condition != nil && condition.Status == v1.ConditionFalse && condition.Reason == s.reason && condition.Message == s.message
}

// patchOf returns the patch that makes a pod say the sentence, nil if it does.
func (s sentence) patchOf(pod *v1.Pod) ([]byte, error) {
	if s.isIn(pod) {
		return nil, nil
	}
	status := pod.Status.DeepCopy()
	podutil.UpdatePodCondition(status, &v1.PodCondition{
		Type:               v1.PodScheduled,
		ObservedGeneration: podutil.CalculatePodConditionObservedGeneration(status, pod.Generation, v1.PodScheduled),
		Status:             v1.ConditionFalse,
		Reason:             s.reason,
		Message:            s.message,
	})
	before, err := json.Marshal(v1.Pod{Status: pod.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(v1.Pod{Status: *status})
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(before, after, v1.Pod{})
}
