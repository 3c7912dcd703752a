// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func podGroup(t testing.TB, spec string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON([]byte(`{"apiVersion":"scheduling.x-k8s.io/v1alpha1","kind":"PodGroup",
		"metadata":{"name":"train","namespace":"ns","uid":"u1","generation":2,"annotations":{"a":"b"}}`+spec+`}`)))
	return u
}

func TestReadCRD(t *testing.T) {
	const wantCount = "want a number from 1 to 100000"
	tests := []struct {
		name, spec string
		minCount   int
		timeout    int64
		message    string
	}{
		{"a count", `,"spec":{"minMember":8}`, 8, 0, ""},
		{"a count and a timeout", `,"spec":{"minMember":8,"scheduleTimeoutSeconds":30}`, 8, 30, ""},
		{"no timeout", `,"spec":{"minMember":8,"scheduleTimeoutSeconds":0}`, 8, 0, ""},
		{"no spec", ``, 0, 0, "gang train: PodGroup train: spec.minMember is missing; write the number of pods that start together"},
		{"null", `,"spec":{"minMember":null}`, 0, 0, "spec.minMember is missing"},
		{"zero", `,"spec":{"minMember":0}`, 0, 0, "spec.minMember: found 0, " + wantCount},
		{"negative", `,"spec":{"minMember":-3}`, 0, 0, "spec.minMember: found -3, " + wantCount},
		{"too many", `,"spec":{"minMember":100001}`, 0, 0, "spec.minMember: found 100001, " + wantCount},
		{"beyond 64 bits", `,"spec":{"minMember":1e30}`, 0, 0, `spec.minMember: found "1e+30", ` + wantCount},
		{"a fraction", `,"spec":{"minMember":1.5}`, 0, 0, `spec.minMember: found "1.5", ` + wantCount},
		{"text", `,"spec":{"minMember":"8"}`, 0, 0, `spec.minMember: found "\"8\"", ` + wantCount},
		{"a list for a spec", `,"spec":[1]`, 0, 0, "spec.minMember: found no object in spec, " + wantCount},
		{"a negative timeout", `,"spec":{"minMember":8,"scheduleTimeoutSeconds":-1}`, 8, 0, "spec.scheduleTimeoutSeconds: found -1, want a number of seconds from 1 to 604800, or none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := crdGroups.translate(podGroup(t, test.spec))
			assert.Equal(t, test.minCount, o.minCount)
			assert.Equal(t, test.timeout, o.timeoutSeconds)
			assert.Equal(t, types.UID("u1"), o.uid)
			if test.message == "" {
				assert.Nil(t, o.problem)
				return
			}
			require.NotNil(t, o.problem)
			assert.Equal(t, kube.InvalidGangSpec, o.problem.Reason)
			assert.Contains(t, o.problem.Message, test.message)
		})
	}
}

func FuzzReadCRD(f *testing.F) {
	for _, seed := range []string{
		`{"minMember":8}`, `{"minMember":"8"}`, `{"minMember":{"a":1}}`, `null`, `[]`, `{"minMember":1e400}`,
		`{"minMember":9223372036854775807,"scheduleTimeoutSeconds":"x"}`, `{"minMember":-0}`,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, spec, status string) {
		u := &unstructured.Unstructured{}
		if u.UnmarshalJSON([]byte(`{"apiVersion":"a/v1","kind":"PodGroup","metadata":{"name":"train","uid":"u"},"spec":`+spec+`,"status":`+status+`}`)) != nil {
			return
		}
		o := crdGroups.translate(u)
		if (o.problem == nil) != (o.minCount >= 1 && o.minCount <= kube.MaxMinCount && o.timeoutSeconds >= 0) && o.problem == nil {
			t.Fatalf("%s was read as %+v", spec, o)
		}
		if o.problem != nil && (len(o.problem.Message) > 600 || strings.ContainsAny(o.problem.Message, "\n\x00")) {
			t.Fatalf("message %q", o.problem.Message)
		}
		g := newStore(newFeed(), table).newGang(key("crd~train"))
		g.object = o
		g.phase()
		if g.serve(nil) == nil {
			t.Fatal("the group is not served")
		}
	})
}

func TestPhase(t *testing.T) {
	member := func(i int, words ...string) *v1.Pod {
		return newPod(fmt.Sprint("p", i), append(words, kube.LabelPodGroup+"=train", "owner=job")...)
	}
	tests := []struct {
		name                      string
		waiting, bound, running   int
		succeeded, failed         int
		phase                     string
		scheduled, runningCounted int
	}{
		{"without pods it is pending", 0, 0, 0, 0, 0, "Pending", 0, 0},
		{"with too few pods it is pending", 3, 0, 0, 0, 0, "Pending", 0, 0},
		{"with all pods it waits to be scheduled", 4, 0, 0, 0, 0, "PreScheduling", 0, 0},
		{"with some bound it is being scheduled", 3, 1, 0, 0, 0, "Scheduling", 1, 0},
		{"with enough bound it is scheduled", 1, 4, 0, 0, 0, "Scheduled", 4, 0},
		{"with some running it is scheduled", 0, 2, 2, 0, 0, "Scheduled", 4, 2},
		{"with enough running it runs", 0, 0, 4, 0, 0, "Running", 4, 4},
		{"with some done it runs on", 0, 0, 2, 2, 0, "Running", 2, 2},
		{"with enough done it is finished", 0, 0, 0, 4, 1, "Finished", 0, 0},
		{"with one failed and none in its place it failed", 0, 0, 3, 0, 1, "Failed", 3, 3},
		{"with the failed one replaced it runs", 0, 0, 4, 0, 1, "Running", 4, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			k := key("crd~train")
			w.setObject(k, crdGroup("train", "u1", 4))
			n := 0
			for range test.waiting {
				w.pod(member(n))
				n++
			}
			for range test.bound {
				w.pod(member(n, "node=n1"))
				n++
			}
			for range test.running {
				w.pod(member(n, "node=n1", "phase=Running"))
				n++
			}
			w.setEnded(k, test.succeeded, test.failed)
			status := w.view(k).statusOf(epoch)
			assert.Equal(t, test.phase, status.Phase)
			assert.Equal(t, test.scheduled, status.Scheduled)
			assert.Equal(t, test.runningCounted, status.Running)
			if test.phase == "Pending" {
				assert.Empty(t, status.ScheduleStartTime)
				return
			}
			assert.Equal(t, "2026-01-01T00:00:00Z", status.ScheduleStartTime)
			if n > 0 {
				assert.Equal(t, "ns/job", status.OccupiedBy)
			}
		})
	}
}
