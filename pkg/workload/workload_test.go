// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/workload"
)

const (
	jobLabel  = "jobset.sigs.k8s.io/replicatedjob-name"
	rayLabel  = "ray.io/group"
	typeLabel = "training.kubeflow.org/replica-type"
	roleLabel = "training.kubeflow.org/job-role"
)

// object reads YAML as an API server would serve it.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON(data))
	return u
}

func read(t *testing.T, text string) workload.Shape {
	t.Helper()
	u := object(t, text)
	for _, k := range workload.SupportedKinds() {
		if k.Name == u.GetKind() && k.Group == u.GroupVersionKind().Group {
			before := u.DeepCopy()
			shape := k.ReadShape(u)
			assert.Equal(t, before, u, "reading changes nothing")
			workload.StripPodSpecs(u)
			assert.Equal(t, shape, k.ReadShape(u), "what is stripped is not read")
			return shape
		}
	}
	t.Fatalf("no kind %s", u.GroupVersionKind())
	return workload.Shape{}
}

func TestRead_Job(t *testing.T) {
	for name, c := range map[string]struct {
		spec, status string
		want         workload.Role
		started      int // where it keeps fewer now
	}{
		"nothing said":                     {"{}", "{}", workload.Role{Replicas: 1, MinCount: 1}, 0},
		"indexed, a pod an index":          {"{parallelism: 8, completions: 8, completionMode: Indexed}", "{}", workload.Role{Replicas: 8, MinCount: 8}, 0},
		"fewer completions than pods":      {"{parallelism: 8, completions: 3}", "{}", workload.Role{Replicas: 3, MinCount: 3}, 0},
		"work queue":                       {"{parallelism: 4}", "{}", workload.Role{Replicas: 4, MinCount: 4}, 0},
		"work queue at its end":            {"{parallelism: 4}", "{succeeded: 1}", workload.Role{Replicas: 4, MinCount: 1}, 0},
		"some ended":                       {"{parallelism: 8, completions: 8}", "{succeeded: 3}", workload.Role{Replicas: 5, MinCount: 5}, 8},
		"some indexes given up":            {"{parallelism: 8, completions: 8}", `{succeeded: 3, failedIndexes: "0,2-3"}`, workload.Role{Replicas: 2, MinCount: 2}, 8},
		"all ended":                        {"{parallelism: 8, completions: 8}", "{succeeded: 8}", workload.Role{}, 8},
		"first wave":                       {"{parallelism: 4, completions: 10}", "{active: 4}", workload.Role{Replicas: 4, MinCount: 4, Waves: true}, 0},
		"a wave that follows":              {"{parallelism: 4, completions: 10}", "{succeeded: 2}", workload.Role{Replicas: 4, MinCount: 1, Waves: true}, 0},
		"the last wave":                    {"{parallelism: 4, completions: 10}", "{succeeded: 8}", workload.Role{Replicas: 2, MinCount: 1, Waves: true}, 4},
		"suspended":                        {"{parallelism: 8, completions: 8, suspend: true}", "{}", workload.Role{Replicas: 8, MinCount: 8}, 0},
		"scaled down to none":              {"{parallelism: 0}", "{}", workload.Role{}, 0},
		"failed indexes beyond all bounds": {"{parallelism: 8, completions: 8}", `{failedIndexes: "x,5-1,0-9999999999"}`, workload.Role{}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, "{apiVersion: batch/v1, kind: Job, metadata: {name: train}, spec: "+c.spec+", status: "+c.status+"}")
			c.want.PodsCounted = true
			got.Done = workload.Work{}
			assert.Equal(t, workload.Shape{Roles: []workload.Role{c.want}, Started: c.started}, got)
			assert.Equal(t, max(c.started, c.want.Replicas), got.StartCount())
		})
	}
}

