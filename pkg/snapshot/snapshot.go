// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
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
	// Groups are the group objects, by API group, namespace and name.
	Groups []*unstructured.Unstructured
}

// The version and kind of the file snapshot.yaml.
const (
	headerVersion = "muster.sh/v1alpha1"
	headerKind    = "Snapshot"
	headerFile    = "snapshot.yaml"
)

// Header is what is not an object of the cluster.
type Header struct {
	metav1.TypeMeta `json:",inline"`
	// Taken is when the picture was taken; zero when that is not known.
	Taken metav1.Time `json:"taken"`
	// SchedulerNames, Levels, Dialects and AutoGangNamespaces are what matters
	// here of the scheduler's configuration; empty for the defaults.
	SchedulerNames     []string       `json:"schedulerNames,omitempty"`
	Levels             []config.Level `json:"levels,omitempty"`
	Dialects           []kube.Dialect `json:"dialects,omitempty"`
	AutoGangNamespaces []string       `json:"autoGangNamespaces,omitempty"`
	// Absent are the kinds of pod group that the API server did not serve, such
	// as "scheduling.k8s.io/v1beta1".
	Absent []string `json:"absent,omitempty"`
}

// Gangs are the gangs of the picture as the scheduler of these names sees them.
func (s *Snapshot) Gangs(schedulerNames ...string) []dialect.Gang {
	o := store.Objects{Pods: s.Pods, Groups: s.Groups, Dialects: s.Dialects, AutoNamespaces: s.AutoGangNamespaces}
	for _, text := range s.Absent {
		if gv, err := schema.ParseGroupVersion(text); err == nil {
			o.Absent = append(o.Absent, gv)
		}
	}
	return o.Gangs(schedulerNames...)
}

// Now is the moment to count ages from: when the picture was taken, or else
// the given time.
func (s *Snapshot) Now(otherwise time.Time) time.Time {
	if s.Taken.IsZero() {
		return otherwise
	}
	return s.Taken.Time
}

// sort puts the objects in order, so that one cluster gives one picture.
func (s *Snapshot) sort() {
	slices.SortFunc(s.Nodes, byName)
	slices.SortFunc(s.Pods, byName)
	slices.SortFunc(s.Groups, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetAPIVersion(), b.GetAPIVersion()), byName(a, b))
	})
}

func byName[T metav1.Object](a, b T) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}
