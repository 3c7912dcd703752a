// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import "github.com/muster-scheduler/muster/pkg/kube"

// labelDialect is Muster's own dialect: all of the gang stands on its pods.
var labelDialect = &entry{
	name:   kube.DialectLabel,
	marks:  labelMarks(kube.LabelGang),
	labels: []string{kube.LabelGang},
	count:  kube.AnnotationMinCount,
}
