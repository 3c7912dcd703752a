// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// historyPath is where the secure port serves the last decisions on gangs.
const historyPath = "/muster/history"

// historySource serves the last decisions of the plugins of all profiles. It is
// safe for concurrent use.
type historySource struct {
	mu      sync.Mutex
	plugins []*plugin.Plugin
}

// pluginFactory returns a factory of plugins whose decisions are served.
func (s *historySource) pluginFactory(groups plugin.Groups) frameworkruntime.PluginFactory {
	build := plugin.Factory(groups)
	return func(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		built, err := build(ctx, args, handle)
		if pl, ok := built.(*plugin.Plugin); ok {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.plugins = append(s.plugins, pl)
		}
		return built, err
	}
}

// ServeHTTP answers GET and HEAD with a JSON list of decisions, the oldest first.
// The parameter gang, NAMESPACE/NAME, leaves those on one gang.
func (s *historySource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the history can only be read", http.StatusMethodNotAllowed)
		return
	}
	gang := r.URL.Query().Get("gang")
	if gang != "" && !strings.Contains(gang, "/") {
		http.Error(w, "gang: want NAMESPACE/NAME", http.StatusBadRequest)
		return
	}
	body, err := json.Marshal(s.listDecisions(gang))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // a reader that left is no error
}

// listDecisions lists the decisions on a gang, "" for all, by time.
func (s *historySource) listDecisions(gang string) []queue.Decision {
	s.mu.Lock()
	plugins := slices.Clone(s.plugins)
	s.mu.Unlock()
	list := []queue.Decision{}
	for _, pl := range plugins {
		for _, d := range pl.History("") {
			if gang == "" || isGang(d.Gang, gang) {
				list = append(list, d)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b queue.Decision) int { return a.Time.Compare(b.Time) })
	return list
}

// isGang reports whether a group, as namespace/name, is that of the gang that a
// user calls so: by the group's full name, the gang's own, or, of the gang of a
// workload, that of the workload.
func isGang(group, gang string) bool {
	namespace, name, _ := strings.Cut(group, "/")
	wantedNamespace, wanted, _ := strings.Cut(gang, "/")
	if namespace != wantedNamespace {
		return false
	}
	dialect, own := kube.SplitGroupName(name)
	return wanted == name || wanted == own || dialect == kube.DialectAuto && strings.HasSuffix(own, "/"+wanted)
}
