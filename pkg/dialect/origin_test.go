// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// A level that there is not is refused in the words of whoever wrote it: a user
// of Volcano never wrote an annotation of Muster's.
func TestOrigin_RefusalsNameWhatTheUserWrote(t *testing.T) {
	const koord, queue = koordName + "=train", kueueGroup + "=train"
	for _, test := range []struct {
		name, group string
		kind        *kind
		object      string
		pods        []*v1.Pod
		says        string
		onPods      bool
	}{
		{name: "volcano", group: "volcano~train", kind: volcanoGroups, says: "spec.networkTopology",
			object: `,"spec":{"minMember":1,"networkTopology":{"highestTierAllowed":9}}`},
		{name: "volcano's sub-groups", group: "volcano~train", kind: volcanoGroups, says: `spec.subGroupPolicy: role "a"`,
			object: `,"spec":{"minMember":1,"subGroupPolicy":[{"name":"a","networkTopology":{"highestTierName":"shelf"}}]}`},
		{name: "Muster's annotation on Volcano's group", group: "volcano~train", kind: volcanoGroups, says: kube.AnnotationTopologyRequired,
			object: `,"metadata":{"annotations":{"muster.sh/topology-required":"shelf"}},"spec":{"minMember":1,"networkTopology":{"highestTierAllowed":1}}`},
		{name: "kai's field", group: "kai~train", kind: kaiGroups, says: "spec.topologyConstraint.requiredTopologyLevel",
			object: `,"spec":{"minMember":1,"topologyConstraint":{"requiredTopologyLevel":"shelf"}}`},
		{name: "kai's annotation", group: "kai~train", kind: kaiGroups, says: kaiPreferred,
			object: `,"metadata":{"annotations":{"` + kaiPreferred + `":"shelf"}},"spec":{"minMember":1}`},
		{name: "kai's sub-groups", group: "kai~train", kind: kaiGroups, says: `spec.subGroups: role "a"`,
			object: `,"spec":{"subGroups":[{"name":"a","topologyConstraint":{"requiredTopologyLevel":"shelf"}}]}`},
		{name: "koordinator", group: "koordinator~train", says: koordNetwork,
			pods: []*v1.Pod{newPod("a", koord, koordCount+"=1", koordNetwork+`={"gatherStrategy":[{"layer":"ShelfLayer","strategy":"MustGather"}]}`)}},
		{name: "kueue", group: "kueue~train", says: kueueRequired, pods: []*v1.Pod{newPod("a", queue, kueueCount+"=1", kueueRequired+"=shelf")}},
		{name: "kueue's slices", group: "kueue~train", says: kueueSlice, pods: []*v1.Pod{newPod("a", queue, kueueCount+"=1", kueueSlice+"=shelf", kueueSliceSize+"=2")}},
		{name: "kueue's pod sets", group: "kueue~train", says: `kueue.x-k8s.io/podset-*: role "w"`,
			pods: []*v1.Pod{newPod("a", queue, kueueCount+"=2"), newPod("b", queue, kueueCount+"=2", kueuePodSet+"=w", kueueRequired+"=shelf")}},
		{name: "pods of a gang with an object", group: "crd~train", kind: crdGroups, object: `,"spec":{"minMember":1}`, says: kube.AnnotationTopologyRequired, onPods: true,
			pods: []*v1.Pod{newPod("a", kube.LabelPodGroup+"=train", kube.AnnotationTopologyRequired+"=shelf")}},
		{name: "kueue's annotations on them", group: "crd~train", kind: crdGroups, object: `,"spec":{"minMember":1}`, says: kueueRequired, onPods: true,
			pods: []*v1.Pod{newPod("a", kube.LabelPodGroup+"=train", kueueRequired+"=shelf")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			for _, p := range test.pods {
				w.pod(p)
			}
			if test.kind != nil {
				w.setKind(test.kind, served)
				o := test.kind.translate(groupOf(t, test.kind, test.object))
				w.setObject(o.key(), o)
			}
			pg := w.get(test.group)
			require.NotNil(t, pg, "%v", w.feed.objects)
			_, invalid := kube.ReadSpec(pg, kube.DefaultLadder())
			require.NotNil(t, invalid)
			assert.Equal(t, kube.TopologyUnknownLevel, invalid.Reason)
			assert.Contains(t, invalid.Message, "gang train, "+test.says+": no topology level is called ")
			assert.Equal(t, test.onPods, kube.OriginOf(pg, kube.AnnotationTopologyRequired).OnPods)
		})
	}
}
