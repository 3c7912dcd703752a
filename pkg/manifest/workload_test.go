// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/manifest"
)

// A Job that is a gang without a group object comes with what says how large
// the gang is, and without the templates of its pods.
func TestParse_KeepsTheWorkloadBehindAGang(t *testing.T) {
	m, err := manifest.Parse([]byte(`
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  parallelism: 3
  completions: 3
  template:
    metadata: {labels: {muster.sh/gang: auto}}
    spec: {restartPolicy: Never, containers: [{name: main, image: none, env: [{name: TOKEN, value: hunter2}]}]}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: other}
`), "team", nil)
	require.NoError(t, err)
	gangs := store.Objects{Pods: m.Pods, Groups: m.Groups}.Gangs()
	require.Len(t, gangs, 1)
	assert.Len(t, gangs[0].Pods, 3)
	assert.EqualValues(t, 3, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount)
	text, err := m.Groups[0].MarshalJSON()
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hunter2")
	assert.Equal(t, []string{"Thing other is not planned: what pods it creates is not known here"}, m.Notes)
}

// parse makes the pods of a manifest, by name.
func parse(t *testing.T, text string) map[string]*v1.Pod {
	t.Helper()
	m, err := manifest.Parse([]byte(text), "team", nil)
	require.NoError(t, err)
	pods := map[string]*v1.Pod{}
	for _, pod := range m.Pods {
		pods[pod.Name] = pod
	}
	require.Len(t, pods, len(m.Pods))
	return pods
}

// requestsOf are what a pod asks for, as text.
func requestsOf(pod *v1.Pod) map[string]string {
	all := map[string]string{}
	for name, amount := range kube.PodRequests(pod) {
		all[string(name)] = amount.String()
	}
	return all
}

// What Spark requests: the memory of the JVM and what stands beside it.
func TestParse_SparkApplication(t *testing.T) {
	const app = "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nmetadata: {name: a}\nspec: {type: "
	for _, test := range []struct {
		name, spec, pod string
		want            map[string]string
	}{
		{"nothing said: 1 GiB and the least beside it", "Java, driver: {}, executor: {}}", "a-driver", map[string]string{"cpu": "1", "memory": "1408Mi"}},
		{"a tenth beside a JVM", "Java, driver: {}, executor: {cores: 4, memory: 10g}}", "a-exec-1", map[string]string{"cpu": "4", "memory": "11Gi"}},
		{"more beside Python", "Python, driver: {}, executor: {memory: 10g}}", "a-exec-1", map[string]string{"cpu": "1", "memory": "14Gi"}},
		{"a factor", "Java, memoryOverheadFactor: \"0.5\", driver: {}, executor: {memory: 10240m}}", "a-exec-1", map[string]string{"cpu": "1", "memory": "15Gi"}},
		{"an amount", "Java, driver: {}, executor: {memory: 10Gb, memoryOverhead: \"2048\"}}", "a-exec-1", map[string]string{"cpu": "1", "memory": "12Gi"}},
		{"CPU of its own, and GPUs", "Java, driver: {}, executor: {cores: 4, coreRequest: 3500m, coreLimit: \"4\", memory: 10g, gpu: {name: nvidia.com/gpu, quantity: 2}}}", "a-exec-1",
			map[string]string{"cpu": "3500m", "memory": "11Gi", "nvidia.com/gpu": "2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pods := parse(t, app+test.spec)
			require.Contains(t, pods, test.pod)
			assert.Equal(t, test.want, requestsOf(pods[test.pod]))
		})
	}
	pods := parse(t, app+`Java, driver: {nodeSelector: {a: b}, template: {metadata: {labels: {x: first}, annotations: {m: first}}, spec: {nodeSelector: {c: d}, containers: [{name: c, image: i}, {name: side, image: i}]}}, labels: {x: second}},
  executor: {schedulerName: muster, sidecars: [{name: side, image: i}], tolerations: [{key: gpu, operator: Exists}]}}`)
	driver, executor := pods["a-driver"], pods["a-exec-1"]
	assert.Equal(t, "second", driver.Labels["x"], "what stands beside a template goes before it")
	assert.Equal(t, map[string]string{"a": "b"}, driver.Spec.NodeSelector)
	assert.Len(t, driver.Spec.Containers, 2)
	assert.Equal(t, "SparkApplication", driver.OwnerReferences[0].Kind)
	assert.Equal(t, "muster", executor.Spec.SchedulerName)
	assert.Len(t, executor.Spec.Containers, 2)
	assert.Len(t, executor.Spec.Tolerations, 1)
	assert.Equal(t, "a-driver", executor.OwnerReferences[0].Name)

	for spec, want := range map[string]string{
		"Java, driver: {memory: lots}, executor: {}}":                       `spec.driver.memory: found "lots", want an amount of memory such as 8g`,
		"Java, driver: {memory: 99999999999g}, executor: {}}":               `spec.driver.memory: found "99999999999g"`,
		"Java, memoryOverheadFactor: x, driver: {}, executor: {}}":          `spec.memoryOverheadFactor: found "x", want a number from 0 to 100`,
		"Java, driver: {template: {spec: {contaners: []}}}, executor: {}}":  `spec.driver: unknown field "spec.contaners"`,
		"Java, driver: {}, executor: {coreRequest: many}}":                  "spec.executor: ",
		"Java, driver: {}, executor: {template: {spec: {containers: {}}}}}": "spec.executor.template.spec.containers: found {}, want a list",
	} {
		_, err := manifest.Parse([]byte(app+spec), "team", nil)
		assert.ErrorContains(t, err, want, spec)
	}
}