func TestRead_RefusesSenselessNumbers(t *testing.T) {
	for spec, want := range map[string]string{
		"{parallelism: -1}":                  "spec.parallelism: found -1, want a number from 0 to 100000",
		"{parallelism: 4000000000}":          "spec.parallelism: found 4000000000, want a number from 0 to 100000",
		"{parallelism: lots}":                `spec.parallelism: found "lots", want a number from 0 to 100000`,
		"{parallelism: 2, completions: 1.5}": "spec.completions: found 1.5, want a number from 0 to 100000",
	} {
		got := read(t, "{apiVersion: batch/v1, kind: Job, metadata: {name: train}, spec: "+spec+"}")
		assert.Equal(t, want, got.Problem)
	}
	got := read(t, `
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: train}
spec:
  replicatedJobs:
  - {name: a, replicas: 100000, template: {spec: {parallelism: 100000, completions: 100000}}}
`)
	assert.Equal(t, "spec.replicatedJobs[0].replicas: found 10000000000, want at most 100000 pods in all", got.Problem)
	got = read(t, "{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: train}, spec: {replicatedJobs: [7]}}")
	assert.Equal(t, "spec.replicatedJobs[0]: found 7, want an object", got.Problem)
	got = read(t, "{apiVersion: kubeflow.org/v1, kind: TFJob, metadata: {name: train}, spec: {tfReplicaSpecs: none}}")
	assert.Equal(t, `spec.tfReplicaSpecs: found "none", want an object`, got.Problem)
}

func TestRead_JobSet(t *testing.T) {
	got := read(t, `
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: train}
spec:
  replicatedJobs:
  - name: driver
    template: {spec: {template: {spec: {containers: [{name: main, image: none}]}}}}
  - name: workers
    replicas: 3
    template: {spec: {parallelism: 4, completions: 4, template: {spec: {containers: [{name: main, image: none}]}}}}
status:
  replicatedJobsStatus:
  - {name: workers, ready: 2, succeeded: 1, failed: 0, active: 2, suspended: 0}
`)
	assert.Equal(t, workload.Shape{Roles: []workload.Role{
		{Name: "driver", Label: jobLabel, Value: "driver", Replicas: 1, MinCount: 1, SliceSize: 1},
		{Name: "workers", Label: jobLabel, Value: "workers", Replicas: 8, MinCount: 8, Ended: 4, SliceSize: 4},
	}}, got)
}

// A TrainJob whose runtime downloads the model first, as the torchtune runtimes
// of Kubeflow Trainer v2 do.
func TestRead_JobSet_InStages(t *testing.T) {
	stages := func(text string) []bool {
		var later []bool
		for _, r := range read(t, text).Roles {
			later = append(later, r.CreatedLater)
		}
		return later
	}
	assert.Equal(t, []bool{false, false, true}, stages(`
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: tune}
spec:
  replicatedJobs:
  - {name: dataset-initializer, template: {spec: {}}}
  - {name: model-initializer, template: {spec: {}}}
  - name: node
    dependsOn: [{name: dataset-initializer, status: Complete}, {name: model-initializer, status: Complete}]
    template: {spec: {parallelism: 4, completions: 4}}
`))
	assert.Equal(t, []bool{false, true}, stages(`
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: tune}
spec:
  startupPolicy: {startupPolicyOrder: InOrder}
  replicatedJobs: [{name: a, template: {spec: {}}}, {name: b, template: {spec: {}}}]
`))
}

func TestRead_JobSet_ExclusivePlacementIsNoGang(t *testing.T) {
	for annotations, refused := range map[string]bool{
		"{alpha.jobset.sigs.k8s.io/exclusive-topology: rack}":                                                 true,
		`{alpha.jobset.sigs.k8s.io/exclusive-topology: rack, alpha.jobset.sigs.k8s.io/node-selector: "true"}`: false,
		"{}": false,
	} {
		for _, text := range []string{
			"metadata: {name: train, annotations: " + annotations + "}, spec: {replicatedJobs: [{name: a, template: {spec: {}}}]}",
			"metadata: {name: train}, spec: {replicatedJobs: [{name: a, template: {metadata: {annotations: " + annotations + "}, spec: {}}}]}",
		} {
			got := read(t, "{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, "+text+"}")
			assert.Equal(t, refused, got.Problem != "", text)
		}
	}
}

