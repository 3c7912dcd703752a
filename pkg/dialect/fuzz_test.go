// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect"
)

// Whatever stands in a group object or a workload, reading it ends, and what cannot
// be read is its problem. Each kind reads each text: a CRD may be anybody's.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{
		`"spec":{"minMember":8,"minTaskMember":{"a":1},"networkTopology":{"mode":"hard","highestTierAllowed":2},"subGroupPolicy":[{"name":"a","subGroupSize":2,"matchLabelKeys":["k"]}]}`,
		`"spec":{"minMember":4,"subGroups":[{"name":"a","minMember":2,"parent":"b"},{"name":"b","parent":"a"}],"topologyConstraint":{"requiredTopologyLevel":"rack"}}`,
		`"spec":{"schedulingPolicy":{"gang":{"minCount":4}},"schedulingConstraints":{"topology":[{"key":"rack"}]}}`,
		`"spec":{"podgroups":[{"name":"worker","minReplicas":2,"podReferences":[{"name":"a","namespace":"other"}]}],"topologyConstraint":{"packConstraint":{"required":"rack"}}}`,
		`"spec":{"parallelism":2,"completions":2,"replicas":-1,"template":{"spec":{"containers":[]}},"replicatedJobs":[{"name":"a","replicas":2}]}`,
		`"metadata":{"annotations":{"gang.scheduling.koordinator.sh/groups":"[\"a/b\"]","gang.scheduling.koordinator.sh/network-topology-spec":"{}"}},"spec":{"minMember":1}`,
		`"metadata":{"annotations":{"muster.sh/roles":"[]","muster.sh/min-count":"x","muster.sh/slice-size":"4,2"}},"status":{"phase":3,"conditions":[1,{"type":2}]}`,
		`"spec":[],"status":null`, `"spec":{"minMember":"8"}`, `"spec":{"minMember":1e300}`,
	} {
		f.Add(seed)
	}
	kinds := dialect.Enabled(nil, []string{"*"}).Kinds()
	f.Fuzz(func(t *testing.T, fields string) {
		for _, kind := range kinds {
			u := &unstructured.Unstructured{}
			if u.UnmarshalJSON([]byte(`{"apiVersion":"`+kind.GroupVersionResource.GroupVersion().String()+`","kind":"`+kind.Name+`",`+fields+`}`)) != nil {
				return
			}
			o := kind.Read(u)
			if o.Problem != nil {
				assert.NotEmpty(t, o.Problem.Reason)
				assert.NotEmpty(t, o.Problem.Message)
			}
			for bound := range 2 {
				(&dialect.Progress{Object: o, MinCount: 1, Members: 1, Bound: bound}).Status(nil, time.Unix(0, 0))
			}
		}
	})
}
