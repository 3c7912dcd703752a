// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// table holds every way to declare a gang, in the order in which messages name
// them. An entry and the file it comes from are all there is to a dialect.
var table = []*entry{
	nativeDialect, coschedulingDialect, koordinatorDialect, volcanoDialect, kaiDialect, labelDialect,
	autoDialect, kueueDialect,
}

// entry is one dialect.
type entry struct {
	name kube.Dialect
	// marks reads where on a pod a gang is named, and its name.
	marks func(*v1.Pod) []mark
	// weak marks count only on a pod that has no others: they name the unit of
	// something else than scheduling.
	weak bool
	// last marks count only on a pod that has not even weak ones.
	last bool
	// labels are the pod labels whose value is the gang's name, if those are
	// the only marks: the pods of a gang can then be listed by them.
	labels []string
	// count is the annotation under which pods give the number of members
	// that start together; "" for a dialect whose gangs need a group object.
	count string
	// override is the annotation under which pods may give another number than
	// their group object does; "" for none.
	override string
	// says translates what a member says of its gang; nil when pods speak in
	// Muster's own annotations only.
	says func(*v1.Pod) said
	// describes does the same for the members of gangs of any dialect, in
	// roles; nil for most.
	describes func(*v1.Pod) said
	// words are the dialect's own for Muster's annotations, where pods have
	// them.
	words map[string]string
	// kinds are the kinds of group object that it reads.
	kinds []*kind
}

// kind is one kind of group object.
type kind struct {
	schema.GroupVersionResource
	// name is what users call it.
	name string
	// of is the dialect whose pods name objects of this kind: that of the
	// entry, or that of another one which shares its marks with it.
	of kube.Dialect
	// workload is set for a kind of workload: its objects stand behind the
	// gangs of their pods.
	workload *workload.Kind
	// countField is the path of the count in the object, and fixed says that
	// it cannot be changed.
	countField []string
	fixed      bool
	// read reads an object as it came from the API server, where any field may
	// hold anything, into what all kinds have in common.
	read func(o *object, u *unstructured.Unstructured)
	// status is what to merge into the object's status so that it says how the
	// gang stands, by field; nil for nothing. Lists replace those that are
	// there.
	status func(g *gangState, verdict map[string]metav1.Condition, now time.Time) map[string]any
}

// mark is one place that names the gang of a pod.
type mark struct {
	// where is the key or field as messages show it, such as "label x/y".
	where, name string
	// gang is what the gang is called where that is not the name.
	gang string
	// problem is why the mark names no gang, or nil.
	problem *kube.Invalid
}

// said is what a pod says of its gang in the terms of a dialect.
type said struct {
	// annotations are in Muster's terms, by key.
	annotations map[string]string
	// roles are parts of the gang: those that other members name are added.
	roles []kube.Role
	// timeoutSeconds is how long members may wait for one another, or 0.
	timeoutSeconds int64
	// notes are sentences on what is not honoured.
	notes []string
	// problem is why it cannot be read, or nil.
	problem *kube.Invalid
}

// labelMarks are the marks of a dialect that names gangs in these labels.
func labelMarks(keys ...string) func(*v1.Pod) []mark {
	return marksIn("label ", func(pod *v1.Pod) map[string]string { return pod.Labels }, keys)
}

// annotationMarks are the marks of a dialect that names gangs in these
// annotations.
func annotationMarks(keys ...string) func(*v1.Pod) []mark {
	return marksIn("annotation ", func(pod *v1.Pod) map[string]string { return pod.Annotations }, keys)
}

func marksIn(what string, values func(*v1.Pod) map[string]string, keys []string) func(*v1.Pod) []mark {
	return func(pod *v1.Pod) []mark {
		var marks []mark
		for _, key := range keys {
			if name, ok := values(pod)[key]; ok {
				marks = append(marks, mark{where: what + key, name: name})
			}
		}
		return marks
	}
}

// Names lists the dialects that there are.
func Names() []kube.Dialect {
	names := make([]kube.Dialect, len(table))
	for i, e := range table {
		names[i] = e.name
	}
	return names
}

// Check reports a name that is no dialect's.
func Check(names []kube.Dialect) error {
	known := Names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			var all []string
			for _, n := range known {
				all = append(all, string(n))
			}
			return fmt.Errorf("found %s, want some of %s", kube.Quote(string(name)), strings.Join(all, ", "))
		}
	}
	return nil
}

// set is the dialects in use.
type set []*entry

// enabled returns the dialects of these names; none means all. Unknown names
// are left out: see Check.
func enabled(names []kube.Dialect) set {
	if len(names) == 0 {
		return table
	}
	var s set
	for _, e := range table {
		if slices.Contains(names, e.name) {
			s = append(s, e)
		}
	}
	return s
}

func (s set) find(name kube.Dialect) *entry {
	for _, e := range s {
		if e.name == name {
			return e
		}
	}
	return nil
}

// kinds lists all kinds that are read.
func (s set) kinds() []*kind {
	var kinds []*kind
	for _, e := range s {
		kinds = append(kinds, e.kinds...)
	}
	return kinds
}

// kindsOf lists the kinds whose objects stand behind gangs of a dialect.
func (s set) kindsOf(name kube.Dialect) []*kind {
	var kinds []*kind
	for _, k := range s.kinds() {
		if k.of == name {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// Kinds are the kinds of group object of the dialects of these names; none
// means all dialects. Workloads are not among them: see Objects.Workloads.
func Kinds(names ...kube.Dialect) []schema.GroupVersionResource {
	var all []schema.GroupVersionResource
	for _, k := range enabled(names).kinds() {
		if k.workload == nil {
			all = append(all, k.GroupVersionResource)
		}
	}
	return all
}

// IsGroup tells whether objects of an API version and kind stand behind gangs.
func IsGroup(apiVersion, name string) bool {
	for _, k := range set(table).kinds() {
		if k.GroupVersion().String() == apiVersion && k.name == name {
			return true
		}
	}
	return false
}