func TestRead_LeaderWorkerSet(t *testing.T) {
	for name, c := range map[string]struct {
		template, more string
		want           []workload.Role
		notes          int
	}{
		"a leader alone": {template: "{}", want: []workload.Role{{Name: "leader", Label: "leaderworkerset.sigs.k8s.io/worker-index", Value: "0", Replicas: 1, MinCount: 1}}},
		"a group of four": {
			template: "{size: 4}",
			want:     []workload.Role{{Name: "leader", Label: "leaderworkerset.sigs.k8s.io/worker-index", Value: "0", Replicas: 1, MinCount: 1}, {Name: "worker", Replicas: 3, MinCount: 3}},
		},
		"workers after their leader": {
			template: "{size: 4}", more: ", startupPolicy: LeaderReady",
			want: []workload.Role{{Name: "leader", Label: "leaderworkerset.sigs.k8s.io/worker-index", Value: "0", Replicas: 1, MinCount: 1}, {Name: "worker", Replicas: 3, MinCount: 3, CreatedLater: true}},
		},
		"sub-groups, the leader extra": {
			template: "{size: 9, subGroupPolicy: {subGroupSize: 4}}",
			want:     []workload.Role{{Name: "leader", Label: "leaderworkerset.sigs.k8s.io/worker-index", Value: "0", Replicas: 1, MinCount: 1, NearRole: "worker"}, {Name: "worker", Replicas: 8, MinCount: 8, SliceSize: 4}},
		},
		"sub-groups without the leader": {
			template: "{size: 9, subGroupPolicy: {subGroupSize: 4, subGroupPolicyType: LeaderExcluded}}",
			want:     []workload.Role{{Name: "leader", Label: "leaderworkerset.sigs.k8s.io/worker-index", Value: "0", Replicas: 1, MinCount: 1}, {Name: "worker", Replicas: 8, MinCount: 8, SliceSize: 4}},
		},
		"sub-groups, the leader one of the first": {
			template: "{size: 8, subGroupPolicy: {subGroupSize: 4, subGroupPolicyType: LeaderWorker}}",
			want:     []workload.Role{{Name: "leader", Label: "leaderworkerset.sigs.k8s.io/worker-index", Value: "0", Replicas: 1, MinCount: 1, NearRole: "worker"}, {Name: "worker", Replicas: 7, MinCount: 7, SliceSize: 4}},
			notes:    1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: serve}, "+
				"spec: {replicas: 3, leaderWorkerTemplate: "+c.template+c.more+"}}")
			assert.Equal(t, c.want, got.Roles)
			assert.Empty(t, got.Problem)
			assert.Len(t, got.Notes, c.notes)
		})
	}
	got := read(t, `
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: serve, annotations: {leaderworkerset.sigs.k8s.io/exclusive-topology: rack}}
spec: {leaderWorkerTemplate: {size: 2}}
`)
	assert.Contains(t, got.Problem, "muster.sh/topology-required")
}

func TestRead_Kubeflow(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want workload.Shape
	}{
		"PyTorchJob": {`
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: bert}
spec:
  pytorchReplicaSpecs:
    Master: {replicas: 1, template: {spec: {containers: [{name: pytorch, image: none}]}}}
    Worker: {replicas: 7, template: {spec: {containers: [{name: pytorch, image: none}]}}}
`, workload.Shape{Roles: []workload.Role{{Name: "master", Label: typeLabel, Value: "master", Replicas: 1, MinCount: 1}, {Name: "worker", Label: typeLabel, Value: "worker", Replicas: 7, MinCount: 7}}}},
		"elastic": {`
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: bert}
spec:
  elasticPolicy: {minReplicas: 2, maxReplicas: 8}
  pytorchReplicaSpecs: {Worker: {replicas: 6}}
`, workload.Shape{Roles: []workload.Role{{Name: "worker", Label: typeLabel, Value: "worker", Replicas: 6, MinCount: 2}}}},
		"a minimum of its own": {`
apiVersion: kubeflow.org/v1
kind: TFJob
metadata: {name: mnist}
spec:
  runPolicy: {schedulingPolicy: {minAvailable: 5}}
  tfReplicaSpecs: {PS: {replicas: 2}, Worker: {replicas: 8}, Chief: {}}
status:
  replicaStatuses: {Worker: {active: 6, succeeded: 2}}
`, workload.Shape{MinCount: 5, Roles: []workload.Role{
			{Name: "chief", Label: typeLabel, Value: "chief", Replicas: 1, MinCount: 1}, {Name: "ps", Label: typeLabel, Value: "ps", Replicas: 2, MinCount: 2}, {Name: "worker", Label: typeLabel, Value: "worker", Replicas: 6, MinCount: 6, Ended: 2},
		}}},
		"MPIJob": {`
apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata: {name: hpl}
spec:
  mpiReplicaSpecs: {Launcher: {replicas: 1}, Worker: {replicas: 4}}
`, workload.Shape{Roles: []workload.Role{{Name: "launcher", Label: roleLabel, Value: "launcher", Replicas: 1, MinCount: 1, NearRole: "worker"}, {Name: "worker", Label: roleLabel, Value: "worker", Replicas: 4, MinCount: 4}}}},
		"MPIJob whose launcher waits": {`
apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata: {name: hpl}
spec:
  launcherCreationPolicy: WaitForWorkersReady
  mpiReplicaSpecs: {Launcher: {replicas: 1}, Worker: {replicas: 4}}
`, workload.Shape{Roles: []workload.Role{{Name: "launcher", Label: roleLabel, Value: "launcher", Replicas: 1, MinCount: 1, NearRole: "worker", CreatedLater: true}, {Name: "worker", Label: roleLabel, Value: "worker", Replicas: 4, MinCount: 4}}}},
		"JAXJob": {`
{apiVersion: kubeflow.org/v1, kind: JAXJob, metadata: {name: gemma}, spec: {jaxReplicaSpecs: {Worker: {replicas: 3}}}}
`, workload.Shape{Roles: []workload.Role{{Name: "worker", Label: typeLabel, Value: "worker", Replicas: 3, MinCount: 3}}}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, read(t, c.text)) })
	}
}

