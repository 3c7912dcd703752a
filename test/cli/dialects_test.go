// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// declared is a gang of three pods in one of the dialects, as users write it:
// labels and annotations of the pods, and the group object, if there is one.
type declared struct {
	labels, annotations string
	// version is that of the group object, called kind or else PodGroup, and wishes
	// are its annotations.
	version, kind, wishes, spec string
	dialect                     kube.Dialect
	gang                        string
	// settings are parts of what the changes write.
	settings map[explain.ChangeKind]string
	// changes are what the command can propose as a command, since it stands on
	// an object that can be changed.
	changes []explain.ChangeKind
	// proposed is how many it proposes in all, 0 for 3.
	proposed int
}

func everyDialect() map[string]declared {
	const rackKey, wish = "topology.kubernetes.io/rack", "muster.sh/topology-required: rack"
	all := []explain.ChangeKind{explain.ChangeWiderLevel, explain.ChangePreferredLevel, explain.ChangeFewerPods}
	return map[string]declared{
		"label": {labels: "muster.sh/gang: train", annotations: `muster.sh/min-count: "3", ` + wish, dialect: kube.DialectLabel},
		"auto":  {labels: "muster.sh/gang: auto", annotations: wish, dialect: kube.DialectAuto, gang: "job/train"},
		"crd": {
			labels: "scheduling.x-k8s.io/pod-group: train", version: "scheduling.x-k8s.io/v1alpha1", wishes: wish, spec: "minMember: 3",
			dialect: kube.DialectCRD, changes: all,
		},
		"crd, with wishes on its pods": {
			labels: "scheduling.x-k8s.io/pod-group: train", version: "scheduling.x-k8s.io/v1alpha1", annotations: wish, spec: "minMember: 3",
			dialect: kube.DialectCRD, changes: []explain.ChangeKind{explain.ChangeFewerPods},
		},
		"koordinator": {
			annotations: `gang.scheduling.koordinator.sh/name: train, gang.scheduling.koordinator.sh/min-available: "3",
        gang.scheduling.koordinator.sh/network-topology-spec: '{"gatherStrategy":[{"layer":"RackLayer","strategy":"MustGather"}]}'`,
			dialect: "koordinator",
			settings: map[explain.ChangeKind]string{
				explain.ChangePreferredLevel: "muster.sh/topology-preferred: rack in place of gang.scheduling.koordinator.sh/network-topology-spec",
				explain.ChangeFewerPods:      `gang.scheduling.koordinator.sh/min-available: "2"`,
			},
		},
		"koordinator's PodGroup": {
			labels: "pod-group.scheduling.sigs.k8s.io: train", version: "scheduling.sigs.k8s.io/v1alpha1", spec: "minMember: 3",
			wishes:  `gang.scheduling.koordinator.sh/network-topology-spec: '{"gatherStrategy":[{"layer":"RackLayer","strategy":"MustGather"}]}'`,
			dialect: kube.DialectCRD, changes: all,
		},
		"native": {
			version: "scheduling.k8s.io/v1beta1", wishes: wish, spec: "schedulingPolicy: {gang: {minCount: 3}}",
			dialect: kube.DialectNative, changes: []explain.ChangeKind{explain.ChangeWiderLevel, explain.ChangePreferredLevel},
		},
		"volcano": {
			annotations: "scheduling.k8s.io/group-name: train", version: "scheduling.volcano.sh/v1beta1",
			spec:    "minMember: 3\n  networkTopology: {mode: hard, highestTierAllowed: 1}",
			dialect: "volcano", changes: all,
		},
		"kai": {
			annotations: "pod-group-name: train", version: "scheduling.run.ai/v2alpha2",
			spec:    "minMember: 3\n  topologyConstraint: {requiredTopologyLevel: " + rackKey + "}",
			dialect: "kai", changes: all,
		},
		"kai, by annotation": {
			annotations: "pod-group-name: train", version: "scheduling.run.ai/v2alpha2",
			wishes: "kai.scheduler/topology-required-placement: " + rackKey, spec: "minMember: 3",
			dialect: "kai", changes: all,
		},
		"grove": {
			labels: "grove.io/podgang: train, grove.io/podclique: worker", version: "scheduler.grove.io/v1alpha1", kind: "PodGang",
			spec:    "podgroups: [{name: worker, minReplicas: 3, podReferences: []}]\n  topologyConstraint: {packConstraint: {required: " + rackKey + "}}",
			dialect: "grove", changes: []explain.ChangeKind{explain.ChangeWiderLevel}, proposed: 2,
			settings: map[explain.ChangeKind]string{
				explain.ChangePreferredLevel: "muster.sh/topology-preferred: rack in place of spec.topologyConstraint.packConstraint.required",
			},
		},
		"kueue": {
			labels:      "kueue.x-k8s.io/pod-group-name: train",
			annotations: `kueue.x-k8s.io/pod-group-total-count: "3", kueue.x-k8s.io/podset-required-topology: ` + rackKey,
			dialect:     "kueue",
			settings: map[explain.ChangeKind]string{
				explain.ChangeWiderLevel:     "muster.sh/topology-required: block",
				explain.ChangePreferredLevel: "muster.sh/topology-preferred: rack in place of kueue.x-k8s.io/podset-required-topology",
				explain.ChangeFewerPods:      `kueue.x-k8s.io/pod-group-total-count: "2", and no more pods than that`,
			},
		},
	}
}

