// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestExplain_SaysWhichFieldsOfADialectAreIgnored(t *testing.T) {
	w := &world{pods: gangOf(2, "cpu", "1")}
	w.node("n1", "b", "r")
	for _, p := range w.pods {
		delete(p.Labels, kube.LabelGang)
		delete(p.Annotations, kube.AnnotationMinCount)
		p.Annotations["gang.scheduling.koordinator.sh/name"] = "train"
		p.Annotations["gang.scheduling.koordinator.sh/min-available"] = "2"
		p.Annotations["gang.scheduling.koordinator.sh/mode"] = "NonStrict"
	}
	assert.Equal(t, []string{"Koordinator: mode NonStrict is not read; the gang starts all together or not at all"}, w.explain(t, "train").Notes)
}

// The scheduler weighs what a single pod prefers, the preview does not: it says so.
func TestPreview_SaysWhatASinglePodPrefers(t *testing.T) {
	w := &world{}
	w.node("n1", "b", "r")
	single := gangOf(1, "cpu", "1")[0]
	delete(single.Labels, kube.LabelGang)
	delete(single.Annotations, kube.AnnotationMinCount)
	w.pods = []*v1.Pod{single}
	notes := func() []string {
		preview, err := w.picture(t).PreviewPlacement(single)
		require.NoError(t, err)
		require.True(t, preview.Fits, preview.Message)
		return preview.Notes[1:] // that it is in no gang
	}
	assert.Empty(t, notes())
	single.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{{Weight: 1}}}}
	assert.Equal(t, []string{"pods: spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution counts among the scores of the scheduler, and not here; the node may differ"}, notes())
}