func TestRead_RayCluster(t *testing.T) {
	const groups = `
  workerGroupSpecs:
  - {groupName: cpu, replicas: 3, minReplicas: 1, maxReplicas: 5}
  - {groupName: tpu, replicas: 2, minReplicas: 1, maxReplicas: 2, numOfHosts: 4}
  - {groupName: idle, replicas: 2, minReplicas: 1, maxReplicas: 2, suspend: true}
  - {groupName: few, replicas: 1, minReplicas: 2, maxReplicas: 9}
  - {groupName: many, replicas: 9, minReplicas: 0, maxReplicas: 3}
`
	const head = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: ray}\nspec:\n  headGroupSpec: {rayStartParams: {}}"
	assert.Equal(t, []workload.Role{
		{Name: "headgroup", Label: rayLabel, Value: "headgroup", Replicas: 1, MinCount: 1},
		{Name: "cpu", Label: rayLabel, Value: "cpu", Replicas: 3, MinCount: 3},
		{Name: "tpu", Label: rayLabel, Value: "tpu", Replicas: 8, MinCount: 8, SliceSize: 4},
		{Name: "idle", Label: rayLabel, Value: "idle"},
		{Name: "few", Label: rayLabel, Value: "few", Replicas: 2, MinCount: 2},
		{Name: "many", Label: rayLabel, Value: "many", Replicas: 3, MinCount: 3},
	}, read(t, head+groups).Roles)
	assert.Equal(t, []workload.Role{
		{Name: "headgroup", Label: rayLabel, Value: "headgroup", Replicas: 1, MinCount: 1},
		{Name: "cpu", Label: rayLabel, Value: "cpu", Replicas: 3, MinCount: 1},
		{Name: "tpu", Label: rayLabel, Value: "tpu", Replicas: 8, MinCount: 4, SliceSize: 4},
		{Name: "idle", Label: rayLabel, Value: "idle"},
		{Name: "few", Label: rayLabel, Value: "few", Replicas: 2, MinCount: 2},
		{Name: "many", Label: rayLabel, Value: "many", Replicas: 3},
	}, read(t, head+"\n  enableInTreeAutoscaling: true"+groups).Roles)
}

