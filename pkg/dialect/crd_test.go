// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
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
			o := dialect.CRDGroups.Read(podGroup(t, test.spec))
			assert.Equal(t, test.minCount, o.MinCount)
			assert.Equal(t, test.timeout, o.TimeoutSeconds)
			assert.Equal(t, types.UID("u1"), o.UID)
			if test.message == "" {
				assert.Nil(t, o.Problem)
				return
			}
			require.NotNil(t, o.Problem)
			assert.Equal(t, kube.InvalidGangSpec, o.Problem.Reason)
			assert.Contains(t, o.Problem.Message, test.message)
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
		o := dialect.CRDGroups.Read(u)
		if (o.Problem == nil) != (o.MinCount >= 1 && o.MinCount <= kube.MaxMinCount && o.TimeoutSeconds >= 0) && o.Problem == nil {
			t.Fatalf("%s was read as %+v", spec, o)
		}
		if o.Problem != nil && (len(o.Problem.Message) > 600 || strings.ContainsAny(o.Problem.Message, "\n\x00")) {
			t.Fatalf("message %q", o.Problem.Message)
		}
		if (&dialect.Progress{Object: o, MinCount: max(o.MinCount, 1)}).Status(nil, epoch) == nil {
			t.Fatal("the group has no status")
		}
	})
}

func TestPhase(t *testing.T) {
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
			p := &dialect.Progress{
				Object: dialect.CRDGroups.Read(podGroup(t, `,"spec":{"minMember":4}`)), MinCount: 4,
				Members: test.waiting + test.bound + test.running, Bound: test.bound + test.running, Running: test.running,
				Succeeded: test.succeeded, Failed: test.failed,
			}
			if p.Members > 0 {
				p.Owners = []string{"job", "other"}
			}
			status := p.Status(nil, epoch)
			assert.Equal(t, test.phase, status["phase"])
			assert.EqualValues(t, test.scheduled, status["scheduled"])
			assert.EqualValues(t, test.runningCounted, status["running"])
			if test.phase == "Pending" {
				assert.NotContains(t, status, "scheduleStartTime")
				return
			}
			assert.Equal(t, "2026-01-01T00:00:00Z", status["scheduleStartTime"])
			if p.Members > 0 {
				assert.Equal(t, "ns/job,ns/other", status["occupiedBy"])
			}
		})
	}
}
