// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/workload"
)

func TestTable_RowsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range workload.Kinds() {
		name := k.Group + " " + k.Name
		assert.False(t, seen[name], name)
		seen[name] = true
		require.NotEmpty(t, k.Versions, name)
		assert.NotEmpty(t, k.Resource, name)
		for _, kind := range k.ServedResources() {
			assert.NotEmpty(t, kind.Version, name)
			assert.Same(t, k, workload.Find(kind.GroupVersion().String(), k.Name), name)
		}
		if k.IsGang() {
			assert.True(t, k.IsPlanned(), name)
			assert.Contains(t, workload.SupportedText(), k.Name)
		} else {
			assert.True(t, k.Creates != nil || k.Advice != "", "%s: neither what makes its gangs nor what to do", name)
		}
		if k.Creates == nil {
			assert.NotEmpty(t, k.Gang, name)
			assert.NotEmpty(t, k.Together, name)
		}
		assert.Contains(t, workload.TableText(), k.Name)
	}
	assert.Contains(t, workload.SupportedText(), "JobSet (also of a TrainJob)")
	assert.Contains(t, workload.SupportedText(), "RayCluster (also of a RayJob or a RayService)")
	assert.Nil(t, workload.Find("a/b/c", "Job"))
}

const pods = "template: {metadata: {labels: {muster.sh/gang: auto}}, spec: {schedulerName: muster, containers: [{name: c, image: i}]}}"

// samples are a workload of each kind, as users write them.
var samples = map[string]string{
	"batch Job":                                "apiVersion: batch/v1\nkind: Job\nspec: {parallelism: 3, completions: 9, suspend: true, " + pods + "}",
	"apps StatefulSet":                         "apiVersion: apps/v1\nkind: StatefulSet\nspec: {replicas: 2, podManagementPolicy: Parallel, " + pods + "}",
	"jobset.x-k8s.io JobSet":                   "apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nspec: {replicatedJobs: [{name: a, template: {spec: {" + pods + "}}}, {name: b, replicas: 2, template: {spec: {parallelism: 2, completions: 2, " + pods + "}}}]}",
	"leaderworkerset.x-k8s.io LeaderWorkerSet": "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nspec: {replicas: 2, leaderWorkerTemplate: {size: 3, subGroupPolicy: {subGroupSize: 2}, workerTemplate: {metadata: {labels: {muster.sh/gang: auto}}}}}",
	"kubeflow.org MPIJob":                      "apiVersion: kubeflow.org/v1\nkind: MPIJob\nspec: {slotsPerWorker: 8, cleanPodPolicy: Running, mainContainer: c, mpiReplicaSpecs: {Launcher: {replicas: 1, " + pods + "}, Worker: {replicas: 2, " + pods + "}}}",
	"ray.io RayCluster":                        "apiVersion: ray.io/v1\nkind: RayCluster\nspec: " + rayPods,
	"ray.io RayJob":                            "apiVersion: ray.io/v1\nkind: RayJob\nspec: {submitterPodTemplate: {spec: {containers: [{name: s, image: i}]}}, rayClusterSpec: " + rayPods + "}",
	"ray.io RayService":                        "apiVersion: ray.io/v1\nkind: RayService\nspec: {rayClusterConfig: " + rayPods + "}",
	"sparkoperator.k8s.io SparkApplication": "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nspec: {type: Python, sparkVersion: 3.5.1, memoryOverheadFactor: \"0.2\", sparkConf: {spark.executor.instances: \"2\"}, " +
		"dynamicAllocation: {enabled: true, minExecutors: 1, initialExecutors: 2}, driver: {cores: 1, memory: 2g, labels: {muster.sh/gang: auto}}, executor: {memory: 4g, memoryOverhead: 1g, gpu: {name: nvidia.com/gpu, quantity: 1}, labels: {muster.sh/gang: auto}, template: {spec: {containers: [{name: c, image: i}]}}}}",
	"trainer.kubeflow.org TrainJob": "apiVersion: trainer.kubeflow.org/v1alpha1\nkind: TrainJob\nspec: {runtimeRef: {name: torch}, trainer: {numNodes: 2, resourcesPerNode: {limits: {nvidia.com/gpu: 8}}}, labels: {a: b}, " +
		"podTemplateOverrides: [{targetJobs: [{name: node}], metadata: {labels: {muster.sh/gang: auto}}, spec: {nodeSelector: {a: b}, schedulerName: muster}}], podSpecOverrides: [{targetJobs: [{name: node}], tolerations: []}], " +
		"runtimePatches: [{manager: m, trainingRuntimeSpec: {template: {spec: {replicatedJobs: [{name: node, template: {spec: {template: {spec: {schedulerName: muster}}}}}]}}}}]}",
	"batch.volcano.sh Job": "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {minAvailable: 2, schedulerName: muster, queue: q, networkTopology: {mode: hard, highestTierAllowed: 1}, tasks: [{name: ps, replicas: 1, " + pods + "}, {replicas: 2, minAvailable: 1, dependsOn: {name: [ps]}, " + pods + "}]}",
}

