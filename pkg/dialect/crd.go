// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// The kinds of group object that are read.
var (
	crdKind    = schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}
	nativeKind = schedulingapi.SchemeGroupVersion.WithResource("podgroups")
)

// The phases of a scheduling.x-k8s.io/v1alpha1 PodGroup. Source: the API types
// of kubernetes-sigs/scheduler-plugins; PreScheduling and Scheduled are in
// those up to v0.24.
const (
	phasePending       = "Pending"
	phasePreScheduling = "PreScheduling"
	phaseScheduling    = "Scheduling"
	phaseScheduled     = "Scheduled"
	phaseRunning       = "Running"
	phaseFinished      = "Finished"
	phaseFailed        = "Failed"
)

// groupStatus is the status of such a PodGroup. Older versions of the CRD have
// the field scheduled; the API server drops it where it is not known.
type groupStatus struct {
	Phase             string `json:"phase,omitempty"`
	OccupiedBy        string `json:"occupiedBy,omitempty"`
	Scheduled         int    `json:"scheduled"`
	Running           int    `json:"running"`
	Succeeded         int    `json:"succeeded"`
	Failed            int    `json:"failed"`
	ScheduleStartTime string `json:"scheduleStartTime,omitempty"`
}

// begun tells whether members had nodes when the status was written.
func (s groupStatus) begun() bool {
	return s.Phase != "" && s.Phase != phasePending && s.Phase != phasePreScheduling
}

// ended tells whether the gang had come to its end.
func (s groupStatus) ended() bool { return s.Phase == phaseFinished || s.Phase == phaseFailed }

// readCRD reads a scheduling.x-k8s.io/v1alpha1 PodGroup as it came from the
// API server, where any field may hold anything.
func readCRD(u *unstructured.Unstructured) *object {
	o := &object{
		uid: u.GetUID(), name: u.GetName(), apiVersion: u.GetAPIVersion(),
		created: u.GetCreationTimestamp(), generation: u.GetGeneration(),
		annotations: u.GetAnnotations(),
		status:      readStatus(u),
	}
	count, found, bad := number(u, "spec", "minMember")
	switch {
	case bad != "" || found && (count < 1 || count > kube.MaxMinCount):
		o.problem = o.invalid("spec.minMember: found %s, want a number from 1 to %d", either(bad, count), kube.MaxMinCount)
	case !found:
		o.problem = o.invalid("spec.minMember is missing; write the number of pods that start together")
	default:
		o.minCount = int(count)
	}
	seconds, found, bad := number(u, "spec", "scheduleTimeoutSeconds")
	switch {
	case o.problem != nil:
	case bad != "" || found && (seconds < 0 || seconds > maxTimeoutSeconds):
		o.problem = o.invalid("spec.scheduleTimeoutSeconds: found %s, want a number of seconds from 1 to %d, or none", either(bad, seconds), maxTimeoutSeconds)
	default:
		o.timeoutSeconds = seconds
	}
	if text, ok := o.annotations[kube.AnnotationMinCount]; ok && text != strconv.Itoa(o.minCount) && o.problem == nil {
		o.problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
			"gang %s: PodGroup %s has spec.minMember %d and annotation %s %s; remove the annotation",
			o.name, o.name, o.minCount, kube.AnnotationMinCount, kube.Quote(text))}
	}
	return o
}

// maxTimeoutSeconds is a week: longer than any barrier is meant to stand.
const maxTimeoutSeconds = 7 * 24 * 3600

func (o *object) invalid(format string, args ...any) *kube.Invalid {
	return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + o.name + ": PodGroup " + o.name + ": " + fmt.Sprintf(format, args...)}
}

// number reads a whole number. bad shows what stands there instead.
func number(u *unstructured.Unstructured, fields ...string) (n int64, found bool, bad string) {
	value, found, err := unstructured.NestedFieldNoCopy(u.Object, fields...)
	if err != nil {
		return 0, true, "no object in " + strings.Join(fields[:len(fields)-1], ".")
	}
	switch v := value.(type) {
	case nil:
		return 0, false, ""
	case int64:
		return v, found, ""
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return 0, true, fmt.Sprintf("a %T", v)
		}
		return 0, true, kube.Quote(string(text))
	}
}

func either(bad string, n int64) string {
	if bad != "" {
		return bad
	}
	return strconv.FormatInt(n, 10)
}

// readStatus reads what can be read; what cannot is written anew.
func readStatus(u *unstructured.Unstructured) groupStatus {
	var status groupStatus
	value, found, err := unstructured.NestedMap(u.Object, "status")
	if err != nil || !found {
		return status
	}
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &status) != nil {
		return groupStatus{}
	}
	return status
}

// statusOf is the status that a gang's object is to have. It counts members
// that the API server says are bound, not those that are about to be.
func (g *gangState) statusOf(now time.Time) groupStatus {
	s := groupStatus{
		Phase:             g.phase(),
		Scheduled:         g.bound,
		Running:           g.running,
		Succeeded:         g.succeeded,
		Failed:            g.failed,
		OccupiedBy:        g.object.status.OccupiedBy,
		ScheduleStartTime: g.object.status.ScheduleStartTime,
	}
	if s.Phase == phasePending {
		return s
	}
	if s.ScheduleStartTime == "" {
		s.ScheduleStartTime = now.UTC().Format(time.RFC3339)
	}
	if owners := g.owners(); owners != "" {
		s.OccupiedBy = owners
	}
	return s
}

func (g *gangState) phase() string {
	want := g.minCount()
	switch {
	case g.object.problem != nil:
		return phasePending
	case g.succeeded >= want:
		return phaseFinished
	case g.running+g.succeeded >= want:
		return phaseRunning
	case g.bound+g.succeeded >= want:
		return phaseScheduled
	case g.failed > 0 && g.failed+g.running+g.succeeded >= want:
		return phaseFailed
	case g.bound > 0:
		return phaseScheduling
	case len(g.members) >= want:
		return phasePreScheduling
	default:
		return phasePending
	}
}

// owners are the controllers of the members as occupiedBy lists them:
// "namespace/name", sorted.
func (g *gangState) owners() string {
	seen := map[string]bool{}
	var all []string
	for _, m := range g.members {
		if m.owner != "" && !seen[m.owner] {
			seen[m.owner] = true
			all = append(all, g.key.namespace+"/"+m.owner)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// patch is a merge patch that sets the status of the object with this UID and
// of no other.
func (s groupStatus) patch(uid types.UID) ([]byte, error) {
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": uid},
		"status":   s,
	})
}
