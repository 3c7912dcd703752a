// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// A level that there is not is refused in the words of whoever wrote it: a user
// of Volcano never wrote an annotation of Muster's.
func TestOrigin_RefusalsNameWhatTheUserWrote(t *testing.T) {
	const koord, queue = koordName + "=train", kueueGroup + "=train"
	for _, test := range []struct {
		name, group string
		kind        *dialect.Kind
		object      string
		pods        []*v1.Pod
		says        string
		onPods      bool
	}{
		{name: "volcano", group: "volcano~train", kind: dialect.VolcanoGroups, says: "spec.networkTopology",
			object: `,"spec":{"minMember":1,"networkTopology":{"highestTierAllowed":9}}`},
		{name: "volcano's sub-groups", group: "volcano~train", kind: dialect.VolcanoGroups, says: `spec.subGroupPolicy: role "a"`,
			object: `,"spec":{"minMember":1,"subGroupPolicy":[{"name":"a","networkTopology":{"highestTierName":"shelf"}}]}`},
		{name: "Muster's annotation on Volcano's group", group: "volcano~train", kind: dialect.VolcanoGroups, says: kube.AnnotationTopologyRequired,
			object: `,"metadata":{"annotations":{"muster.sh/topology-required":"shelf"}},"spec":{"minMember":1,"networkTopology":{"highestTierAllowed":1}}`},
		{name: "kai's field", group: "kai~train", kind: dialect.KAIGroups, says: "spec.topologyConstraint.requiredTopologyLevel",
			object: `,"spec":{"minMember":1,"topologyConstraint":{"requiredTopologyLevel":"shelf"}}`},
		{name: "kai's annotation", group: "kai~train", kind: dialect.KAIGroups, says: kaiPreferred,
			object: `,"metadata":{"annotations":{"` + kaiPreferred + `":"shelf"}},"spec":{"minMember":1}`},
		{name: "kai's sub-groups", group: "kai~train", kind: dialect.KAIGroups, says: `spec.subGroups: role "a"`,
			object: `,"spec":{"subGroups":[{"name":"a","topologyConstraint":{"requiredTopologyLevel":"shelf"}}]}`},
		{name: "koordinator", group: "koordinator~train", says: koordNetwork,
			pods: []*v1.Pod{newPod("a", koord, koordCount+"=1", koordNetwork+`={"gatherStrategy":[{"layer":"ShelfLayer","strategy":"MustGather"}]}`)}},
		{name: "kueue", group: "kueue~train", says: kueueRequired, pods: []*v1.Pod{newPod("a", queue, kueueCount+"=1", kueueRequired+"=shelf")}},
		{name: "kueue's slices", group: "kueue~train", says: kueueSlice, pods: []*v1.Pod{newPod("a", queue, kueueCount+"=1", kueueSlice+"=shelf", kueueSliceSize+"=2")}},
		{name: "kueue's pod sets", group: "kueue~train", says: `kueue.x-k8s.io/podset-*: role "w"`,
			pods: []*v1.Pod{newPod("a", queue, kueueCount+"=2"), newPod("b", queue, kueueCount+"=2", kueuePodSet+"=w", kueueRequired+"=shelf")}},
		{name: "pods of a gang with an object", group: "crd~train", kind: dialect.CRDGroups, object: `,"spec":{"minMember":1}`, says: kube.AnnotationTopologyRequired, onPods: true,
			pods: []*v1.Pod{newPod("a", kube.LabelPodGroup+"=train", kube.AnnotationTopologyRequired+"=shelf")}},
		{name: "kueue's annotations on them", group: "crd~train", kind: dialect.CRDGroups, object: `,"spec":{"minMember":1}`, says: kueueRequired, onPods: true,
			pods: []*v1.Pod{newPod("a", kube.LabelPodGroup+"=train", kueueRequired+"=shelf")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			for _, p := range test.pods {
				w.pod(p)
			}
			if test.kind != nil {
				w.SetKind(test.kind, store.Served)
				w.SetObject(test.kind, groupOf(t, test.kind, test.object))
			}
			gang, ok := w.get(test.group)
			require.True(t, ok, "%v", w.gangs)
			spec, invalid := kube.ReadSpec(gang.Group, gang.Declaration, kube.DefaultLevels())
			require.Nil(t, invalid, "a node may have a label of that name")
			m, err := kube.NewCluster(kube.DefaultLevels()).ReadGang(spec, nil, nil, nil)
			require.NoError(t, err)
			invalid = m.Invalid
			require.NotNil(t, invalid)
			assert.Equal(t, kube.TopologyUnknownLevel, invalid.Reason)
			assert.Contains(t, invalid.Message, test.says+": no topology level is called ")
			assert.Equal(t, test.onPods, gang.Declaration.OriginOf(kube.AnnotationTopologyRequired).OnPods)
		})
	}
}