const rayPods = "{enableInTreeAutoscaling: true, suspend: false, headGroupSpec: {" + pods + "}, workerGroupSpecs: [{groupName: g, replicas: 2, minReplicas: 1, maxReplicas: 3, numOfHosts: 2, " + pods + "}]}"

const torchRuntime = "apiVersion: trainer.kubeflow.org/v1alpha1\nkind: ClusterTrainingRuntime\nmetadata: {name: torch}\nspec: {mlPolicy: {numNodes: 1, torch: {numProcPerNode: auto}}, podGroupPolicy: {coscheduling: {scheduleTimeoutSeconds: 60}}, template: {metadata: {labels: {c: d}}, spec: {replicatedJobs: [" +
	"{name: dataset-initializer, template: {metadata: {labels: {trainer.kubeflow.org/trainjob-ancestor-step: dataset-initializer}}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}}, " +
	"{name: node, dependsOn: [{name: dataset-initializer, status: Complete}], template: {metadata: {labels: {trainer.kubeflow.org/trainjob-ancestor-step: trainer}}, spec: {template: {spec: {containers: [{name: node, image: i}]}}}}}]}}}"

func sampleOf(t *testing.T, k *workload.Kind) *unstructured.Unstructured {
	t.Helper()
	text, ok := samples[k.Group+" "+k.Name]
	if !ok {
		field := strings.TrimSuffix(strings.ToLower(k.Name), "job")
		field = map[string]string{"xgboost": "xgb"}[field] + map[bool]string{true: field}[field != "xgboost"] + "ReplicaSpecs"
		text = "apiVersion: kubeflow.org/v1\nkind: " + k.Name + "\nspec: {runPolicy: {schedulingPolicy: {minAvailable: 2}}, elasticPolicy: {minReplicas: 1}, " + field + ": {Master: {" + pods + "}, Worker: {replicas: 2, " + pods + "}}}"
	}
	u := object(t, text)
	u.SetName("w")
	u.SetNamespace("ns")
	u.SetUID(uid)
	return u
}

func findTorch(t *testing.T) workload.Finder {
	return func(string, string, string, string) (*unstructured.Unstructured, error) {
		return object(t, torchRuntime), nil
	}
}

// layOut returns all that a workload brings about, with what its objects do.
func layOut(t *testing.T, u *unstructured.Unstructured, find workload.Finder) (sets []workload.PodSet, objects []*unstructured.Unstructured) {
	t.Helper()
	kind := workload.Find(u.GetAPIVersion(), u.GetKind())
	if kind == nil || !kind.IsPlanned() {
		return nil, []*unstructured.Unstructured{u}
	}
	layout, err := kind.LayOut(u, find)
	require.NoError(t, err)
	objects = append(objects, u)
	for _, o := range layout.Objects {
		created := &unstructured.Unstructured{Object: o.Fields}
		created.SetUID(uid)
		more, below := layOut(t, created, find)
		sets, objects = append(sets, more...), append(objects, below...)
	}
	return append(sets, layout.Pods...), objects
}

