// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	alphaapi "k8s.io/api/scheduling/v1alpha3"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// fieldList is what one kind of object, or the annotations of one project, may say.
// testdata/fields/README.md has the words.
type fieldList struct {
	Source string
	// Kind is the API version of a group object, "" for pods.
	Kind   string
	Base   map[string]any
	Fields []field
}

type field struct {
	Name, Outcome, Why string
	Value              any
	// With is merged into the base, Only stands in its place.
	With, Only map[string]any
	// Replace is the path that is set, where that is not the name, and Named the
	// word that a sentence has, where that is not the last one of the name.
	Replace, Named string
}

// TestFields sets each field of each list, one by one.
func TestFields(t *testing.T) {
	files, err := filepath.Glob("testdata/fields/*.yaml")
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, file := range files {
		list := readFieldList(t, file)
		kinds[list.Kind] = true
		require.NotEmpty(t, list.Source, file)
		for _, f := range list.Fields {
			t.Run(filepath.Base(file)+"/"+f.Name, func(t *testing.T) { f.check(t, &list) })
		}
	}
	for _, k := range dialect.Enabled(nil, nil).Kinds() {
		assert.True(t, k.Workload != nil || kinds[k.GroupVersion().String()], "testdata/fields lists no fields of %s", k.GroupVersionResource)
	}
}

func readFieldList(t *testing.T, file string) (list fieldList) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(text, &list), file)
	return list
}

func (f *field) check(t *testing.T, list *fieldList) {
	base := maps.Clone(list.Base)
	maps.Copy(base, f.With)
	if f.Only != nil {
		base = f.Only
	}
	before, after := list.read(t, base, "", nil), list.read(t, base, cmp.Or(f.Replace, f.Name), f.Value)
	require.Empty(t, before.invalid)
	words := strings.FieldsFunc(f.Name, func(r rune) bool { return r == '.' || r == '/' })
	word := cmp.Or(f.Named, words[len(words)-1])
	switch f.Outcome {
	case "read":
		assert.Empty(t, after.invalid)
		assert.NotEqual(t, before.asked, after.asked)
	case "refused":
		assert.Contains(t, after.invalid, word)
	case "ignored":
		assert.Empty(t, after.invalid)
		assert.Equal(t, before.asked, after.asked)
		added := slices.DeleteFunc(after.ignored, func(s string) bool { return slices.Contains(before.ignored, s) })
		assert.Contains(t, strings.Join(added, "\n"), word)
	case "passed", "nothing":
		assert.NotEmpty(t, f.Why)
		assert.Empty(t, after.invalid)
		assert.Equal(t, before.asked, after.asked)
		assert.Equal(t, before.ignored, after.ignored)
		assert.Equal(t, f.Outcome == "passed", !reflect.DeepEqual(before.group, after.group), "in the PodGroup")
	default:
		t.Fatalf("outcome %q", f.Outcome)
	}
}

// outcome is what has become of an object or of pods.
type outcome struct {
	// asked is what the gangs ask for, by name, and what the pods say.
	asked   map[string]any
	ignored []string
	invalid string
	// group is the part of the PodGroup that kube-scheduler's own plugins read.
	group any
}

// members are two pods of the gang train for a kind of object.
var members = map[string]string{
	"scheduling.k8s.io/v1beta1":       "group=train",
	"scheduling.k8s.io/v1alpha3":      "group=train",
	"scheduling.x-k8s.io/v1alpha1":    kube.LabelPodGroup + "=train",
	"scheduling.sigs.k8s.io/v1alpha1": kube.LabelPodGroupOld + "=train",
	"scheduling.volcano.sh/v1beta1":   "scheduling.k8s.io/group-name=train",
	"scheduling.run.ai/v2alpha2":      "pod-group-name=train",
	"scheduler.grove.io/v1alpha1":     groveGang + "=train",
}