// How many pods a TrainJob has: its nodes, of which MPI's launcher may be one, and
// what its runtime has beside them.
func TestParse_TrainJob(t *testing.T) {
	const job = "apiVersion: trainer.kubeflow.org/v1alpha1\nkind: TrainJob\nmetadata: {name: llm}\nspec: {runtimeRef: {name: r%s}, trainer: {numNodes: 4, resourcesPerNode: {limits: {nvidia.com/gpu: 8}}}}\n---\n"
	const node = "template: {spec: {template: {spec: {containers: [{name: node, image: i, resources: {limits: {nvidia.com/gpu: 1}}}]}}}}"
	const trainer = "template: {metadata: {labels: {trainer.kubeflow.org/trainjob-ancestor-step: trainer}}, spec: {template: {spec: {containers: [{name: node, image: i}]}}}}"
	runtime := func(kind, name, policy, jobs string) string {
		return "apiVersion: trainer.kubeflow.org/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: {mlPolicy: " + policy + ", template: {spec: {replicatedJobs: [" + jobs + "]}}}\n"
	}
	for _, test := range []struct {
		name, text string
		want       map[string]string
	}{
		{"nodes, and what comes before them", runtime("ClusterTrainingRuntime", "r", "{torch: {}}", "{name: init, template: {spec: {}}}, {name: node, "+trainer+"}"),
			map[string]string{"llm-init-0-0": "", "llm-node-0-0": "8", "llm-node-0-1": "8", "llm-node-0-2": "8", "llm-node-0-3": "8"}},
		{"a launcher that is a node", runtime("ClusterTrainingRuntime", "r", "{mpi: {runLauncherAsNode: true}}", "{name: launcher, "+trainer+"}, {name: node, "+node+"}"),
			map[string]string{"llm-launcher-0-0": "8", "llm-node-0-0": "8", "llm-node-0-1": "8", "llm-node-0-2": "8"}},
		{"a launcher beside them", runtime("ClusterTrainingRuntime", "r", "{mpi: {}}", "{name: launcher, "+trainer+"}, {name: node, "+node+"}"),
			map[string]string{"llm-launcher-0-0": "8", "llm-node-0-0": "8", "llm-node-0-1": "8", "llm-node-0-2": "8", "llm-node-0-3": "8"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := map[string]string{}
			for name, pod := range parse(t, fmt.Sprintf(job, "")+test.text) {
				got[name] = requestsOf(pod)["nvidia.com/gpu"]
			}
			assert.Equal(t, test.want, got)
		})
	}
	local := fmt.Sprintf(job, ", kind: TrainingRuntime") + runtime("TrainingRuntime", "r", "{torch: {}, numNodes: 2}", "{name: node, "+trainer+"}")
	assert.Len(t, parse(t, local), 4)
	_, err := manifest.Parse([]byte(fmt.Sprintf(job, ", kind: TrainingRuntime")+runtime("TrainingRuntime", "r, namespace: other", "{}", "{name: node, "+trainer+"}")), "team", nil)
	assert.ErrorContains(t, err, `object 1, TrainJob: spec.runtimeRef: TrainingRuntime "r" says what pods it has, and is not here`)
	_, err = manifest.Parse([]byte(fmt.Sprintf(job, "")+runtime("ClusterTrainingRuntime", "r", "{}", "7")), "team", nil)
	assert.ErrorContains(t, err, "ClusterTrainingRuntime r.spec.template.spec.replicatedJobs[0]: found 7, want an object")

	// A runtime with a policy for groups makes a PodGroup that its pods name.
	grouped := strings.Replace(runtime("ClusterTrainingRuntime", "r", "{torch: {}}", "{name: node, "+trainer+"}"), "spec: {mlPolicy", "spec: {podGroupPolicy: {coscheduling: {}}, mlPolicy", 1)
	m, err := manifest.Parse([]byte(fmt.Sprintf(job, "")+grouped), "team", nil)
	require.NoError(t, err)
	gangs := store.Objects{Pods: m.Pods, Groups: m.Groups}.Gangs()
	require.Len(t, gangs, 1)
	assert.Equal(t, "crd~llm", gangs[0].Group.Name)
	assert.Len(t, gangs[0].Pods, 4)
	assert.EqualValues(t, 4, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount)
}

