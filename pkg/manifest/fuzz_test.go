// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/pkg/manifest"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {muster.sh/gang: g}}\nspec: {containers: [{name: c, image: i}]}\n",
		"apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {parallelism: 3, completions: 3, template: {spec: {containers: [{name: c, image: i}]}}}\n---\nkind: Service\napiVersion: v1\n",
		"apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: g}\nspec: {minMember: 2}\n",
		"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: a}}, 3, null]\n",
		"apiVersion: trainer.kubeflow.org/v1alpha1\nkind: ClusterTrainingRuntime\nmetadata: {name: torch}\nspec: {template: {spec: {replicatedJobs: []}}}\n",
		"apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nmetadata: {name: a}\nspec: {replicatedJobs: [{name: w, replicas: 2, template: {spec: {parallelism: 2}}}]}\n",
		"{\"kind\":\"Pod\"", "a: &a [*a]", "- - -", "kind: Job\nspec: {parallelism: 2147483647}\n", "\x00", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := manifest.Parse(text, "default", nil)
		if err != nil {
			return
		}
		assert.LessOrEqual(t, len(m.Pods), manifest.MaxPods)
		for _, pod := range m.Pods {
			assert.NotEmpty(t, pod.Namespace)
		}
	})
}
