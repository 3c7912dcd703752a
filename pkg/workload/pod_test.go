// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/workload"
)

const uid = "0a1b2c3d-aaaa-bbbb-cccc-0123456789ab"

func pod(apiVersion, kind, owner string, labels map[string]string) *v1.Pod {
	yes := true
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "p", Labels: labels,
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: "beside", UID: "1"},
			{APIVersion: apiVersion, Kind: kind, Name: owner, UID: uid, Controller: &yes},
		},
	}}
}

// The labels are those that each controller's documentation lists.
func TestOf(t *testing.T) {
	type found struct{ name, life, role string }
	for name, c := range map[string]struct {
		pod  *v1.Pod
		want found
	}{
		"Job": {
			pod("batch/v1", "Job", "train", map[string]string{"batch.kubernetes.io/job-name": "train"}),
			found{"job/train", "0a1b2c3d", ""},
		},
		"Job of a JobSet": {
			pod("batch/v1", "Job", "train-workers-2", map[string]string{
				"jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": "workers", "jobset.sigs.k8s.io/job-index": "2",
			}),
			found{"jobset/train", "", "workers"},
		},
		"Job of a JobSet that tells its UID": {
			pod("batch/v1", "Job", "train-workers-2", map[string]string{
				"jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": "workers", "jobset.sigs.k8s.io/job-index": "2",
				"jobset.sigs.k8s.io/jobset-uid": "ffff0000-1111-2222-3333-444444444444",
			}),
			found{"jobset/train", "ffff0000", "workers"},
		},
		"leader of a LeaderWorkerSet": {
			pod("apps/v1", "StatefulSet", "serve", map[string]string{
				"leaderworkerset.sigs.k8s.io/name": "serve", "leaderworkerset.sigs.k8s.io/group-index": "2", "leaderworkerset.sigs.k8s.io/worker-index": "0",
			}),
			found{"leaderworkerset/serve-2", "", "leader"},
		},
		"worker of a LeaderWorkerSet": {
			pod("apps/v1", "StatefulSet", "serve-2", map[string]string{
				"leaderworkerset.sigs.k8s.io/name": "serve", "leaderworkerset.sigs.k8s.io/group-index": "2", "leaderworkerset.sigs.k8s.io/worker-index": "3",
			}),
			found{"leaderworkerset/serve-2", "", "worker"},
		},
		"StatefulSet": {
			pod("apps/v1", "StatefulSet", "serve", map[string]string{"apps.kubernetes.io/pod-index": "1"}),
			found{"statefulset/serve", "0a1b2c3d", ""},
		},
		"PyTorchJob": {
			pod("kubeflow.org/v1", "PyTorchJob", "bert", map[string]string{
				"training.kubeflow.org/job-name": "bert", "training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": "1",
			}),
			found{"pytorchjob/bert", "0a1b2c3d", "worker"},
		},
		"worker of an MPIJob": {
			pod("kubeflow.org/v2beta1", "MPIJob", "hpl", map[string]string{
				"training.kubeflow.org/operator-name": "mpi-operator", "training.kubeflow.org/job-name": "hpl",
				"training.kubeflow.org/job-role": "worker", "training.kubeflow.org/replica-index": "0",
			}),
			found{"mpijob/hpl", "", "worker"},
		},
		"launcher of an MPIJob": {
			pod("batch/v1", "Job", "hpl-launcher", map[string]string{
				"training.kubeflow.org/operator-name": "mpi-operator", "training.kubeflow.org/job-name": "hpl",
				"training.kubeflow.org/job-role": "launcher",
			}),
			found{"mpijob/hpl", "", "launcher"},
		},
		"launcher of an MPIJob of the Training Operator": {
			pod("kubeflow.org/v1", "MPIJob", "hpl", map[string]string{
				"training.kubeflow.org/job-name": "hpl", "training.kubeflow.org/replica-type": "launcher",
			}),
			found{"mpijob/hpl", "", "launcher"},
		},
		"head of a RayCluster": {
			pod("ray.io/v1", "RayCluster", "ray", map[string]string{
				"ray.io/cluster": "ray", "ray.io/node-type": "head", "ray.io/group": "headgroup",
			}),
			found{"raycluster/ray", "0a1b2c3d", "headgroup"},
		},
		"driver of a SparkApplication": {
			pod("sparkoperator.k8s.io/v1beta2", "SparkApplication", "pi", map[string]string{"sparkoperator.k8s.io/app-name": "pi", "spark-role": "driver"}),
			found{"sparkapplication/pi", "", "driver"},
		},
		"executor of a SparkApplication": {
			pod("v1", "Pod", "pi-driver", map[string]string{"sparkoperator.k8s.io/app-name": "pi", "spark-role": "executor", "spark-exec-id": "3"}),
			found{"sparkapplication/pi", "", "executor"},
		},
		"worker of a RayCluster": {
			pod("ray.io/v1alpha1", "RayCluster", "ray", map[string]string{
				"ray.io/cluster": "ray", "ray.io/node-type": "worker", "ray.io/group": "gpus",
			}),
			found{"raycluster/ray", "0a1b2c3d", "gpus"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ref, problem := workload.RefOf(c.pod)
			require.Empty(t, problem)
			assert.Equal(t, c.want, found{ref.DisplayName(), ref.Instance, ref.Role})
		})
	}
}

