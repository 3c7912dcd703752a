// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// registry holds every way to declare a gang, in the order in which messages
// name them. An entry and the file it comes from are all there is to a dialect.
var registry = Dialects{
	nativeDialect, coschedulingDialect, koordinatorDialect, volcanoDialect, kaiDialect, groveDialect,
	labelDialect, autoDialect, kueueDialect,
}

// Dialect is one way to declare a gang.
type Dialect struct {
	Name kube.Dialect
	// Labels are the pod labels whose value is the gang's name, if those are
	// the only markers: the pods of a gang can then be listed by them.
	Labels []string
	// Count is the annotation under which pods give the number of members
	// that start together; "" for a dialect whose gangs need a group object.
	Count string

	// override is the annotation under which pods may give another number than
	// their group object does; "" for none.
	override string
	// readMarks reads where on a pod a gang is named, and its name. They count
	// only on a pod that has none of a dialect of smaller precedence.
	readMarks  func(*v1.Pod) []mark
	precedence precedence
	// readMember translates what a member says of its gang; nil when pods speak
	// in Muster's own annotations only.
	readMember func(*v1.Pod) podDeclaration
	// readAnyMember does the same for the members of gangs of any dialect, in
	// roles; nil for most.
	readAnyMember func(*v1.Pod) podDeclaration
	// aliases are the dialect's own words for Muster's annotations, where pods
	// have them.
	aliases map[string]string
	// kinds are the kinds of group object that it reads.
	kinds []*Kind
}

// precedence is which dialects' markers stand aside for others.
type precedence int

const (
	// explicit markers name a gang for a scheduler.
	explicit precedence = iota
	// created markers stand on every pod of a controller that makes gangs.
	created
	// admission markers name the unit of something else than scheduling.
	admission
	// byDefault markers stand for a pod that says nothing.
	byDefault
	precedences
)

// mark is one place that names the gang of a pod.
type mark struct {
	// where is the key or field as messages show it, such as "label x/y".
	where, name string
	// gang is what the gang is called where that is not the name.
	gang string
	// problem is why the mark names no gang, or nil.
	problem *kube.Invalid
}

// podDeclaration is what a pod says of its gang in the terms of a dialect.
type podDeclaration struct {
	// annotations are in Muster's terms, by key.
	annotations map[string]string
	// roles are parts of the gang: those that other members name are added.
	roles []kube.Role
	// timeoutSeconds is how long members may wait for one another, or 0.
	timeoutSeconds int64
	// ignored are sentences on what is not read.
	ignored []string
	// problem is why it cannot be read, or nil.
	problem *kube.Invalid
}

// labelMarks returns the marks of a dialect that names gangs in these labels.
func labelMarks(keys ...string) func(*v1.Pod) []mark {
	return marksIn("label ", func(pod *v1.Pod) map[string]string { return pod.Labels }, keys)
}

// annotationMarks returns the marks of a dialect that names gangs in these
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
	names := make([]kube.Dialect, len(registry))
	for i, d := range registry {
		names[i] = d.Name
	}
	return names
}

// Check returns an error for a name that is no dialect's.
func Check(names []kube.Dialect) error {
	known := Names()
	for _, name := range names {
		if !slices.Contains(known, name) {
			var all []string
			for _, n := range known {
				all = append(all, string(n))
			}
			return fmt.Errorf("found %s, want some of %s", kube.QuoteInput(string(name)), strings.Join(all, ", "))
		}
	}
	return nil
}

// Dialects are the dialects in use.
type Dialects []*Dialect

// Enabled returns the dialects of these names, none for all, and the namespaces
// whose pods make gangs of their workloads without being asked to; "*" stands
// for all. Unknown names are left out: see Check.
func Enabled(names []kube.Dialect, autoNamespaces []string) Dialects {
	enabled := registry
	if len(names) > 0 {
		enabled = nil
		for _, d := range registry {
			if slices.Contains(names, d.Name) {
				enabled = append(enabled, d)
			}
		}
	}
	if len(autoNamespaces) > 0 && enabled.Find(kube.DialectAuto) != nil {
		enabled = append(slices.Clone(enabled), autoDefault(autoNamespaces))
	}
	return enabled
}

// Find returns the dialect of a name, or nil.
func (s Dialects) Find(name kube.Dialect) *Dialect {
	for _, d := range s {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Kinds lists all kinds that are read, workloads included.
func (s Dialects) Kinds() []*Kind {
	var kinds []*Kind
	for _, d := range s {
		kinds = append(kinds, d.kinds...)
	}
	return kinds
}

// KindsOf lists the kinds whose objects stand behind gangs of a dialect.
func (s Dialects) KindsOf(name kube.Dialect) []*Kind {
	var kinds []*Kind
	for _, k := range s.Kinds() {
		if k.Dialect == name {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// Kinds lists the kinds of group object of the dialects of these names; none
// means all dialects. Workloads are not among them: see Dialects.Workloads.
func Kinds(names ...kube.Dialect) []schema.GroupVersionResource {
	var all []schema.GroupVersionResource
	for _, k := range Enabled(names, nil).Kinds() {
		if k.Workload == nil {
			all = append(all, k.GroupVersionResource)
		}
	}
	return all
}

// IsGroup reports whether objects of an API version and kind stand behind
// gangs.
func IsGroup(apiVersion, name string) bool {
	return slices.ContainsFunc(registry.Kinds(), func(k *Kind) bool { return k.isNamed(apiVersion, name) })
}