func TestRead_SparkApplication(t *testing.T) {
	executors := func(count, least int) workload.Role {
		return workload.Role{Name: "executor", Label: "spark-role", Value: "executor", Replicas: count, MinCount: least, CreatedLater: true}
	}
	for name, c := range map[string]struct {
		spec    string
		want    workload.Role
		problem string
	}{
		"nothing said":                 {"{}", executors(1, 1), ""},
		"instances":                    {"{executor: {instances: 4}}", executors(4, 4), ""},
		"instances by configuration":   {`{sparkConf: {spark.executor.instances: "4"}}`, executors(4, 4), ""},
		"idle ones are given back":     {"{executor: {instances: 4}, dynamicAllocation: {enabled: true, minExecutors: 2, initialExecutors: 3}}", executors(4, 2), ""},
		"more at first than asked":     {"{dynamicAllocation: {enabled: true, minExecutors: 2, initialExecutors: 3}}", executors(3, 2), ""},
		"by configuration alone":       {`{sparkConf: {spark.dynamicAllocation.enabled: "true", spark.dynamicAllocation.minExecutors: "5"}}`, executors(5, 5), ""},
		"not enabled":                  {"{executor: {instances: 4}, dynamicAllocation: {enabled: false, minExecutors: 2}}", executors(4, 4), ""},
		"in batches, which wait":       {"{sparkVersion: 3.1.2, executor: {instances: 6}}", executors(6, 6), "creates its executors 5 at a time"},
		"in one batch":                 {"{sparkVersion: 3.1.2, executor: {instances: 5}}", executors(5, 5), ""},
		"in one batch, made so":        {`{sparkVersion: "2.4", sparkConf: {spark.kubernetes.allocation.batch.size: "6"}, executor: {instances: 6}}`, executors(6, 6), ""},
		"in batches, which do not":     {"{sparkVersion: 3.2.0, executor: {instances: 6}}", executors(6, 6), ""},
		"a version that is none":       {"{sparkVersion: latest, executor: {instances: 6}}", executors(6, 6), ""},
		"a number that is no text":     {"{sparkConf: {spark.executor.instances: 4}}", executors(1, 1), "spec.sparkConf.spark.executor.instances: found 4, want a number as text"},
		"a text that is no number":     {"{sparkConf: {spark.executor.instances: four}}", executors(1, 1), `spec.sparkConf.spark.executor.instances: found "four", want a number from 0 to 100000`},
		"fewer than none":              {"{executor: {instances: -1}}", executors(0, 0), "spec.executor.instances: found -1"},
		"a configuration that is none": {"{sparkConf: none}", executors(1, 1), `spec.sparkConf: found "none", want an object`},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, "{apiVersion: sparkoperator.k8s.io/v1beta2, kind: SparkApplication, metadata: {name: etl}, spec: "+c.spec+"}")
			driver := workload.Role{Name: "driver", Label: "spark-role", Value: "driver", Replicas: 1, MinCount: 1, CreatedLater: true}
			assert.Equal(t, []workload.Role{driver, c.want}, got.Roles)
			assert.Equal(t, c.problem == "", got.Problem == "", got.Problem)
			assert.Contains(t, got.Problem, c.problem)
		})
	}
}

func TestRead_StatefulSet(t *testing.T) {
	for spec, problem := range map[string]string{
		"{replicas: 4, podManagementPolicy: Parallel}":     "",
		"{replicas: 1, podManagementPolicy: OrderedReady}": "",
		"{replicas: 4, podManagementPolicy: OrderedReady}": "podManagementPolicy: Parallel",
		"{replicas: 4}": "podManagementPolicy: Parallel",
	} {
		got := read(t, "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: serve}, spec: "+spec+"}")
		if problem == "" {
			assert.Empty(t, got.Problem, spec)
		} else {
			assert.Contains(t, got.Problem, problem, spec)
		}
		require.Len(t, got.Roles, 1)
		assert.Equal(t, got.Roles[0].Replicas, got.Roles[0].MinCount)
	}
}

func TestStrip_KeepsNoPods(t *testing.T) {
	u := object(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: serve
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{secret}", mine: kept}
  managedFields: [{manager: me}]
spec:
  replicas: 2
  template: {metadata: {labels: {app: serve}}, spec: {containers: [{name: main, env: [{name: TOKEN, value: secret}]}]}}
  volumeClaimTemplates: [{metadata: {name: secret}}]
`)
	workload.StripPodSpecs(u)
	text, err := yaml.Marshal(u.Object)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "secret")
	assert.NotContains(t, string(text), "managedFields")
	assert.Contains(t, string(text), "mine: kept")
	assert.Contains(t, string(text), "app: serve")
}

func TestStrip_KeepsNoSecretsOfSparkAndRay(t *testing.T) {
	for _, text := range []string{
		`{apiVersion: sparkoperator.k8s.io/v1beta2, kind: SparkApplication, metadata: {name: etl}, spec: {arguments: [secret], hadoopConf: {key: secret},
			sparkConf: {spark.hadoop.fs.s3a.secret.key: secret, spark.executor.instances: "4"}, driver: {javaOptions: -Dpassword=secret, env: [{name: A, value: secret}]},
			executor: {envVars: {A: secret}, sidecars: [{name: secret}], template: {spec: {containers: [{name: secret}]}}}}}`,
		`{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: ray}, spec: {autoscalerOptions: {env: [{name: A, value: secret}]}, gcsFaultToleranceOptions: {redisPassword: {value: secret}},
			headGroupSpec: {rayStartParams: {redis-password: secret}}}}`,
	} {
		u := object(t, text)
		workload.StripPodSpecs(u)
		kept, err := yaml.Marshal(u.Object)
		require.NoError(t, err)
		assert.NotContains(t, strings.ToLower(string(kept)), "secret")
	}
}
