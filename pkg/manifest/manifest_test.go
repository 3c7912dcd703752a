// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/manifest"
)

func TestParse_MakesThePodsOfTheExamples(t *testing.T) {
	for _, file := range []string{"gang-job.yaml", "podgroup-job.yaml", "native-job.yaml"} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../manifests/examples", file))
			require.NoError(t, err)
			m, err := manifest.Parse(text, "research", nil)
			require.NoError(t, err)
			require.Len(t, m.Pods, 8)
			assert.Empty(t, m.Notes)
			for _, pod := range m.Pods {
				gpus := pod.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"]
				assert.EqualValues(t, 8, gpus.Value(), "requests follow limits")
				assert.Equal(t, "research", pod.Namespace)
				assert.Equal(t, "muster", pod.Spec.SchedulerName)
				assert.Equal(t, "Job", pod.OwnerReferences[0].Kind)
			}
			assert.Equal(t, m.Pods[0].Name, m.Pods[0].OwnerReferences[0].Name+"-0")
		})
	}
}

func TestParse_CountsPodsAsTheirControllersDo(t *testing.T) {
	const job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {"
	const set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec: {"
	for _, test := range []struct {
		name, text string
		want       int
	}{
		{"a job without numbers has one pod", job + "template: {}}", 1},
		{"as many as run side by side", job + "parallelism: 3, completions: 9, template: {}}", 3},
		{"no more than are to complete", job + "parallelism: 9, completions: 3, template: {}}", 3},
		{"none", job + "parallelism: 0, template: {}}", 0},
		{"a suspended job, as if it were resumed", job + "parallelism: 2, suspend: true, template: {}}", 2},
		{"a set without a number has one pod", set + "template: {}}", 1},
		{"replicas", set + "replicas: 4, template: {}}", 4},
		{"a list", "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]", 2},
		{"a list of jobs, which carry no kind", "apiVersion: batch/v1\nkind: JobList\nitems: [{metadata: {name: a}, spec: {parallelism: 2, template: {}}}]", 2},
		{"a RayCluster has a head", "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: r}\nspec: {workerGroupSpecs: [{groupName: g, replicas: 3, numOfHosts: 2}]}", 7},
		{"nothing", "# a comment\n---\n---\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := manifest.Parse([]byte(test.text), v1.NamespaceDefault, nil)
			require.NoError(t, err)
			assert.Len(t, m.Pods, test.want)
		})
	}
}

func TestParse_Refuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"what is no YAML", "a: b: c", "mapping values are not allowed"},
		{"what is no object", "hello", "cannot unmarshal"},
		{"an object without a kind", "metadata: {name: x}", "found an object without a kind, want Kubernetes objects"},
		{"one key twice", "apiVersion: v1\nkind: Pod\nkind: Pod", `key "kind" already set`},
		{"a field in the wrong place", "apiVersion: v1\nkind: Pod\nspec: {schedulername: muster}", `object 1, Pod: unknown field "spec.schedulername"`},
		{"a field in the wrong place of a template", "apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nspec: {replicatedJobs: [{template: {spec: {template: {spec: {schedulername: muster}}}}}]}",
			`object 1, JobSet: spec.replicatedJobs[0].template.spec.template: unknown field "spec.schedulername"`},
		{"one key twice in JSON", `{"apiVersion": "batch/v1", "kind": "Job", "spec": {"parallelism": 1, "parallelism": 2}}`, `object 1, Job: duplicate field "spec.parallelism"`},
		{"a number of the wrong type", "apiVersion: batch/v1\nkind: Job\nspec: {parallelism: two}", "object 1, Job: "},
		{"fewer than no pods", "apiVersion: batch/v1\nkind: Job\nspec: {parallelism: -1}", "object 1, Job: spec.parallelism: found -1, want a number from 0 to 100000"},
		{"more pods than anyone means", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {parallelism: 2000000000, template: {}}", "object 1, Job: spec.parallelism: found 2000000000, want a number from 0 to 100000"},
		{"more pods in all", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {parallelism: 100000, template: {}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}", "object 2, Pod: more than 100000 pods"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := manifest.Parse([]byte(test.text), v1.NamespaceDefault, nil)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// TestParse_SurvivesBrokenText breaks good manifests in every way that a slip
// of the hand does. It is no fuzz target: instrumented, all of Kubernetes that
// this package imports runs a few inputs a minute.
func TestParse_SurvivesBrokenText(t *testing.T) {
	var seeds [][]byte
	for _, file := range []string{"gang-job.yaml", "podgroup-job.yaml", "native-job.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../manifests/examples", file))
		require.NoError(t, err)
		seeds = append(seeds, text)
	}
	seeds = append(seeds, []byte(`{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}},null,[]]}`))
	seeds = append(seeds, []byte(`apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {name: vc}
spec: {minAvailable: 2, tasks: [{name: w, replicas: 2, minAvailable: 1, template: {spec: {containers: [{name: c, image: i}]}}}]}
---
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: ray}
spec: {rayClusterSpec: {headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{groupName: g, replicas: 2, numOfHosts: 2}]}}
`), []byte(`apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: llm}
spec: {runtimeRef: {name: r}, trainer: {numNodes: 2, resourcesPerNode: {limits: {nvidia.com/gpu: 8}}}}
---
apiVersion: trainer.kubeflow.org/v1alpha1
kind: ClusterTrainingRuntime
metadata: {name: r}
spec: {mlPolicy: {numNodes: 1}, template: {spec: {replicatedJobs: [{name: node, template: {spec: {template: {spec: {}}}}}]}}}
---
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: etl}
spec: {type: Python, sparkVersion: "3.1", driver: {memory: 2g}, executor: {instances: 3, gpu: {name: a/b, quantity: 1}, template: {spec: {containers: []}}}}
`))
	const slips = "0-:{}[]\"\n \x00~9"
	r := rand.New(rand.NewPCG(1, 2))
	parsed := 0
	for range 5000 {
		text := slices.Clone(seeds[r.IntN(len(seeds))])
		for range 1 + r.IntN(4) {
			from := r.IntN(len(text))
			to := min(len(text), from+r.IntN(12))
			switch r.IntN(3) {
			case 0:
				text = slices.Delete(text, from, to)
			case 1:
				text = slices.Insert(text, from, text[from:to]...)
			default:
				text[from] = slips[r.IntN(len(slips))]
			}
		}
		m, err := manifest.Parse(text, v1.NamespaceDefault, nil)
		if err != nil {
			continue
		}
		parsed++
		for _, pod := range m.Pods {
			require.NotEmpty(t, pod.Namespace, "%s", text)
			require.NotEmpty(t, pod.UID, "%s", text)
		}
	}
	assert.Greater(t, parsed, 100, "too few texts were whole enough")
}

