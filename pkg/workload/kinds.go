// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Kind is one row of the table of controllers: what is known of the pods that
// objects of one kind bring about. The dialect auto, the command plan and the
// table in docs/workloads.md all read it.
type Kind struct {
	// Name is the kind as its API spells it, such as "JobSet".
	Name string
	// Group, Versions and Resource are where it is served. The versions are those
	// that can be read, the preferred one first.
	Group    string
	Versions []string
	Resource string
	// EndsByItself says that a workload of this kind is a run that comes to its end,
	// and not a service.
	EndsByItself bool

	// Gang, Together and Parts are what the documentation says of its gangs: what
	// one gang is, how many of its pods start together, and its roles.
	Gang, Together, Parts string
	// Creates is the kind by which its pods are gangs where it makes no pods
	// itself, such as the RayCluster of a RayJob.
	Creates *Kind
	// Advice is why its pods are no gangs by themselves and what to do, as what
	// follows "its controller is KIND NAME" in a sentence.
	Advice string

	// nameLabel, uidLabel and partLabel are the labels of its pods that repeat
	// its name and UID and count its groups, or "". roleLabels may name the role.
	nameLabel, uidLabel, partLabel string
	roleLabels                     []string
	// sharesName says that some of its pods do not tell it from an earlier one of
	// its name.
	sharesName bool
	// links lead to it from pods whose controller is something that it made.
	links []link

	// readShape reads what auto needs, nil where auto does not read the kind.
	readShape func(*reader, *Shape)
	// layOut makes the pods that plan needs, nil where plan does not read it.
	layOut func(*reader, *Layout)
}

// link is how a pod leads to a workload through an object that the workload made.
// The label alone is not trusted: the name of the pod's controller must agree.
type link struct {
	group, kind string
	// when are labels that such a pod has, "" for any value.
	when map[string]string
	// owner are the labels whose values, joined by "-", are the name of the
	// controller. What is no key, since it has no slash, stands for itself.
	owner []string
	// role is that of all such pods, "" where the labels name it.
	role string
}

// DisplayName is what messages put before the name of a workload: "job" in "job/train".
func (k *Kind) DisplayName() string { return strings.ToLower(k.Name) }

// ServedResources lists the kind's resources, the preferred one first.
func (k *Kind) ServedResources() []schema.GroupVersionResource {
	all := make([]schema.GroupVersionResource, len(k.Versions))
	for i, version := range k.Versions {
		all[i] = schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Resource}
	}
	return all
}

// IsGang reports whether auto makes gangs of its pods.
func (k *Kind) IsGang() bool { return k.readShape != nil }

// IsPlanned reports whether LayOut knows its pods.
func (k *Kind) IsPlanned() bool { return k.layOut != nil }

// ReadShape reads a workload of this kind as it came from the API server, where any
// field may hold anything.
func (k *Kind) ReadShape(u *unstructured.Unstructured) Shape {
	s := Shape{}
	r := &reader{object: u.Object}
	k.readShape(r, &s)
	if r.problem != "" {
		s.Problem = r.problem
	}
	return s
}

// LayOut returns the pods that a new workload of this kind brings about, as a user
// wrote it, where any field may hold anything. find looks for other objects that
// it names.
func (k *Kind) LayOut(u *unstructured.Unstructured, find Finder) (*Layout, error) {
	l := &Layout{find: find}
	r := &reader{object: u.Object}
	k.layOut(r, l)
	if r.problem != "" {
		return nil, fmt.Errorf("%s", r.problem)
	}
	return l, nil
}

// linkOf finds the link by which a pod of some controller leads to the kind.
func (k *Kind) linkOf(group, kind string, labels map[string]string) *link {
	for i := range k.links {
		l := &k.links[i]
		if l.group != group || l.kind != kind {
			continue
		}
		agrees := true
		for key, want := range l.when {
			value, ok := labels[key]
			agrees = agrees && ok && (want == "" || want == value)
		}
		if agrees {
			return l
		}
	}
	return nil
}

