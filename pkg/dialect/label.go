// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// labelDialect is Muster's own dialect: all of the gang stands on its pods.
var labelDialect = &Dialect{
	Name:      kube.DialectLabel,
	readMarks: readGangLabel,
	Labels:    []string{kube.LabelGang},
	Count:     kube.AnnotationMinCount,
}

// readGangLabel is the label that names a gang, but for the value that asks for one
// without a name.
func readGangLabel(pod *v1.Pod) []mark {
	if pod.Labels[kube.LabelGang] == kube.GangAuto {
		return nil
	}
	return labelMarks(kube.LabelGang)(pod)
}
