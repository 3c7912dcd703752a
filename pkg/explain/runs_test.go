// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

func TestStatus_SaysWhoIsWaitedFor(t *testing.T) {
	of := func(name, job, node string, gates ...string) *v1.Pod {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: job, UID: types.UID(job), Controller: new(true)}}
		p.Spec.NodeName = node
		for _, gate := range gates {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, v1.PodSchedulingGate{Name: gate})
		}
		return p
	}
	runs := &kube.Runs{Known: []types.UID{"one", "two"}, Later: []types.UID{"two"}, Message: "two waits for one"}
	for name, c := range map[string]struct {
		runs     *kube.Runs
		pods     []*v1.Pod
		phase    queue.Phase
		reason   kube.Reason
		waitsFor string
	}{
		"another run waits for the end of this one": {runs, []*v1.Pod{of("a", "one", "n"), of("b", "one", "n"), of("c", "two", "")},
			queue.Running, kube.GangConfigConflict, "another run under its name to end"},
		"this run is short of a pod": {runs, []*v1.Pod{of("a", "one", ""), of("c", "two", "")},
			queue.Waiting, kube.GangIncomplete, "1 of 2 pods to be created"},
		"one of two is gated": {nil, []*v1.Pod{of("a", "one", ""), of("b", "one", "", "quota")},
			queue.Gated, kube.SchedulingGated, "the gate quota to be taken off 1 of 2 pods"},
		"the others are enough beside a gate": {nil, []*v1.Pod{of("a", "one", ""), of("b", "one", ""), of("c", "one", "", "quota")},
			queue.Queued, ReasonFitsNow, "its turn; there is room for 2 pods"},
	} {
		t.Run(name, func(t *testing.T) {
			pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "label~train", UID: "g"}}
			pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 2}
			node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
			node.Status.Allocatable = v1.ResourceList{v1.ResourcePods: resource.MustParse("10")}
			view, err := NewClusterView(Config{}, []*v1.Node{node}, nil, []dialect.Gang{{Group: pg, Declaration: &kube.Declaration{Runs: c.runs}, Pods: c.pods}})
			require.NoError(t, err)
			status, err := view.Status(view.Gangs[0], time.Time{})
			require.NoError(t, err)
			assert.Equal(t, c.phase, status.Phase)
			assert.Equal(t, c.reason, status.Reason, status.Message)
			assert.Equal(t, c.waitsFor, status.WaitsFor)
			assert.Equal(t, len(c.pods), status.Pods)
		})
	}
}