// ownerName is the name that the controller of a pod with these labels has.
func (l *link) ownerName(labels map[string]string) string {
	parts := slices.Clone(l.owner)
	for i, part := range parts {
		if strings.Contains(part, "/") {
			parts[i] = labels[part]
		}
	}
	return strings.Join(parts, "-")
}

// follow finds the workload behind the controller of a pod.
func (k *Kind) follow(l *link, owner *metav1.OwnerReference, labels map[string]string) (Ref, string) {
	ref := Ref{Kind: k, Workload: labels[k.nameLabel], Part: labels[k.partLabel], Role: l.role}
	if ref.Role == "" {
		ref.Role = k.roleOf(labels)
	}
	if n, err := strconv.Atoi(ref.Part); k.partLabel != "" && (err != nil || n < 0 || strconv.Itoa(n) != ref.Part) {
		return Ref{}, fmt.Sprintf("its label %s says %s, which is no index", k.partLabel, strconv.QuoteToASCII(ref.Part))
	}
	if l.ownerName(labels) != owner.Name {
		return Ref{}, mismatchText(k.nameLabel, ref.Workload, owner)
	}
	if k.uidLabel != "" {
		ref.Instance = InstanceOf(types.UID(labels[k.uidLabel]))
	}
	return ref, ""
}

// roleOf is the role that a pod's labels name.
func (k *Kind) roleOf(labels map[string]string) string {
	for _, key := range k.roleLabels {
		if labels[key] != "" {
			return labels[key]
		}
	}
	return ""
}

// cells are those behind the name, which kinds that are alike share.
func (k *Kind) cells() string {
	versions := make([]string, len(k.Versions))
	for i, version := range k.Versions {
		versions[i] = "`" + k.Group + "/" + version + "`"
	}
	gang, together, parts := k.Gang, k.Together, k.Parts
	if k.Creates != nil {
		gang, together, parts = "its "+k.Creates.Name, "as there", "as there"
	}
	readers := []string{}
	if k.IsGang() || k.Creates != nil {
		readers = append(readers, "`auto`")
	}
	if k.IsPlanned() {
		readers = append(readers, "`plan`")
	}
	if len(readers) == 0 {
		readers = []string{"neither"}
	}
	return " " + strings.Join(versions, ", ") + " | " + gang + " | " + together + " | " + parts + " | " + strings.Join(readers, ", ")
}

// SupportedKinds lists the kinds of workload of whose pods auto makes gangs.
func SupportedKinds() []*Kind {
	return slices.DeleteFunc(Kinds(), func(k *Kind) bool { return !k.IsGang() })
}

// Kinds lists all rows of the table.
func Kinds() []*Kind { return slices.Clone(controllers) }

// SupportedText lists the supported kinds for a sentence.
func SupportedText() string {
	return listKinds(SupportedKinds(), func(k *Kind) string {
		var above []string
		for _, other := range controllers {
			if other.Creates == k {
				above = append(above, "a "+other.Name)
			}
		}
		if len(above) == 0 {
			return k.Name
		}
		return k.Name + " (also of " + strings.Join(above, " or ") + ")"
	})
}

// PlannedText lists the kinds whose pods LayOut knows for a sentence.
func PlannedText() string {
	planned := slices.DeleteFunc(Kinds(), func(k *Kind) bool { return !k.IsPlanned() })
	return listKinds(planned, func(k *Kind) string {
		if k == volcanoJob {
			return "Volcano's Job"
		}
		return k.Name
	})
}

func listKinds(kinds []*Kind, name func(*Kind) string) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = name(k)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Find returns the row of a kind of object, in any of its versions, or nil.
func Find(apiVersion, name string) *Kind {
	version, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil
	}
	return findIn(version.Group, name)
}

func findIn(group, name string) *Kind {
	for _, k := range controllers {
		if k.Group == group && k.Name == name {
			return k
		}
	}
	return nil
}