// A label alone, or one that does not agree with the pod's controller, joins no
// pod to a workload.
func TestOf_TrustsNoLabelWithoutItsOwner(t *testing.T) {
	jobSet := map[string]string{
		"jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": "workers", "jobset.sigs.k8s.io/job-index": "2",
	}
	lws := map[string]string{
		"leaderworkerset.sigs.k8s.io/name": "serve", "leaderworkerset.sigs.k8s.io/group-index": "2", "leaderworkerset.sigs.k8s.io/worker-index": "3",
	}
	badIndex := map[string]string{
		"leaderworkerset.sigs.k8s.io/name": "serve", "leaderworkerset.sigs.k8s.io/group-index": "02", "leaderworkerset.sigs.k8s.io/worker-index": "3",
	}
	mpi := map[string]string{"training.kubeflow.org/operator-name": "mpi-operator", "training.kubeflow.org/job-name": "hpl"}
	bare := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: jobSet}}
	owned := bare.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "train-workers-2", UID: uid}}
	for name, c := range map[string]struct {
		pod  *v1.Pod
		want string
	}{
		"label without an owner":      {bare, "it has no controller"},
		"owner that does not control": {owned, "it has no controller"},
		"another controller's pod":    {pod("apps/v1", "ReplicaSet", "web-5d4f", nil), "its controller is ReplicaSet web-5d4f"},
		"a kind of another group":     {pod("batch.example.com/v1", "Job", "train", nil), "its controller is Job train"},
		"a gang of its own":           {pod("batch.volcano.sh/v1alpha1", "Job", "train", nil), "its controller is Job train, and Volcano makes its pods a gang of their own: take the label off them"},
		"a step of a workflow": {pod("argoproj.io/v1alpha1", "Workflow", "nightly", map[string]string{"workflows.argoproj.io/workflow": "nightly"}),
			"its controller is Workflow nightly, which starts a pod for each step: let a step create a Job or a JobSet (a template with resource), with the label muster.sh/gang: auto on its pods"},
		"executor of another driver": {pod("v1", "Pod", "mine-driver", map[string]string{"spark-role": "executor", "sparkoperator.k8s.io/app-name": "other"}),
			`its label sparkoperator.k8s.io/app-name says "other", but its controller is Pod mine-driver`},
		"a pod that another pod made":   {pod("v1", "Pod", "mine-driver", map[string]string{"spark-role": "executor"}), "its controller is Pod mine-driver"},
		"no API version":                {pod("a/b/c", "Job", "train", nil), "its controller is Job train"},
		"label of another JobSet":       {pod("batch/v1", "Job", "mine", jobSet), `its label jobset.sigs.k8s.io/jobset-name says "train", but its controller is Job mine`},
		"label of another LWS":          {pod("apps/v1", "StatefulSet", "mine", lws), `its label leaderworkerset.sigs.k8s.io/name says "serve", but its controller is StatefulSet mine`},
		"index that is none":            {pod("apps/v1", "StatefulSet", "serve-02", badIndex), `its label leaderworkerset.sigs.k8s.io/group-index says "02", which is no index`},
		"label of another MPIJob":       {pod("batch/v1", "Job", "mine", mpi), `its label training.kubeflow.org/job-name says "hpl", but its controller is Job mine`},
		"label of another Kubeflow job": {pod("kubeflow.org/v1", "TFJob", "mine", map[string]string{"training.kubeflow.org/job-name": "other"}), `its label training.kubeflow.org/job-name says "other", but its controller is TFJob mine`},
		"label of another RayCluster":   {pod("ray.io/v1", "RayCluster", "mine", map[string]string{"ray.io/cluster": "other"}), `its label ray.io/cluster says "other", but its controller is RayCluster mine`},
	} {
		t.Run(name, func(t *testing.T) {
			_, problem := workload.RefOf(c.pod)
			assert.Equal(t, c.want, problem)
		})
	}
}