// What plan makes of a workload is what auto reads: the pods lead to the workload,
// in its roles and in their number.
func TestLayOut_MakesThePodsThatAutoReads(t *testing.T) {
	for _, k := range workload.Kinds() {
		if !k.IsPlanned() {
			continue
		}
		t.Run(k.Group+" "+k.Name, func(t *testing.T) {
			sets, objects := layOut(t, sampleOf(t, k), findTorch(t))
			counts, names := map[string]int{}, map[string]bool{}
			var found workload.Ref
			for _, set := range sets {
				assert.NotNil(t, set.Template, set.Where)
				for i := range set.Count {
					name := fmt.Sprint(set.Name, "-", set.First+i)
					assert.False(t, names[name], "two pods %s", name)
					names[name] = true
				}
				ref, why := workload.RefOf(podOf(&set))
				switch {
				case k.IsGang() || k.Creates != nil && ref.Kind == k.Creates:
					require.Empty(t, why)
					found = ref
					counts[ref.Part+"/"+ref.Role] += set.Count
				case k.Creates != nil:
					assert.Equal(t, "Job", ref.Kind.Name, "the submitter")
				default:
					assert.Contains(t, why, k.Advice)
				}
			}
			if found.Kind == nil {
				return
			}
			for _, u := range objects {
				if u.GetKind() != found.Kind.Name || found.Workload != u.GetName() {
					continue
				}
				for _, role := range found.Kind.ReadShape(u).Roles {
					assert.Equal(t, role.Replicas, counts[found.Part+"/"+role.Name], "role %q of %v", role.Name, counts)
				}
				return
			}
			t.Fatalf("%s %s is not among the objects", found.Kind.Name, found.Workload)
		})
	}
}

// podOf is the first pod of a pod set.
func podOf(set *workload.PodSet) *v1.Pod {
	labels := map[string]string{}
	for key, value := range set.Labels {
		labels[key] = strings.ReplaceAll(value, "%d", "1")
	}
	yes := true
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: set.Name, Labels: labels,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: set.Owner.APIVersion, Kind: set.Owner.Kind, Name: set.Owner.Name, UID: uid, Controller: &yes}},
	}}
}

func TestLayOut(t *testing.T) {
	for _, test := range []struct {
		kind string
		// change is what else the sample has, as a path and its value.
		path  string
		value any
		want  string
		notes string
	}{
		{kind: "batch Job", want: "w 3", notes: "Job w is suspended; planned as if it were resumed"},
		{kind: "apps StatefulSet", path: "podManagementPolicy", value: "OrderedReady", want: "w 2", notes: "creates its pods one by one"},
		{kind: "ray.io RayCluster", want: "w-head 1, w-g-worker 4"},
		{kind: "ray.io RayCluster", path: "suspend", value: true, want: "w-head 1, w-g-worker 4", notes: "RayCluster w is suspended"},
		{kind: "ray.io RayJob", want: "RayCluster w-x, Job w"},
		{kind: "ray.io RayJob", path: "submissionMode", value: "HTTPMode", want: "RayCluster w-x"},
		{kind: "ray.io RayJob", path: "clusterSelector", value: map[string]any{"ray.io/cluster": "c"}, want: "Job w", notes: "runs on a RayCluster that is there already"},
		{kind: "ray.io RayJob", path: "rayClusterSpec", want: "Job w", notes: "RayJob w has no spec.rayClusterSpec"},
		{kind: "ray.io RayService", want: "RayCluster w-x"},
		{kind: "kubeflow.org MPIJob", want: "w-launcher 1, w-worker 2"},
		{kind: "sparkoperator.k8s.io SparkApplication", want: "w-driver 1, w-exec 2"},
		{kind: "sparkoperator.k8s.io SparkApplication", path: "batchScheduler", value: "volcano", want: "w-driver 1, w-exec 2", notes: "leave batchScheduler out"},
		{kind: "batch.volcano.sh Job", want: "PodGroup w, w-ps 1, w-default1 2", notes: "of task default1 only when those that it depends on run"},
		{kind: "trainer.kubeflow.org TrainJob", want: "JobSet w, PodGroup w"},
	} {
		t.Run(test.kind+" "+test.path, func(t *testing.T) {
			group, name, _ := strings.Cut(test.kind, " ")
			var kind *workload.Kind
			for _, k := range workload.Kinds() {
				if k.Group == group && k.Name == name {
					kind = k
				}
			}
			u := sampleOf(t, kind)
			if test.path != "" {
				u.Object["spec"].(map[string]any)[test.path] = test.value
			}
			layout, err := kind.LayOut(u, findTorch(t))
			require.NoError(t, err)
			var got []string
			for _, o := range layout.Objects {
				created := unstructured.Unstructured{Object: o.Fields}
				got = append(got, created.GetKind()+" "+created.GetName())
			}
			for _, set := range layout.Pods {
				got = append(got, fmt.Sprint(set.Name, " ", set.Count))
			}
			assert.Equal(t, test.want, strings.Join(got, ", "))
			assert.Equal(t, test.notes != "", len(layout.Notes) > 0, layout.Notes)
			assert.Contains(t, strings.Join(layout.Notes, "\n"), test.notes)
		})
	}
}

