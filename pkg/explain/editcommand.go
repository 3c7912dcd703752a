// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// groupEdit is a change of a gang's declaration: annotations that are set, and
// what the gang says in the annotations drop is removed, wherever its user
// wrote it.
type groupEdit struct {
	set  map[string]string
	drop []string
}

// originOf returns where the user wrote what the gang has in an annotation.
func (x *explainer) originOf(key string) kube.Origin {
	o := x.gang.Declaration.OriginOf(key)
	if _, written := x.gang.Declaration.Terms[key]; !written && key == kube.AnnotationTopologyRequired && x.gang.Dialect == kube.DialectNative {
		o.Word = "spec.schedulingConstraints.topology"
	}
	return o
}

// fixedFields are the dialects whose objects keep their fields: they are immutable, or
// a controller puts them back.
var fixedFields = []kube.Dialect{kube.DialectNative, kube.DialectComposite, dialect.DialectGrove}

// editCommand returns the kubectl command that edits the object behind the
// gang, "" where the declaration is on pods, which keep theirs for life, or in
// a field that is immutable or that its controller puts back.
func (x *explainer) editCommand(e groupEdit) string {
	resource := x.gang.Declaration.Resource
	if resource == "" {
		return ""
	}
	var words []string
	annotations, spec := map[string]any{}, map[string]any{}
	for _, key := range e.drop {
		switch o := x.originOf(key); {
		case o.OnPods, o.IsField() && slices.Contains(fixedFields, x.gang.Dialect):
			return ""
		case o.IsField():
			removeField(spec, strings.Split(strings.TrimPrefix(o.Word, "spec."), "."))
		default:
			annotations[o.Word], words = nil, append(words, o.Word+"-")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.set)) {
		if x.originOf(key).OnPods {
			return ""
		}
		annotations[key], words = e.set[key], append(words, key+"="+e.set[key])
	}
	if len(spec) == 0 {
		return fmt.Sprintf("kubectl -n %s annotate --overwrite %s %s %s", x.gang.Namespace, resource, x.gang.Name, strings.Join(words, " "))
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}, "spec": spec})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("kubectl -n %s patch %s %s --type merge -p '%s'", x.gang.Namespace, resource, x.gang.Name, patch)
}

// removeField makes a merge patch remove a field.
func removeField(fields map[string]any, path []string) {
	for _, name := range path[:len(path)-1] {
		inner, ok := fields[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			fields[name] = inner
		}
		fields = inner
	}
	fields[path[len(path)-1]] = nil
}

// describeRemoval returns what an edit removes, in the user's words.
func (x *explainer) describeRemoval(keys ...string) string {
	var words []string
	for _, key := range keys {
		if _, written := x.gang.Declaration.Terms[key]; written {
			words = append(words, x.originOf(key).Word)
		}
	}
	return "without " + joinWords(words)
}