// read reads what stands in base, with one more field unless name is "".
func (l *fieldList) read(t *testing.T, base map[string]any, name string, value any) outcome {
	t.Helper()
	w, words := newWorld(), []string{members[l.Kind]}
	if l.Kind == "" {
		words = nil
		values := maps.Clone(base)
		if name != "" {
			values[name] = value
		}
		for key, text := range values {
			words = append(words, key+"="+text.(string))
		}
	} else {
		kinds := dialect.Enabled(nil, nil).Kinds()
		k := kinds[slices.IndexFunc(kinds, func(k *dialect.Kind) bool { return k.GroupVersion().String() == l.Kind })]
		w.SetKind(k, store.Served)
		if k == dialect.CompositeGroups { // which pods name by their PodGroup
			w.setAll(hierarchy(t, "- train in=train gang=2"))
		}
		w.SetObject(k, objectOf(t, k, base, name, value))
	}
	out := outcome{asked: map[string]any{}}
	for _, pod := range []*v1.Pod{newPod("a-x", words...), newPod("b-x", words...)} {
		w.pod(pod)
		said := dialect.Enabled(nil, nil).ReadPod(pod, dialect.DialectKueue)
		out.asked[pod.Name] = []any{said.Roles, kube.PodRank(pod)}
	}
	for key, gang := range w.gangs {
		out.add(t, key.Group, gang)
	}
	return out
}

func (out *outcome) add(t *testing.T, name string, gang dialect.Gang) {
	t.Helper()
	spec, invalid := kube.ReadSpec(gang.Group, gang.Declaration, kube.DefaultLevels())
	if invalid != nil {
		out.invalid += invalid.Message
		return
	}
	declared := *gang.Declaration
	out.ignored = append(out.ignored, declared.Ignored...)
	declared.Ignored = nil
	out.asked[name] = []any{declared, *spec}
	group := gang.Group.Spec
	out.group = []any{group.ResourceClaims, group.DisruptionMode, group.PreemptionPolicy}
}

// objectOf makes an object of a kind of a spec, with one more field, or annotation,
// unless name is "".
func objectOf(t *testing.T, k *dialect.Kind, spec map[string]any, name string, value any) *unstructured.Unstructured {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{"spec": spec})
	require.NoError(t, err)
	fields := map[string]any{}
	require.NoError(t, yaml.Unmarshal(text, &fields)) // a copy
	switch path := strings.Split(name, "."); {
	case name == "":
	case path[0] == "spec":
		setPath(fields, path, value)
	default:
		fields["metadata"] = map[string]any{"annotations": map[string]any{name: value}}
	}
	rest, err := json.Marshal(fields)
	require.NoError(t, err)
	return groupOf(t, k, ","+string(rest[1:len(rest)-1]))
}

// setPath sets a field at a path in which a list stands for its first element.
func setPath(fields map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner := fields[name]
		if list, ok := inner.([]any); ok {
			inner = list[0]
		}
		next, ok := inner.(map[string]any)
		if !ok {
			next = map[string]any{}
			fields[name] = next
		}
		fields = next
	}
	fields[path[len(path)-1]] = value
}

// The lists are complete: Kubernetes' own by its type, the others by the schemas that
// the end-to-end tests install.
func TestFields_ListsAreComplete(t *testing.T) {
	paths := map[string][]string{
		"scheduling.k8s.io/v1beta1":  typePaths(reflect.TypeFor[schedulingapi.PodGroupSpec](), "spec"),
		"scheduling.k8s.io/v1alpha3": typePaths(reflect.TypeFor[alphaapi.CompositePodGroupSpec](), "spec"),
	}
	files, err := filepath.Glob("../../test/e2e/testdata/crds/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		crd := map[string]any{}
		require.NoError(t, yaml.Unmarshal(text, &crd))
		group, _, _ := unstructured.NestedString(crd, "spec", "group")
		version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
		schema, _, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema", "properties", "spec")
		require.NoError(t, err)
		paths[group+"/"+version["name"].(string)] = schemaPaths(runtime.DeepCopyJSON(schema), "spec")
	}
	lists, err := filepath.Glob("testdata/fields/*.yaml")
	require.NoError(t, err)
	for _, file := range lists {
		list := readFieldList(t, file)
		for _, path := range paths[list.Kind] {
			assert.True(t, slices.ContainsFunc(list.Fields, func(f field) bool { return f.Name == path || strings.HasPrefix(path, f.Name+".") }), "%s does not list %s", file, path)
		}
	}
}

// typePaths lists the paths of the fields of a type that have none of their own.
func typePaths(of reflect.Type, path string) (all []string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.NumField() == 0 {
		return []string{path}
	}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		all = append(all, typePaths(of.Field(i).Type, path+"."+name)...)
	}
	return all
}

// schemaPaths does the same for an OpenAPI schema.
func schemaPaths(schema map[string]any, path string) (all []string) {
	if items, ok := schema["items"].(map[string]any); ok {
		schema = items
	}
	properties, _ := schema["properties"].(map[string]any)
	if len(properties) == 0 {
		return []string{path}
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		all = append(all, schemaPaths(properties[name].(map[string]any), path+"."+name)...)
	}
	return all
}
