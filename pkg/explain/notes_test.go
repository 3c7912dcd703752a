// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

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