func TestParse_RequestsOfAPodAsAWholeFollowItsLimits(t *testing.T) {
	for _, test := range []struct {
		name, resources, container, want string
		resource                         v1.ResourceName
	}{
		{"limits alone are requests", "limits: {cpu: 40}", "", "40", "cpu"},
		{"a request that is written stays", "requests: {cpu: 8}, limits: {cpu: 40}", "requests: {cpu: 2}", "8", "cpu"},
		{"containers that ask leave the rest to use when it is there", "limits: {cpu: 40}", "requests: {cpu: 2}", "2", "cpu"},
		{"containers that limit ask for that", "limits: {cpu: 40}", "limits: {cpu: 3}", "3", "cpu"},
		{"another resource says nothing", "requests: {memory: 1Gi}, limits: {cpu: 40, memory: 2Gi}", "", "40", "cpu"},
		{"huge pages cannot be promised twice", "limits: {hugepages-2Mi: 4Gi, cpu: 1}", "limits: {hugepages-2Mi: 2Gi}", "4Gi", "hugepages-2Mi"},
		{"without limits containers count", "requests: {memory: 1Gi}", "requests: {cpu: 5}", "5", "cpu"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {resources: {" + test.resources +
				"}, containers: [{name: c, image: i, resources: {" + test.container + "}}]}"
			m, err := manifest.Parse([]byte(text), v1.NamespaceDefault, nil)
			require.NoError(t, err)
			got := kube.PodRequests(m.Pods[0])[test.resource]
			assert.Equal(t, test.want, got.String())
		})
	}
}
