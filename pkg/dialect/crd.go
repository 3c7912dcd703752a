// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// crdKind is the group object of kubernetes-sigs/scheduler-plugins.
var crdKind = schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}

// coschedulingDialect is the dialect of the coscheduling plugin of
// kubernetes-sigs/scheduler-plugins, which Kubeflow and KubeRay write too.
var coschedulingDialect = &entry{
	name:   kube.DialectCRD,
	marks:  labelMarks(kube.LabelPodGroup, kube.LabelPodGroupOld),
	labels: []string{kube.LabelPodGroup, kube.LabelPodGroupOld},
	kinds:  []*kind{crdGroups},
}

var crdGroups = &kind{
	GroupVersionResource: crdKind, name: "PodGroup", of: kube.DialectCRD,
	countField: []string{"spec", "minMember"},
	read:       readCRD, status: crdStatus,
}

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

// readCRD reads a scheduling.x-k8s.io/v1alpha1 PodGroup.
func readCRD(o *object, u *unstructured.Unstructured) {
	o.readCount(u)
	o.readTimeout(u, "spec", "scheduleTimeoutSeconds")
	status := readStatus(o.status)
	o.begun, o.ended = status.begun(), status.ended()
}

// readStatus reads what can be read; what cannot is written anew.
func readStatus(value map[string]any) groupStatus {
	var status groupStatus
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &status) != nil {
		return groupStatus{}
	}
	return status
}

// crdStatus is the status of an object as its fields.
func crdStatus(g *gangState, _ map[string]metav1.Condition, now time.Time) map[string]any {
	var fields map[string]any
	if text, err := json.Marshal(g.statusOf(now)); err != nil || json.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

// statusOf is the status that a gang's object is to have. It counts members
// that the API server says are bound, not those that are about to be.
func (g *gangState) statusOf(now time.Time) groupStatus {
	before := readStatus(g.object.status)
	s := groupStatus{
		Phase:             g.phase(),
		Scheduled:         g.bound,
		Running:           g.running,
		Succeeded:         g.succeeded,
		Failed:            g.failed,
		OccupiedBy:        before.OccupiedBy,
		ScheduleStartTime: before.ScheduleStartTime,
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