// How many pods of a Volcano Job start together, by the PodGroup that Volcano makes.
func TestParse_VolcanoJob(t *testing.T) {
	for _, test := range []struct {
		name, spec string
		min        int32
		roles      int
	}{
		{"all replicas", "tasks: [{name: a, replicas: 2, template: {}}, {replicas: 3, template: {}}]", 5, 2},
		{"some of each task", "tasks: [{name: a, replicas: 2, template: {}}, {replicas: 3, minAvailable: 1, template: {}}]", 3, 2},
		{"some of the job, of any task", "minAvailable: 4, tasks: [{name: a, replicas: 2, template: {}}, {replicas: 3, template: {}}]", 4, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := manifest.Parse([]byte("apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nmetadata: {name: vc}\nspec: {schedulerName: muster, "+test.spec+"}"), "team", nil)
			require.NoError(t, err)
			require.Len(t, m.Pods, 5)
			assert.Equal(t, "muster", m.Pods[0].Spec.SchedulerName)
			assert.Equal(t, "vc-default1-2", m.Pods[4].Name)
			gangs := store.Objects{Pods: m.Pods, Groups: m.Groups}.Gangs()
			require.Len(t, gangs, 1)
			assert.Nil(t, gangs[0].Declaration.Invalid)
			assert.Len(t, gangs[0].Pods, 5)
			assert.Equal(t, test.min, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount)
			assert.Len(t, gangs[0].Declaration.Roles, test.roles)
		})
	}
}

// What is wrong in an object that a workload makes is wrong where it was written.
func TestParse_NamesTheFieldThatWasWritten(t *testing.T) {
	for text, want := range map[string]string{
		"kind: RayJob\nspec: {rayClusterSpec: {workerGroupSpecs: [{replicas: two}]}}": `object 1, RayJob: spec.rayClusterSpec.workerGroupSpecs[0].replicas: found "two"`,
		"kind: RayService\nspec: {rayClusterConfig: {headGroupSpec: {template: 7}}}":  "object 1, RayService: spec.rayClusterConfig.headGroupSpec.template: ",
		"kind: RayJob\nspec: {submitterPodTemplate: {spec: {contaners: []}}}":         `object 1, RayJob: its Job: spec.template: unknown field "spec.contaners"`,
	} {
		_, err := manifest.Parse([]byte("apiVersion: ray.io/v1\nmetadata: {name: r}\n"+text), "team", nil)
		assert.ErrorContains(t, err, want)
	}
}
