// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/workload"
)

func TestControllersOfRuns(t *testing.T) {
	of := func(version, kind, name string, labels ...string) *v1.Pod {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: name, UID: types.UID(name), Controller: new(true)}}
		for i := 0; i < len(labels); i += 2 {
			p.Labels[labels[i]] = labels[i+1]
		}
		return p
	}
	job := func(name string, labels ...string) *v1.Pod { return of("batch/v1", "Job", name, labels...) }
	ofSet := func(index string) *v1.Pod {
		return job("set-r-"+index, "jobset.sigs.k8s.io/jobset-name", "set", "jobset.sigs.k8s.io/replicatedjob-name", "r", "jobset.sigs.k8s.io/job-index", index)
	}
	for name, c := range map[string]struct {
		pods []*v1.Pod
		want []types.UID
	}{
		"nobody":                     {nil, nil},
		"pods without a controller":  {[]*v1.Pod{{}, {}}, nil},
		"one Job":                    {[]*v1.Pod{job("a"), job("a")}, nil},
		"two Jobs":                   {[]*v1.Pod{job("b"), job("a"), job("b")}, []types.UID{"a", "b"}},
		"the Jobs of a JobSet":       {[]*v1.Pod{ofSet("0"), ofSet("1")}, nil},
		"a JobSet and a Job":         {[]*v1.Pod{ofSet("0"), ofSet("1"), job("a")}, []types.UID{"a", "set-r-0", "set-r-1"}},
		"services":                   {[]*v1.Pod{of("apps/v1", "StatefulSet", "a"), of("apps/v1", "StatefulSet", "b")}, nil},
		"controllers nobody reads":   {[]*v1.Pod{of("apps/v1", "ReplicaSet", "a"), of("x/v1", "Y", "b")}, nil},
		"a Job beside a StatefulSet": {[]*v1.Pod{job("a"), of("apps/v1", "StatefulSet", "b")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, workload.ControllersOfRuns(c.pods))
		})
	}
}
