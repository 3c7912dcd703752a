// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import "strings"

const kubeflowGroup = "kubeflow.org"

// The rows of the table that code names.
var (
	job = &Kind{
		Name: "Job", Group: "batch", Versions: []string{"v1"}, Resource: "jobs", EndsByItself: true,
		Gang: "the Job", Together: "min(`parallelism`, `completions` not yet reached)",
		readShape: readJob, layOut: layOutJob,
	}
	statefulSet = &Kind{
		Name: "StatefulSet", Group: "apps", Versions: []string{"v1"}, Resource: "statefulsets",
		Gang: "the StatefulSet, with `podManagementPolicy: Parallel`", Together: "`replicas`",
		readShape: readStatefulSet, layOut: layOutStatefulSet,
	}
	jobSet = &Kind{
		Name: "JobSet", Group: "jobset.x-k8s.io", Versions: []string{"v1alpha2"}, Resource: "jobsets", EndsByItself: true,
		Gang: "the JobSet", Together: "the pods of all its Jobs that have not succeeded", Parts: "each replicated job; each Job is a slice",
		uidLabel: labelJobSetUID, roleLabels: []string{labelReplicatedJob},
		links: []link{{
			group: "batch", kind: "Job", when: map[string]string{labelJobSet: ""}, owner: []string{labelJobSet, labelReplicatedJob, labelJobIndex},
		}},
		nameLabel: labelJobSet,
		readShape: readJobSet, layOut: layOutJobSet,
	}
	leaderWorkerSet = &Kind{
		Name: "LeaderWorkerSet", Group: "leaderworkerset.x-k8s.io", Versions: []string{"v1"}, Resource: "leaderworkersets",
		Gang: "each group, such as `leaderworkerset/serve-2`", Together: "`size`", Parts: "leader, worker; each sub-group is a slice",
		nameLabel: labelLWS, partLabel: labelLWSGroup,
		links: []link{
			{group: "apps", kind: "StatefulSet", when: map[string]string{labelLWS: "", labelLWSWorker: "0"}, owner: []string{labelLWS}, role: lwsLeader},
			{group: "apps", kind: "StatefulSet", when: map[string]string{labelLWS: ""}, owner: []string{labelLWS, labelLWSGroup}, role: lwsWorkers},
		},
		readShape: readLeaderWorkerSet, layOut: layOutLeaderWorkerSet,
	}
	mpiJob = &Kind{
		Name: "MPIJob", Group: kubeflowGroup, Versions: []string{"v2beta1", "v1"}, Resource: "mpijobs", EndsByItself: true,
		Gang: "the job", Together: replicasTogether, Parts: "launcher, worker",
		nameLabel: labelKubeflowJob, roleLabels: []string{labelReplicaType, labelKubeflowRole},
		sharesName: true, // the launcher's pod is a Job's, and does not tell it
		links: []link{{
			group: "batch", kind: "Job", when: map[string]string{labelKubeflowJob: "", labelKubeflowOperator: mpiOperator},
			owner: []string{labelKubeflowJob, launcher}, role: launcher,
		}},
		readShape: readReplicaSpecs("mpiReplicaSpecs"), layOut: layOutReplicaSpecs("mpiReplicaSpecs"),
	}
	rayCluster = &Kind{
		Name: "RayCluster", Group: "ray.io", Versions: []string{"v1"}, Resource: "rayclusters",
		Gang: "the cluster", Together: "the head and all workers; with `enableInTreeAutoscaling` `minReplicas` of each group",
		Parts:     "head, each worker group; each replica of several hosts is a slice",
		nameLabel: labelRayCluster, roleLabels: []string{labelRayGroup},
		readShape: readRayCluster, layOut: layOutRayCluster,
	}
	volcanoJob = &Kind{
		Name: "Job", Group: "batch.volcano.sh", Versions: []string{"v1alpha1"}, Resource: "jobs", EndsByItself: true,
		Gang: "its PodGroup, by the dialect `volcano`", Together: "`minAvailable`", Parts: "each task",
		Advice: "and Volcano makes its pods a gang of their own: take the label off them",
		layOut: layOutVolcanoJob,
	}
)

