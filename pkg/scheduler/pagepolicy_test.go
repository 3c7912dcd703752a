// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/page"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// pageOf is what the page shows of a gang of one pod, which asks for plain GPUs
// on a node that shares its own, with these arguments of the plugin.
func pageOf(t *testing.T, args string) page.Gang {
	t.Helper()
	has := v1.ResourceList{"cpu": resource.MustParse("64"), "pods": resource.MustParse("110"), gpu.Resource: resource.MustParse("8")}
	node := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{gpu.ProductLabel: "NVIDIA-A100-SXM4-80GB-SHARED", "nvidia.com/gpu.replicas": "4"}},
		Status:     v1.NodeStatus{Allocatable: has, Capacity: has},
	}
	group := &schedulingapi.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "train"},
		Spec:       schedulingapi.PodGroupSpec{SchedulingPolicy: schedulingapi.PodGroupSchedulingPolicy{Gang: &schedulingapi.GangSchedulingPolicy{MinCount: 1}}},
	}
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "train-0", UID: "train-0"},
		Spec: v1.PodSpec{
			SchedulerName: "muster", SchedulingGroup: &v1.PodSchedulingGroup{PodGroupName: new("train")},
			Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{gpu.Resource: resource.MustParse("2")}}}},
		},
	}
	cfg, err := decodeConfig(fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: muster, pluginConfig: [{name: Muster, args: %s}]}]
`, args))
	require.NoError(t, err)
	c := &appconfig.Config{ComponentConfig: *cfg, InformerFactory: informers.NewSharedInformerFactory(fake.NewClientset(node, pod, group), 0)}
	cc := c.Complete()
	routes, err := pageRoutes(&cc, func(*schedulingapi.PodGroup) *kube.Declaration { return &kube.Declaration{Dialect: kube.DialectNative} })
	require.NoError(t, err)
	cc.InformerFactory.StartWithContext(t.Context())
	cc.InformerFactory.WaitForCacheSync(t.Context().Done())

	answer := httptest.NewRecorder()
	routes[0].handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, pagePath+"/data.json", http.NoBody))
	var data page.Data
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &data), answer.Body.String())
	require.Len(t, data.Gangs, 1)
	return data.Gangs[0]
}

func TestPage_JudgesByThePolicyForPlainRequests(t *testing.T) {
	got := pageOf(t, "{gpus: {plainRequests: Any}}")
	assert.Equal(t, queue.Queued, got.Phase)
	assert.Equal(t, explain.ReasonFitsNow, got.Reason, got.Message)
	assert.Equal(t, 1, got.Place)

	got = pageOf(t, "{}")
	assert.Equal(t, queue.Waiting, got.Phase)
	assert.Equal(t, kube.GangTooLarge, got.Reason, got.Message)
}
