// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// edit is a change of what is written on the gang: annotations that are set,
// and what the gang says in the annotations drop is taken away, wherever its
// user wrote it.
type edit struct {
	set  map[string]string
	drop []string
}

// origin is where the user wrote what the gang has in an annotation.
func (x *explainer) origin(key string) kube.Origin {
	o := x.g.Declaration.OriginOf(key)
	if _, written := x.g.Declaration.Terms[key]; !written && key == kube.AnnotationTopologyRequired && x.g.Dialect == kube.DialectNative {
		o.Word = "spec.schedulingConstraints.topology"
	}
	return o
}

// command makes an edit of the object behind the gang, "" where it stands on
// pods, which keep theirs for life, or in a field that is never changed.
func (x *explainer) command(e edit) string {
	resource := x.g.Declaration.Resource
	if resource == "" {
		return ""
	}
	var words []string
	annotations, spec := map[string]any{}, map[string]any{}
	for _, key := range e.drop {
		switch o := x.origin(key); {
		case o.OnPods, o.IsField() && x.g.Dialect == kube.DialectNative:
			return ""
		case o.IsField():
			remove(spec, strings.Split(strings.TrimPrefix(o.Word, "spec."), "."))
		default:
			annotations[o.Word], words = nil, append(words, o.Word+"-")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.set)) {
		if x.origin(key).OnPods {
			return ""
		}
		annotations[key], words = e.set[key], append(words, key+"="+e.set[key])
	}
	if len(spec) == 0 {
		return fmt.Sprintf("kubectl -n %s annotate --overwrite %s %s %s", x.g.Namespace, resource, x.g.Name, strings.Join(words, " "))
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}, "spec": spec})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("kubectl -n %s patch %s %s --type merge -p '%s'", x.g.Namespace, resource, x.g.Name, patch)
}

// remove makes a merge patch take a field away.
func remove(fields map[string]any, path []string) {
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

// without names what an edit takes away.
func (x *explainer) without(keys ...string) string {
	var words []string
	for _, key := range keys {
		if _, written := x.g.Declaration.Terms[key]; written {
			words = append(words, x.origin(key).Word)
		}
	}
	return "without " + join(words)
}
