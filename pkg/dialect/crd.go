// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
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
var coschedulingDialect = &Dialect{
	Name:      kube.DialectCRD,
	readMarks: labelMarks(kube.LabelPodGroup, kube.LabelPodGroupOld),
	Labels:    []string{kube.LabelPodGroup, kube.LabelPodGroupOld},
	kinds:     []*Kind{CRDGroups},
}

// CRDGroups are the PodGroups of kubernetes-sigs/scheduler-plugins.
var CRDGroups = &Kind{
	GroupVersionResource: crdKind, Name: "PodGroup", Dialect: kube.DialectCRD,
	CountField: []string{"spec", "minMember"},
	read:       readCRD, makeStatus: makeCRDStatus,
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

// hasStarted reports whether members had nodes when the status was written.
func (s groupStatus) hasStarted() bool {
	return s.Phase != "" && s.Phase != phasePending && s.Phase != phasePreScheduling
}

// hasEnded reports whether the gang had come to its end.
func (s groupStatus) hasEnded() bool { return s.Phase == phaseFinished || s.Phase == phaseFailed }

// readCRD reads a scheduling.x-k8s.io/v1alpha1 PodGroup.
func readCRD(o *Object, u *unstructured.Unstructured) {
	o.readCRDFields(u, "Coscheduling")
}

// readCRDFields reads what the PodGroups of coscheduling have, and those of the
// project that took them over.
func (o *Object) readCRDFields(u *unstructured.Unstructured, project string) {
	o.readCount(u)
	o.ignoreMinResources(u, project)
	o.readTimeout(u, "spec", "scheduleTimeoutSeconds")
	status := readStatus(o.Status)
	o.Started, o.Ended = status.hasStarted(), status.hasEnded()
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

// makeCRDStatus is the status of an object as its fields.
func makeCRDStatus(p *Progress, _ map[string]metav1.Condition, now time.Time) map[string]any {
	var fields map[string]any
	if text, err := json.Marshal(p.groupStatus(now)); err != nil || json.Unmarshal(text, &fields) != nil {
		return nil
	}
	return fields
}

// groupStatus is the status that a gang's object is to have. It counts members
// that the API server says are bound, not those that are about to be.
func (p *Progress) groupStatus(now time.Time) groupStatus {
	before := readStatus(p.Object.Status)
	s := groupStatus{
		Phase:             p.groupPhase(),
		Scheduled:         p.Bound,
		Running:           p.Running,
		Succeeded:         p.Succeeded,
		Failed:            p.Failed,
		OccupiedBy:        before.OccupiedBy,
		ScheduleStartTime: before.ScheduleStartTime,
	}
	if s.Phase == phasePending {
		return s
	}
	if s.ScheduleStartTime == "" {
		s.ScheduleStartTime = now.UTC().Format(time.RFC3339)
	}
	if len(p.Owners) > 0 {
		s.OccupiedBy = p.occupiedBy()
	}
	return s
}

// groupPhase is the phase that those members make.
func (p *Progress) groupPhase() string {
	want := p.MinCount
	switch {
	case p.Object.Problem != nil:
		return phasePending
	case p.Succeeded >= want:
		return phaseFinished
	case p.Running+p.Succeeded >= want:
		return phaseRunning
	case p.Bound+p.Succeeded >= want:
		return phaseScheduled
	case p.Failed > 0 && p.Failed+p.Running+p.Succeeded >= want:
		return phaseFailed
	case p.Bound > 0:
		return phaseScheduling
	case p.Members >= want:
		return phasePreScheduling
	default:
		return phasePending
	}
}

// occupiedBy lists the controllers of the members: "namespace/name", sorted.
func (p *Progress) occupiedBy() string {
	all := make([]string, len(p.Owners))
	for i, owner := range p.Owners {
		all[i] = p.Object.Namespace + "/" + owner
	}
	return strings.Join(all, ",")
}
