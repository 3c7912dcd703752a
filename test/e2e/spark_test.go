// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestSpark: the driver of a SparkApplication starts alone, the executors that it
// creates start together, and those that have started run on while lost ones come
// back.
func TestSpark(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{})
	c := on(t, box, racks(4, 4)...)
	startQuickScheduler(t, box)
	client := dynamic.NewForConfigOrDie(box.Config())
	served := map[string]any{"name": "v1beta2", "served": true, "storage": true, "schema": map[string]any{
		"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
	}}
	_, err := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).Create(background, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{
			"name":        "sparkapplications.sparkoperator.k8s.io",
			"annotations": map[string]any{"api-approved.kubernetes.io": "https://github.com/kubeflow/spark-operator/pull/1298"},
		},
		"spec": map[string]any{
			"group": "sparkoperator.k8s.io", "scope": "Namespaced", "versions": []any{served},
			"names": map[string]any{"kind": "SparkApplication", "plural": "sparkapplications"},
		},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	var app *unstructured.Unstructured
	require.Eventually(t, func() bool { // the kind is served soon after it is there
		app, err = client.Resource(schema.GroupVersionResource{Group: "sparkoperator.k8s.io", Version: "v1beta2", Resource: "sparkapplications"}).Namespace(c.namespace).Create(background, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "metadata": map[string]any{"name": "etl"},
			"spec": map[string]any{"sparkVersion": "4.0.0", "executor": map[string]any{"instances": int64(3)}},
		}}, metav1.CreateOptions{})
		return err == nil
	}, patience, poll)

	ofSpark := func(role, apiVersion, kind, owner string, uid types.UID) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.Labels[kube.LabelGang], p.Labels["spark-role"], p.Labels["sparkoperator.k8s.io/app-name"] = kube.GangAuto, role, "etl"
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: owner, UID: uid, Controller: new(true)}}
		}
	}
	c.create(pod("etl-driver", 0, ofSpark("driver", "sparkoperator.k8s.io/v1beta2", "SparkApplication", "etl", app.GetUID())))
	c.awaitBound("etl", 1)
	driver, err := c.client.CoreV1().Pods(c.namespace).Get(background, "etl-driver", metav1.GetOptions{})
	require.NoError(t, err)
	executor := func(id int) *v1.Pod {
		return pod(fmt.Sprint("etl-exec-", id), 8, ofSpark("executor", "v1", "Pod", "etl-driver", driver.UID))
	}
	c.create(executor(1), executor(2))
	c.awaitReason("etl-exec", kube.GangIncomplete, "gang sparkapplication/etl")
	c.create(executor(3))
	c.awaitBound("etl", 4)

	c.remove("etl-exec-2")
	c.create(executor(4))
	nodes := c.awaitBound("etl", 4)
	require.Contains(t, nodes, "etl-exec-4")
	require.Contains(t, nodes, "etl-exec-1", "the others run on")
}
