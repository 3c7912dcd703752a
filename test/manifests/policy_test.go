// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/muster-scheduler/muster/pkg/kube"
)

var (
	native   = schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1beta1", Resource: "podgroups"}
	podGangs = schema.GroupVersionResource{Group: "scheduler.grove.io", Version: "v1alpha1", Resource: "podgangs"}
)

// condition returns a patch that leaves an object this condition only.
func condition(kind string) string {
	return `{"status":{"conditions":[{"type":"` + kind + `","status":"False","reason":"Test","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
}

// dryRun asks the API server for its answer only.
var dryRun = []string{metav1.DryRunAll}

// stolen returns a client with the service account's token, as whoever took it has.
func (c *cluster) stolen() kubernetes.Interface {
	c.t.Helper()
	cfg, err := c.box.ServiceAccountConfig(c.t.Context(), namespace, name)
	require.NoError(c.t, err)
	client, err := kubernetes.NewForConfig(cfg)
	require.NoError(c.t, err)
	return client
}

// stolenDynamic is the same for objects of any kind.
func (c *cluster) stolenDynamic() dynamic.Interface {
	c.t.Helper()
	cfg, err := c.box.ServiceAccountConfig(c.t.Context(), namespace, name)
	require.NoError(c.t, err)
	return dynamic.NewForConfigOrDie(cfg)
}

// patchPodStatus patches the status of a pod of the default namespace.
func (c *cluster) patchPodStatus(client kubernetes.Interface, pod, patch string) error {
	_, err := client.CoreV1().Pods(metav1.NamespaceDefault).Patch(c.t.Context(), pod, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dryRun}, "status")
	return err
}

// awaitPolicy waits until the API server holds the service account to the policies:
// it takes up new ones in the background, one by one.
func (c *cluster) awaitPolicy() {
	c.t.Helper()
	c.applyText("apiVersion: v1\nkind: Pod\nmetadata: {name: pending}\nspec: {schedulerName: nobody, containers: [{name: c, image: none}]}\n")
	client := c.stolen()
	c.eventually(func() bool {
		return refusedBy(c.patchPodStatus(client, "pending", `{"status":{"phase":"Succeeded"}}`), "pods") && refusedBy(c.bindWith(client, map[string]string{"a": "b"}), "bindings")
	}, "the policies have taken effect")
}

// bindWith binds the pending pod with annotations for it.
func (c *cluster) bindWith(client kubernetes.Interface, annotations map[string]string) error {
	return client.CoreV1().Pods(metav1.NamespaceDefault).Bind(c.t.Context(), &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: "pending", Annotations: annotations}, Target: v1.ObjectReference{Kind: "Node", Name: "a-0"},
	}, metav1.CreateOptions{DryRun: dryRun})
}

// refusedBy reports whether the policy with the end of its name refused a request.
func refusedBy(err error, policy string) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'muster-scheduler-"+policy+"'")
}

// policyRefusesTheRest writes with the service account's token what its permissions
// allow and the scheduler never writes. What it does write has been let through before.
func (c *cluster) policyRefusesTheRest() {
	c.t.Helper()
	client := c.stolen()
	running := c.pods("app=single")[0].Name
	for pod, patches := range map[string][]string{
		"pending": {
			`{"status":{"phase":"Failed"}}`,
			`{"status":{"reason":"Evicted","message":"gone"}}`,
			`{"status":{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}]}}`,
			`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`,
			`{"status":{"conditions":[{"type":"PodScheduled","status":"True"}]}}`,
			`{"status":{"containerStatuses":[{"name":"c","ready":true,"image":"none","imageID":"","restartCount":0}]}}`,
			`{"metadata":{"labels":{"app":"store"}}}`,
			`{"metadata":{"annotations":{"muster.sh/min-count":"9"}}}`,
			`{"metadata":{"finalizers":["example.com/never"]}}`,
		},
		running: {
			`{"status":{"phase":"Succeeded"}}`,
			`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`,
			`{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}`,
			`{"status":{"startTime":null}}`,
		},
	} {
		for _, patch := range patches {
			assert.True(c.t, refusedBy(c.patchPodStatus(client, pod, patch), "pods"), "%s: %s", pod, patch)
			assert.NoError(c.t, c.patchPodStatus(c.client, pod, patch), "others may: %s", patch)
		}
	}
	for _, patch := range []string{
		`{"status":{"nominatedNodeName":"a-0"}}`,
		`{"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"no room"}]}}`,
		`{"status":{"conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}]}}`,
	} {
		assert.NoError(c.t, c.patchPodStatus(client, "pending", patch), patch)
	}
	assert.NoError(c.t, c.bindWith(client, nil))
	assert.NoError(c.t, c.bindWith(client, map[string]string{kube.AnnotationStartedWith: "8"}))
	assert.True(c.t, refusedBy(c.bindWith(client, map[string]string{"a": "b"}), "bindings"))
	c.policyRefusesVolumesAndGroups(client)
}

// policyRefusesVolumesAndGroups does the same with the objects that the scheduler
// updates as a whole.
func (c *cluster) policyRefusesVolumesAndGroups(client kubernetes.Interface) {
	c.t.Helper()
	ctx := c.t.Context()
	volume, err := c.client.CoreV1().PersistentVolumes().Get(ctx, "local", metav1.GetOptions{})
	require.NoError(c.t, err)
	volume.Spec.PersistentVolumeReclaimPolicy = v1.PersistentVolumeReclaimDelete
	_, err = client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{DryRun: dryRun})
	assert.True(c.t, refusedBy(err, "volumes"), "%v", err)
	_, err = c.client.CoreV1().PersistentVolumes().Update(ctx, volume, metav1.UpdateOptions{DryRun: dryRun})
	assert.NoError(c.t, err, "others may")

	claim, err := c.client.CoreV1().PersistentVolumeClaims(metav1.NamespaceDefault).Get(ctx, "disk", metav1.GetOptions{})
	require.NoError(c.t, err)
	claim.Labels = map[string]string{"team": "mine"}
	_, err = client.CoreV1().PersistentVolumeClaims(metav1.NamespaceDefault).Update(ctx, claim, metav1.UpdateOptions{DryRun: dryRun})
	assert.True(c.t, refusedBy(err, "volumeclaims"), "%v", err)

	for _, row := range []struct {
		group   schema.GroupVersionResource
		patch   string
		refused bool
	}{
		{native, condition("Ready"), true},
		{native, condition("PodGroupInitiallyScheduled"), false},
		{podGangs, condition("Ready"), true},
		{podGangs, condition("muster.sh/Scheduled"), false},
	} {
		list, err := c.dynamic.Resource(row.group).Namespace(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
		require.NoError(c.t, err)
		require.NotEmpty(c.t, list.Items)
		_, err = c.stolenDynamic().Resource(row.group).Namespace(metav1.NamespaceDefault).
			Patch(ctx, list.Items[0].GetName(), types.MergePatchType, []byte(row.patch), metav1.PatchOptions{DryRun: dryRun}, "status")
		if row.refused {
			assert.True(c.t, refusedBy(err, "groups"), "%s: %v", row.patch, err)
			continue
		}
		assert.NoError(c.t, err, row.patch)
	}
}
