// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

// Snapshot is a cluster at one moment.
type Snapshot struct {
	Header
	// Nodes are by name, Pods by namespace and name. Pods that have ended are
	// left out.
	Nodes []*v1.Node
	Pods  []*v1.Pod
	// Finished are pods that have done their work as members of a gang. They hold
	// nothing; their gang needs so many fewer.
	Finished []*v1.Pod
	// Groups are the group objects, by API group, namespace and name.
	Groups []*unstructured.Unstructured
	// Devices are those that drivers publish, with their classes and claims; nil where
	// nothing is known of them.
	Devices *dra.Objects
}

// The version and kind of the file snapshot.yaml.
const (
	// headerVersion and the kind mark the file among those of Kubernetes.
	headerVersion = "muster.sh/v1alpha1"
	headerKind    = "Snapshot"
	headerFile    = "snapshot.yaml"
)

// Header is the part of a snapshot that is not an object of the cluster.
type Header struct {
	metav1.TypeMeta `json:",inline"`
	// Taken is when the snapshot was taken; zero when that is not known.
	Taken metav1.Time `json:"taken"`
	// SchedulerNames, Levels, PlainRequests, Dialects and AutoGangNamespaces are
	// what matters here of the scheduler's configuration; empty for the defaults.
	SchedulerNames     []string             `json:"schedulerNames,omitempty"`
	Levels             []config.Level       `json:"levels,omitempty"`
	PlainRequests      config.PlainRequests `json:"plainRequests,omitempty"`
	Dialects           []kube.Dialect       `json:"dialects,omitempty"`
	AutoGangNamespaces []string             `json:"autoGangNamespaces,omitempty"`
	// Absent are the kinds of pod group that the API server did not serve, such
	// as "scheduling.k8s.io/v1beta1".
	Absent []string `json:"absent,omitempty"`
}

// Settings are those of the scheduler that the snapshot was written for. What the
// header does not say, as one of an older version, has its default.
func (h *Header) Settings() (config.Settings, error) {
	args := config.Args{
		Levels: h.Levels, GPUs: config.GPUs{PlainRequests: h.PlainRequests},
		Dialects: h.Dialects, AutoGangNamespaces: h.AutoGangNamespaces,
	}
	if err := args.Complete(); err != nil {
		return config.Settings{}, fmt.Errorf("reading the snapshot: %w", err)
	}
	return config.Settings{
		SchedulerNames: h.SchedulerNames, Levels: args.TopologyLevels(), Sharing: args.GPUs.SharingPolicy(),
		Dialects: args.Dialects, AutoGangNamespaces: args.AutoGangNamespaces,
	}, nil
}

// SetSettings writes the settings of a scheduler into the header.
func (h *Header) SetSettings(s config.Settings) {
	h.SchedulerNames, h.Dialects, h.AutoGangNamespaces = s.SchedulerNames, s.Dialects, s.AutoGangNamespaces
	h.PlainRequests = config.PlainWhole
	if s.Sharing == kube.AnyShare {
		h.PlainRequests = config.PlainAny
	}
	h.Levels = nil
	for _, level := range s.Levels {
		h.Levels = append(h.Levels, config.Level(level))
	}
}

// Gangs returns the gangs as the scheduler of these names sees them.
func (s *Snapshot) Gangs(schedulerNames ...string) []dialect.Gang {
	o := store.Objects{Pods: s.allPods(), Groups: s.Groups, Dialects: s.Dialects, AutoNamespaces: s.AutoGangNamespaces}
	for _, text := range s.Absent {
		if gv, err := schema.ParseGroupVersion(text); err == nil {
			o.Absent = append(o.Absent, gv)
		}
	}
	return o.Gangs(schedulerNames...)
}

// allPods are the pods that have not ended, and the finished members of gangs.
func (s *Snapshot) allPods() []*v1.Pod { return slices.Concat(s.Pods, s.Finished) }

// ReferenceTime returns the time from which ages count: when the snapshot was
// taken, or else the given time.
func (s *Snapshot) ReferenceTime(otherwise time.Time) time.Time {
	if s.Taken.IsZero() {
		return otherwise
	}
	return s.Taken.Time
}

// sortObjects puts the objects in order, so that one cluster gives one
// snapshot, byte for byte.
func (s *Snapshot) sortObjects() {
	slices.SortFunc(s.Nodes, compareNames)
	slices.SortFunc(s.Pods, compareNames)
	slices.SortFunc(s.Finished, compareNames)
	sortDevices(s.Devices)
	slices.SortFunc(s.Groups, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetAPIVersion(), b.GetAPIVersion()), compareNames(a, b))
	})
}

// compareNames orders objects by namespace and name.
func compareNames[T metav1.Object](a, b T) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}
