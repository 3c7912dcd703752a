// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	v1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// patience is how long a test waits for the cluster to do something. It is far
// more than it takes, so that a busy machine does not fail a test.
const patience = 3 * time.Minute

// cluster is a sandbox with Muster installed from the manifests.
type cluster struct {
	t       *testing.T
	box     *sandbox.Sandbox
	client  kubernetes.Interface
	dynamic dynamic.Interface
	objects []runtime.Object
	// ledger stands before the API server for all replicas of the scheduler.
	ledger *ledger
}

// newCluster starts the control plane and installs the manifests on it.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	box, err := sandbox.Start(context.WithoutCancel(t.Context()), sandbox.Options{CompositePodGroup: true, PodGroupCRD: true})
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	c := &cluster{
		t: t, box: box, client: box.Client(), dynamic: dynamic.NewForConfigOrDie(box.Config()),
		objects: renderOverlay(t, documented(t, "opt-in policy")), ledger: newLedger(t, box.Config()),
	}
	for _, object := range c.objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		require.NoError(t, err)
		c.apply(&unstructured.Unstructured{Object: fields})
	}
	return c
}

// apply does what kubectl apply --server-side does with one object.
func (c *cluster) apply(object *unstructured.Unstructured) {
	c.t.Helper()
	groups, err := restmapper.GetAPIGroupResources(c.client.Discovery())
	require.NoError(c.t, err)
	kind := object.GroupVersionKind()
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(kind.GroupKind(), kind.Version)
	require.NoError(c.t, err)
	unstructured.RemoveNestedField(object.Object, "status")
	unstructured.RemoveNestedField(object.Object, "metadata", "creationTimestamp")
	_, err = c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()).
		Apply(c.t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "kubectl", Force: true})
	require.NoError(c.t, err, "%s %s", kind.Kind, object.GetName())
}

// applyText applies every object of a YAML text to the namespace default where
// it names none.
func (c *cluster) applyText(text string) {
	c.t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(c.t, yaml.UnmarshalStrict([]byte(document), &object.Object), "%s", document)
		if object.GetNamespace() == "" && !clusterScoped[object.GetKind()] {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		c.apply(object)
	}
}

var clusterScoped = map[string]bool{
	"DeviceClass": true, "PersistentVolume": true, "PriorityClass": true, "ResourceSlice": true, "StorageClass": true,
	"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true,
	"ClusterRole": true, "ClusterRoleBinding": true, "CustomResourceDefinition": true,
}

// serveOnly takes the permission to write to workloads away everywhere but in
// one namespace.
func (c *cluster) serveOnly(served string) {
	c.t.Helper()
	for _, object := range c.objects {
		everywhere, ok := object.(*rbacv1.ClusterRoleBinding)
		if !ok || !strings.HasPrefix(everywhere.Name, "muster-scheduler-workloads") {
			continue
		}
		require.NoError(c.t, c.client.RbacV1().ClusterRoleBindings().Delete(c.t.Context(), everywhere.Name, metav1.DeleteOptions{}))
		_, err := c.client.RbacV1().RoleBindings(served).Create(c.t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: everywhere.Name}, RoleRef: everywhere.RoleRef, Subjects: everywhere.Subjects,
		}, metav1.CreateOptions{})
		require.NoError(c.t, err)
	}
	c.eventually(func() bool { return c.mayBind(served) && !c.mayBind(namespace) }, "the binding has taken effect")
}

func (c *cluster) mayBind(where string) bool {
	review, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(c.t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               serviceaccount.MakeUsername(namespace, name),
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: where, Verb: "create", Resource: "pods", Subresource: "binding"},
		},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return review.Status.Allowed
}

// eventually waits until what is asked is so.
func (c *cluster) eventually(is func() bool, what string, args ...any) {
	c.t.Helper()
	require.Eventually(c.t, is, patience, 100*time.Millisecond, append([]any{what}, args...)...)
}

// pods lists the pods of the default namespace that match a label selector.
func (c *cluster) pods(selector string) []v1.Pod {
	list, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).List(c.t.Context(), metav1.ListOptions{LabelSelector: selector})
	require.NoError(c.t, err)
	return list.Items
}

// admitReplica asks the API server whether it would take a replica of the
// Deployment: pod security, the priority class and its quota all have a say.
func (c *cluster) admitReplica() error {
	// No quota controller runs here, so the quota's status is filled in.
	quotas := c.client.CoreV1().ResourceQuotas(namespace)
	quota, err := quotas.Get(c.t.Context(), "critical-pods", metav1.GetOptions{})
	require.NoError(c.t, err)
	quota.Status = v1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: v1.ResourceList{v1.ResourcePods: {}}}
	_, err = quotas.UpdateStatus(c.t.Context(), quota, metav1.UpdateOptions{})
	require.NoError(c.t, err)
	template := find[*appsv1.Deployment](c.t, c.objects, name).Spec.Template
	pod := &v1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name = "replica"
	_, err = c.client.CoreV1().Pods(namespace).Create(c.t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// schemaOf returns the UID of an installed flow schema.
func (c *cluster) schemaOf(flow string) string {
	c.t.Helper()
	schema, err := c.client.FlowcontrolV1().FlowSchemas().Get(c.t.Context(), flow, metav1.GetOptions{})
	require.NoError(c.t, err)
	return string(schema.UID)
}

// awaitSchema waits until the API server sorts the service account's requests
// by the flow schema; it takes up new ones in the background.
func (c *cluster) awaitSchema(flow string) {
	c.t.Helper()
	cfg, err := c.box.ServiceAccountConfig(c.t.Context(), namespace, name)
	require.NoError(c.t, err)
	client, err := rest.HTTPClientFor(cfg)
	require.NoError(c.t, err)
	want := c.schemaOf(flow)
	c.eventually(func() bool {
		request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, cfg.Host+"/api/v1/nodes?limit=1", nil)
		require.NoError(c.t, err)
		answer, err := client.Do(request)
		if err != nil {
			return false
		}
		defer func() { _ = answer.Body.Close() }()
		return answer.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID) == want
	}, "requests fall under the flow schema %s", flow)
}