// hostileValues are what may stand in a field that expects something else.
func hostileValues() []any {
	return []any{
		nil, true, int64(-1), int64(0), int64(7), int64(math.MaxInt64), int64(math.MinInt64), 0.5, 1e300, "", "x", "9999999999999999999g", strings.Repeat("é", 300),
		[]any{}, []any{nil, int64(1), "x", []any{}, map[string]any{}}, map[string]any{}, map[string]any{"": nil, "name": int64(1), "template": "x", "a.b": []any{}},
	}
}

// Whatever stands in any one field of a workload or of what it names: it is read
// without harm, and asks for a sensible number of pods or is refused.
func TestKinds_TakeAnything(t *testing.T) {
	for _, k := range workload.Kinds() {
		if !k.IsPlanned() {
			continue
		}
		refused, read := 0, 0
		check := func(u *unstructured.Unstructured, find workload.Finder) {
			if k.IsGang() {
				shape := k.ReadShape(u)
				for _, role := range shape.Roles {
					if role.Replicas < 0 || role.Replicas > workload.MaxPods || role.MinCount < 0 || role.MinCount > role.Replicas && shape.Problem == "" {
						t.Fatalf("%s: %+v of %v", k.Name, role, u.Object)
					}
				}
				workload.StripPodSpecs(u.DeepCopy())
			}
			layout, err := k.LayOut(u, find)
			if err != nil {
				refused++
				return
			}
			read++
			for _, set := range layout.Pods {
				if set.Count < 0 || set.Count > workload.MaxPods {
					t.Fatalf("%s: %+v of %v", k.Name, set, u.Object)
				}
			}
		}
		eachChange(sampleOf(t, k), func(u *unstructured.Unstructured) { check(u, findTorch(t)) })
		if k.Name == "TrainJob" {
			eachChange(object(t, torchRuntime), func(u *unstructured.Unstructured) {
				check(sampleOf(t, k), func(string, string, string, string) (*unstructured.Unstructured, error) { return u, nil })
			})
		}
		assert.NotZero(t, refused, k.Name)
		assert.NotZero(t, read, k.Name)
	}
}

// eachChange calls take with copies of an object in each of which one value, at
// any depth of its specification, is another one.
func eachChange(u *unstructured.Unstructured, take func(*unstructured.Unstructured)) {
	var change func(value any, put func(any))
	change = func(value any, put func(any)) {
		for _, hostile := range hostileValues() {
			put(hostile)
			take(u.DeepCopy())
		}
		put(value)
		switch value := value.(type) {
		case map[string]any:
			for key := range value {
				change(value[key], func(v any) { value[key] = v })
			}
		case []any:
			for i := range value {
				change(value[i], func(v any) { value[i] = v })
			}
		}
	}
	for _, field := range []string{"spec", "metadata"} {
		change(u.Object[field], func(v any) { u.Object[field] = v })
	}
}