// replicasTogether is how many pods of a Kubeflow job start together.
const replicasTogether = "all replicas, or `schedulingPolicy.minAvailable`, or `elasticPolicy.minReplicas` of the workers"

// controllers is the table. Of links that a pod has several of, the first counts.
var controllers = []*Kind{
	job, jobSet, leaderWorkerSet, statefulSet,
	kubeflowKind("PyTorchJob", "pytorchReplicaSpecs"),
	kubeflowKind("TFJob", "tfReplicaSpecs"),
	kubeflowKind("XGBoostJob", "xgbReplicaSpecs"),
	kubeflowKind("PaddleJob", "paddleReplicaSpecs"),
	kubeflowKind("JAXJob", "jaxReplicaSpecs"),
	kubeflowKind("MXJob", "mxReplicaSpecs"),
	mpiJob, rayCluster,
	{
		Name: "SparkApplication", Group: "sparkoperator.k8s.io", Versions: []string{"v1beta2"}, Resource: "sparkapplications",
		Gang: "the application", Together: "the driver; once it runs, all executors, or `minExecutors` with `dynamicAllocation`", Parts: "driver, executor",
		nameLabel: labelSparkApp, roleLabels: []string{labelSparkRole},
		sharesName: true, // an executor's controller is the driver's pod
		links: []link{{
			kind: "Pod", when: map[string]string{labelSparkApp: "", labelSparkRole: sparkExecutor}, owner: []string{labelSparkApp, sparkDriver},
		}},
		readShape: readSparkApplication, layOut: layOutSparkApplication,
	},
	{
		Name: "TrainJob", Group: trainerGroup, Versions: []string{"v1alpha1"}, Resource: "trainjobs", Creates: jobSet,
		layOut: layOutTrainJob,
	},
	{
		Name: "RayJob", Group: "ray.io", Versions: []string{"v1"}, Resource: "rayjobs", Creates: rayCluster,
		layOut: layOutRayJob,
	},
	{
		Name: "RayService", Group: "ray.io", Versions: []string{"v1"}, Resource: "rayservices", Creates: rayCluster,
		layOut: layOutRayService,
	},
	volcanoJob,
	{
		Name: "Workflow", Group: "argoproj.io", Versions: []string{"v1alpha1"}, Resource: "workflows",
		Gang: "none: it starts a pod for each step, when the steps before have ended", Together: "what a step creates as a Job or JobSet, with the label on those pods",
		Advice: "which starts a pod for each step: let a step create a Job or a JobSet (a template with resource), with the label muster.sh/gang: auto on its pods",
	},
}

// kubeflowKind is a job of the Kubeflow Training Operator.
func kubeflowKind(name, field string) *Kind {
	return &Kind{
		Name: name, Group: kubeflowGroup, Versions: []string{"v1"}, Resource: strings.ToLower(name) + "s", EndsByItself: true,
		Gang: "the job", Together: replicasTogether, Parts: "each replica type",
		nameLabel: labelKubeflowJob, roleLabels: []string{labelReplicaType},
		readShape: readReplicaSpecs(field), layOut: layOutReplicaSpecs(field),
	}
}

// TableText is the table for the documentation: a row for each kind, one for kinds
// that are alike.
func TableText() string {
	text := "| Workload | One gang is | Starts together | Roles | Read by |\n|---|---|---|---|---|\n"
	for i := 0; i < len(controllers); {
		first, names := controllers[i], []string{controllers[i].Name}
		for i++; i < len(controllers) && controllers[i].cells() == first.cells() && first.Creates == nil; i++ {
			names = append(names, controllers[i].Name)
		}
		text += "| " + strings.Join(names, ", ") + first.cells() + " |\n"
	}
	return text
}
