// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/sandbox"
)

// declared is a gang of three pods in one of the dialects, as users write it:
// labels and annotations of the pods, and the group object, if there is one.
type declared struct {
	labels, annotations string
	group, spec         string
	// minimum is the command that proposes to start with two pods; "" where
	// that stands on pods, or is fixed.
	minimum string
	dialect kube.Dialect
	gang    string
}

func everyDialect() map[string]declared {
	merge := func(resource, field string) string {
		return fmt.Sprintf(`kubectl -n default patch %s train --type merge -p '{"spec":{"%s":2}}'`, resource, field)
	}
	const rackKey, wish = "topology.kubernetes.io/rack", "muster.sh/topology-required: rack"
	return map[string]declared{
		"label": {labels: "muster.sh/gang: train", annotations: `muster.sh/min-count: "3", ` + wish, dialect: kube.DialectLabel},
		"auto":  {labels: "muster.sh/gang: auto", annotations: wish, dialect: kube.DialectAuto, gang: "job/train"},
		"crd": {
			labels: "scheduling.x-k8s.io/pod-group: train", annotations: wish, group: "scheduling.x-k8s.io/v1alpha1", spec: "minMember: 3",
			dialect: kube.DialectCRD, minimum: merge("podgroups.scheduling.x-k8s.io", "minMember"),
		},
		"koordinator": {
			annotations: `gang.scheduling.koordinator.sh/name: train, gang.scheduling.koordinator.sh/min-available: "3", ` + wish,
			dialect:     "koordinator",
		},
		"native": {
			annotations: wish, group: "scheduling.k8s.io/v1beta1", spec: "schedulingPolicy: {gang: {minCount: 3}}",
			dialect: kube.DialectNative,
		},
		"volcano": {
			annotations: "scheduling.k8s.io/group-name: train", group: "scheduling.volcano.sh/v1beta1",
			spec:    "minMember: 3\n  networkTopology: {mode: hard, highestTierAllowed: 1}",
			dialect: "volcano", minimum: merge("podgroups.scheduling.volcano.sh", "minMember"),
		},
		"kai": {
			annotations: "pod-group-name: train", group: "scheduling.run.ai/v2alpha2",
			spec:    "minMember: 3\n  topologyConstraint: {requiredTopologyLevel: " + rackKey + "}",
			dialect: "kai", minimum: merge("podgroups.scheduling.run.ai", "minMember"),
		},
		"kueue": {
			labels:      "kueue.x-k8s.io/pod-group-name: train",
			annotations: `kueue.x-k8s.io/pod-group-total-count: "3", kueue.x-k8s.io/podset-required-topology: ` + rackKey,
			dialect:     "kueue",
		},
	}
}

// manifest is the group object and a Job of three pods.
func (d declared) manifest() string {
	group, member := "", ""
	if d.group != "" {
		group = fmt.Sprintf("apiVersion: %s\nkind: PodGroup\nmetadata: {name: train, namespace: default}\nspec:\n  %s\n---\n", d.group, d.spec)
	}
	if d.dialect == kube.DialectNative {
		member = "\n      schedulingGroup: {podGroupName: train}"
	}
	return group + fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: train, namespace: default}
spec:
  parallelism: 3
  completions: 3
  template:
    metadata: {labels: {%s}, annotations: {%s}}
    spec:
      schedulerName: muster
      restartPolicy: Never%s
      containers: [{name: main, image: pause, resources: {limits: {nvidia.com/gpu: "8"}}}]
`, d.labels, d.annotations, member)
}

// TestLive_EveryDialect: the command reads a gang in each dialect as the
// scheduler does, from the API server and from a snapshot, and proposes to
// change the object that there is.
func TestLive_EveryDialect(t *testing.T) {
	l := startLive(t, func(o *sandbox.Options) { o.GenericWorkload, o.DisableControllers = true, false })
	l.rack(t, "r1", "n1", "n2")
	l.rack(t, "r2", "n3", "n4")
	crds, err := filepath.Glob("../e2e/testdata/crds/*.yaml")
	require.NoError(t, err)
	for _, file := range crds {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		l.apply(t, string(text))
	}
	for name, d := range everyDialect() {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() {
				ctx := context.WithoutCancel(t.Context())
				require.Eventually(t, func() bool { // the Job controller may create one more
					pods, err := l.Client().CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
					_ = l.Client().CoreV1().Pods("default").DeleteCollection(ctx, atOnce, metav1.ListOptions{})
					return err == nil && len(pods.Items) == 0
				}, patience, pollPause)
			})
			for _, created := range l.apply(t, d.manifest()) {
				t.Cleanup(func() { created.remove(t) })
			}
			want := d.gang
			if want == "" {
				want = "train"
			}
			var e explain.Explanation
			require.Eventually(t, func() bool {
				_, out, errs := l.muster(t, "explain", "train", "-o", "json")
				return errs == "" && json.Unmarshal([]byte(out), &e) == nil && e.Pods == 3
			}, patience, pollPause)
			assert.Equal(t, want, e.Name)
			assert.Equal(t, d.dialect, e.Dialect)
			assert.Equal(t, 3, e.MinCount)
			assert.Equal(t, kube.GangTooLarge, e.Reason, e.Message)
			commands := map[explain.Kind]string{}
			for _, c := range e.Changes {
				commands[c.Kind] = c.Command
			}
			assert.Contains(t, commands, explain.Wider)
			assert.Contains(t, commands, explain.Fewer)
			assert.Equal(t, d.minimum, commands[explain.Fewer])

			dir := t.TempDir() + "/report"
			_, _, errs := l.muster(t, "snapshot", dir)
			require.Empty(t, errs)
			assert.Equal(t, l.statuses(t), l.statuses(t, "--snapshot", dir))
		})
	}
}

// statuses are what the command says of all gangs, without what grows by the
// second.
func (l *live) statuses(t *testing.T, args ...string) []explain.Status {
	t.Helper()
	_, out, errs := l.muster(t, append([]string{"status", "-o", "json"}, args...)...)
	require.Empty(t, errs)
	var list []explain.Status
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list, 1)
	list[0].AgeSeconds, list[0].WaitSeconds = 0, 0
	return list
}

// apply creates the objects of a manifest and returns them.
func (l *live) apply(t *testing.T, text string) []existing {
	t.Helper()
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	var all []existing
	for doc := range strings.SplitSeq(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(doc), &u.Object))
		kind := u.GroupVersionKind().GroupVersion().WithResource(strings.ToLower(u.GetKind()) + "s")
		var objects dynamic.ResourceInterface = client.Resource(kind)
		if u.GetNamespace() != "" {
			objects = client.Resource(kind).Namespace(u.GetNamespace())
		}
		require.Eventually(t, func() bool { // a kind is served soon after it is there
			_, err = objects.Create(t.Context(), u, metav1.CreateOptions{})
			return err == nil
		}, patience, pollPause, "%s: %v", doc, err)
		all = append(all, existing{objects, u.GetName()})
	}
	return all
}

// existing is an object that was created.
type existing struct {
	client dynamic.ResourceInterface
	name   string
}

func (e existing) remove(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	// What waits for a controller that does not run here is let go.
	_, err := e.client.Patch(ctx, e.name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	assert.NoError(t, err)
	policy := metav1.DeletePropagationBackground
	assert.NoError(t, e.client.Delete(ctx, e.name, metav1.DeleteOptions{PropagationPolicy: &policy}))
}
