// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

func TestControlPlane(t *testing.T) {
	s := start(t, sandbox.Options{PodGroupCRD: true})
	t.Run("RBAC refuses and the refusal is recorded", func(t *testing.T) { refuses(t, s) })
	t.Run("a ServiceAccount acts with its own rights", func(t *testing.T) { actsAsServiceAccount(t, s) })
	t.Run("a Job makes pods and takes them with it", func(t *testing.T) { runsJob(t, s) })
	t.Run("a namespace can be deleted", func(t *testing.T) { deletesNamespace(t, s) })
	t.Run("PodGroups of any minMember are taken", func(t *testing.T) { takesPodGroups(t, s) })
}

func client(t *testing.T, cfg *rest.Config, err error) kubernetes.Interface {
	t.Helper()
	require.NoError(t, err)
	c, err := kubernetes.NewForConfig(cfg)
	require.NoError(t, err)
	return c
}

func refuses(t *testing.T, s *sandbox.Sandbox) {
	require.Empty(t, s.ForbiddenRequests(), "the sandbox's own components are refused something")
	cfg, err := s.ConfigFor("eve", "interns")
	eve := client(t, cfg, err)
	_, err = eve.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.Equal(t, []string{"eve GET /api/v1/namespaces/kube-system/secrets"}, s.ForbiddenRequests())

	stranger := client(t, &rest.Config{Host: s.Config().Host, TLSClientConfig: rest.TLSClientConfig{CAData: s.Config().CAData}}, nil)
	_, err = stranger.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.Error(t, err)
	assert.Contains(t, s.ForbiddenRequests(), "system:anonymous GET /api/v1/nodes")
}

func actsAsServiceAccount(t *testing.T, s *sandbox.Sandbox) {
	_, err := s.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "default-views"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "default"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	before := s.ForbiddenRequests()
	cfg, err := s.ServiceAccountConfig(t.Context(), "default", "default")
	account := client(t, cfg, err)
	require.Eventually(t, func() bool { // RBAC reads its bindings from a watch
		_, err = account.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, patience, pause, "%v", err)
	_, err = account.CoreV1().Pods("default").Create(t.Context(), gpuPod("mine", 0), metav1.CreateOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.Contains(t, s.ForbiddenRequests()[len(before):], "system:serviceaccount:default:default POST /api/v1/namespaces/default/pods")

	_, err = s.ServiceAccountConfig(t.Context(), "default", "nobody")
	assert.ErrorContains(t, err, `ServiceAccount default/nobody`)
}

func runsJob(t *testing.T, s *sandbox.Sandbox) {
	pods := func() *v1.PodList {
		list, err := s.Client().CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=train"})
		require.NoError(t, err)
		return list
	}
	template := gpuPod("", 0)
	template.Spec.RestartPolicy = v1.RestartPolicyNever
	jobs := s.Client().BatchV1().Jobs("default")
	_, err := jobs.Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "train"},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](3), Completions: ptr.To[int32](3),
			Template: v1.PodTemplateSpec{Spec: template.Spec},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(pods().Items) == 3 }, patience, pause)

	background := metav1.DeletePropagationBackground // kubectl's default
	require.NoError(t, jobs.Delete(t.Context(), "train", metav1.DeleteOptions{PropagationPolicy: &background}))
	require.Eventually(t, func() bool { return len(pods().Items) == 0 }, patience, pause)
}

func deletesNamespace(t *testing.T, s *sandbox.Sandbox) {
	spaces := s.Client().CoreV1().Namespaces()
	_, err := spaces.Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.Client().CoreV1().Pods("team").Create(t.Context(), func() *v1.Pod {
		pod := gpuPod("first", 0)
		pod.Namespace = "team"
		return pod
	}(), metav1.CreateOptions{})
	require.NoError(t, err, "admission waits for the namespace's ServiceAccount")
	require.NoError(t, spaces.Delete(t.Context(), "team", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := spaces.Get(t.Context(), "team", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, patience, pause)
}

func takesPodGroups(t *testing.T, s *sandbox.Sandbox) {
	all, err := dynamic.NewForConfig(s.Config())
	require.NoError(t, err)
	groups := all.Resource(schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}).Namespace("default")
	for _, spec := range []map[string]any{
		{"minMember": int64(0)},
		{"minMember": int64(-3)},
		{},
		{"minMember": int64(4), "scheduleTimeoutSeconds": int64(30), "minResources": map[string]any{gpu: int64(8), "cpu": "500m"}},
	} {
		group := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
			"metadata": map[string]any{"generateName": "train-"},
			"spec":     spec,
		}}
		made, err := groups.Create(t.Context(), group, metav1.CreateOptions{})
		require.NoError(t, err)
		assert.Equal(t, spec, made.Object["spec"])
		made.Object["status"] = map[string]any{"phase": "Scheduling", "scheduled": int64(2)}
		made, err = groups.UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
		require.NoError(t, err)
		assert.Equal(t, "Scheduling", made.Object["status"].(map[string]any)["phase"])
	}
}