// manifest is the group object and a Job of three pods.
func (d declared) manifest() string {
	group, member := "", ""
	if d.version != "" {
		group = fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: train, namespace: default, annotations: {%s}}\nspec:\n  %s\n---\n",
			d.version, cmp.Or(d.kind, "PodGroup"), d.wishes, d.spec)
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
			t.Cleanup(func() { l.removePods(t) })
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
				e = explain.Explanation{}
				return errs == "" && json.Unmarshal([]byte(out), &e) == nil && e.Pods == 3
			}, patience, pollPause)
			assert.Equal(t, want, e.Name)
			assert.Equal(t, d.dialect, e.Dialect)
			assert.Equal(t, 3, e.MinCount)
			assert.Equal(t, kube.GangTooLarge, e.Reason, e.Message)
			var changes []explain.ChangeKind
			for _, c := range e.Changes {
				assert.Contains(t, c.Setting, d.settings[c.Kind])
				if c.Command != "" {
					changes = append(changes, c.Kind)
					l.follow(t, d, c.Command)
				}
			}
			assert.Equal(t, d.changes, changes, "%+v", e.Changes)
			assert.Len(t, e.Changes, cmp.Or(d.proposed, 3), "%+v", e.Changes)

			dir := t.TempDir() + "/report"
			_, _, errs := l.muster(t, "snapshot", dir)
			require.Empty(t, errs)
			assert.Equal(t, l.statuses(t), l.statuses(t, "--snapshot", dir))
		})
	}
}

// follow does what the command proposes, sees that the gang then fits, and undoes
// it.
func (l *live) follow(t *testing.T, d declared, command string) {
	t.Helper()
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	version, err := schema.ParseGroupVersion(d.version)
	require.NoError(t, err)
	resource, patch := mergePatch(t, command)
	plural := strings.ToLower(cmp.Or(d.kind, "PodGroup")) + "s"
	require.Equal(t, plural+"."+version.Group, resource, command)
	objects := client.Resource(version.WithResource(plural)).Namespace("default")
	before, err := objects.Get(t.Context(), "train", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = objects.Patch(t.Context(), "train", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err, command)
	_, e := l.explain(t, "train")
	assert.Equal(t, explain.ReasonFitsNow, e.Reason, "after %s: %s", command, e.Message)

	now, err := objects.Get(t.Context(), "train", metav1.GetOptions{})
	require.NoError(t, err)
	before.SetResourceVersion(now.GetResourceVersion())
	_, err = objects.Update(t.Context(), before, metav1.UpdateOptions{})
	require.NoError(t, err)
}

var (
	annotates = regexp.MustCompile(`^kubectl -n default annotate --overwrite (\S+) train (.*)$`)
	patches   = regexp.MustCompile(`^kubectl -n default patch (\S+) train --type merge -p '(.*)'$`)
)

// mergePatch is what kubectl makes of a command.
func mergePatch(t *testing.T, command string) (resource string, patch []byte) {
	t.Helper()
	if m := patches.FindStringSubmatch(command); m != nil {
		return m[1], []byte(m[2])
	}
	m := annotates.FindStringSubmatch(command)
	require.NotNil(t, m, command)
	annotations := map[string]any{}
	for word := range strings.FieldsSeq(m[2]) {
		key, value, set := strings.Cut(word, "=")
		if annotations[key] = value; !set {
			delete(annotations, key)
			annotations[strings.TrimSuffix(key, "-")] = nil
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	require.NoError(t, err)
	return m[1], patch
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

// TestLive_TakenAdviceOnPods writes what is proposed for gangs that stand on pods
// into the template, and creates the Job again.
func TestLive_TakenAdviceOnPods(t *testing.T) {
	l := startLive(t, func(o *sandbox.Options) { o.DisableControllers = false })
	l.rack(t, "r1", "n1", "n2")
	l.rack(t, "r2", "n3", "n4")
	const koord, count = "gang.scheduling.koordinator.sh/name: train", `gang.scheduling.koordinator.sh/min-available: "%d"`
	const layers = `gang.scheduling.koordinator.sh/network-topology-spec: '{"gatherStrategy":[{"layer":"RackLayer","strategy":"MustGather"}]}'`
	const total, rack = `kueue.x-k8s.io/pod-group-total-count: "3"`, "kueue.x-k8s.io/podset-required-topology: topology.kubernetes.io/rack"
	for name, annotations := range map[string][]string{
		"koordinator, wider":     {koord, fmt.Sprintf(count, 3), layers, "muster.sh/topology-required: block"},
		"koordinator, preferred": {koord, fmt.Sprintf(count, 3), "muster.sh/topology-preferred: rack"},
		"koordinator, fewer":     {koord, fmt.Sprintf(count, 2), layers},
		"kueue, wider":           {total, rack, "muster.sh/topology-required: block"},
		"kueue, preferred":       {total, "muster.sh/topology-preferred: rack"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { l.removePods(t) })
			d := declared{annotations: strings.Join(annotations, ", ")}
			if strings.HasPrefix(name, "kueue") {
				d.labels = "kueue.x-k8s.io/pod-group-name: train"
			}
			for _, created := range l.apply(t, d.manifest()) {
				t.Cleanup(func() { created.remove(t) })
			}
			var e explain.Explanation
			require.Eventually(t, func() bool {
				_, out, _ := l.muster(t, "explain", "train", "-o", "json")
				e = explain.Explanation{}
				return json.Unmarshal([]byte(out), &e) == nil && e.Pods == 3
			}, patience, pollPause)
			assert.Equal(t, explain.ReasonFitsNow, e.Reason, e.Message)
		})
	}
}

// removePods deletes all pods until none comes back.
func (l *live) removePods(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	require.Eventually(t, func() bool { // the Job controller may create one more
		pods, err := l.Client().CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		_ = l.Client().CoreV1().Pods("default").DeleteCollection(ctx, atOnce, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 0
	}, patience, pollPause)
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
