// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/utils/ptr"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/workload"
	"github.com/muster-scheduler/muster/test/process"
)

// unusedOnPurpose are the permissions that this test does not see in use, and
// what they are for.
var unusedOnPurpose = map[string]string{
	"patch /events":                                 "an event that is repeated; leader election is the only writer here",
	"patch events.k8s.io/events":                    "an event that is repeated within minutes",
	"delete resource.k8s.io/resourceclaims":         "a pod that loses its node after a claim was made for it",
	"patch resource.k8s.io/resourceclaims/status":   "a pod that loses its node after its claim was reserved",
	"update resource.k8s.io/resourceclaims/binding": "asked for by the API server when a claim's status is updated",
	"patch resource.k8s.io/resourceclaims/binding":  "asked for by the API server when a claim's status is patched",
}

// gangs are the example files and the Jobs in them.
var gangs = []struct{ file, job string }{
	{"gang-job.yaml", "train"},
	{"podgroup-job.yaml", "train-podgroup"},
	{"native-job.yaml", "train-native"},
}

// TestTheServiceAccountCanDoAllOfTheWorkAndNoMore runs the real scheduler with
// nothing but what the manifests give it, and held by the policy, through every kind of work there is.
// It is held to one namespace, as docs/install.md shows: what is enough there
// is enough everywhere, since permissions only ever add up.
func TestTheServiceAccountCanDoAllOfTheWorkAndNoMore(t *testing.T) {
	c := newCluster(t)
	require.NoError(t, c.admitReplica(), "the API server takes the Deployment's pods")
	c.serveOnly(metav1.NamespaceDefault)
	c.awaitSchema(name)
	c.awaitPolicy()
	for _, rack := range []string{"a", "b", "c"} {
		c.addRack(rack)
	}
	binary := process.BuildScheduler(t)
	leader := c.startReplica(binary)
	c.eventually(func() bool { return c.holder() != "" }, "the replica leads")
	for _, gang := range gangs {
		c.gangRuns(gang.file, gang.job)
	}
	for _, gang := range gangs {
		c.gangIsRefused(gang.file, strings.Replace(gang.job, "train", "late", 1))
	}
	c.everyKindOfGroupIsServed()
	c.groupOfGroupsRuns()
	c.workloadIsAGang()
	c.higherPriorityPreempts()
	c.volumesAreBound()
	c.devicesAreAllocated()
	c.partialGangIsReleased()
	c.metricsAreForThoseAllowed(leader)
	c.anotherReplicaTakesOver(leader, c.startReplica(binary))

	assert.Empty(t, c.refusals())
	c.everyPermissionIsUsed()
	c.requestsFallUnderTheirFlowSchemas()
	c.policyRefusesTheRest()
}

// everyKindOfGroupIsServed runs a gang of one pod with a group object of each
// kind whose CRD the end-to-end tests have.
func (c *cluster) everyKindOfGroupIsServed() {
	c.t.Helper()
	files, err := filepath.Glob("../e2e/testdata/crds/*.yaml")
	require.NoError(c.t, err)
	require.Len(c.t, files, 4)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(c.t, err)
		c.applyText(string(text))
	}
	for name, kind := range map[string][2]string{
		"volcano":     {"scheduling.volcano.sh/v1beta1", "annotations: {scheduling.k8s.io/group-name: volcano}"},
		"kai":         {"scheduling.run.ai/v2alpha2", "annotations: {pod-group-name: kai}"},
		"koordinator": {"scheduling.sigs.k8s.io/v1alpha1", "labels: {pod-group.scheduling.sigs.k8s.io: koordinator}"},
		"grove":       {"scheduler.grove.io/v1alpha1", "labels: {grove.io/podgang: grove, grove.io/podclique: worker}"},
	} {
		group := fmt.Sprintf("apiVersion: %s\nkind: PodGroup\nmetadata: {name: %s}\nspec: {minMember: 1}\n", kind[0], name)
		if name == "grove" {
			group = fmt.Sprintf("apiVersion: %s\nkind: PodGang\nmetadata: {name: %s}\nspec: {podgroups: [{name: worker, minReplicas: 1, podReferences: []}]}\n", kind[0], name)
		}
		c.eventually(func() bool { return c.served(kind[0]) }, "%s is served", kind[0])
		c.applyText(group)
		c.applyText(fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, %s}\nspec: {schedulerName: muster, containers: [{name: c, image: none}]}\n", name, kind[1]))
		c.eventually(func() bool {
			pod, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).Get(c.t.Context(), name, metav1.GetOptions{})
			return err == nil && pod.Spec.NodeName != ""
		}, "the pod of a gang of %s has a node", name)
	}
}

// groupOfGroupsRuns runs a PodGroup under a CompositePodGroup, and waits until both
// say so.
func (c *cluster) groupOfGroupsRuns() {
	c.t.Helper()
	c.applyText(c.testdata("composite"))
	for resource, kind := range map[string]string{"podgroups": "PodGroupInitiallyScheduled", "compositepodgroups": "CompositePodGroupInitiallyScheduled"} {
		version := map[string]string{"podgroups": "v1beta1", "compositepodgroups": "v1alpha3"}[resource]
		c.eventually(func() bool {
			group, err := c.dynamic.Resource(schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: version, Resource: resource}).
				Namespace(metav1.NamespaceDefault).Get(c.t.Context(), "composite", metav1.GetOptions{})
			require.NoError(c.t, err)
			conditions, _, _ := unstructured.NestedSlice(group.Object, "status", "conditions")
			return slices.ContainsFunc(conditions, func(one any) bool {
				condition, _ := one.(map[string]any)
				return condition["type"] == kind && condition["status"] == "True"
			})
		}, "the status of %s", resource)
	}
}

// workloadIsAGang runs a Job that is a gang without a group object.
func (c *cluster) workloadIsAGang() {
	c.t.Helper()
	c.applyText(`apiVersion: batch/v1
kind: Job
metadata: {name: auto}
spec:
  parallelism: 2
  completions: 2
  template:
    metadata: {labels: {muster.sh/gang: auto}}
    spec: {schedulerName: muster, restartPolicy: Never, containers: [{name: c, image: none}]}
`)
	c.eventually(func() bool {
		pods, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).List(c.t.Context(), metav1.ListOptions{LabelSelector: "job-name=auto"})
		if err != nil || len(pods.Items) != 2 {
			return false
		}
		return pods.Items[0].Spec.NodeName != "" && pods.Items[1].Spec.NodeName != ""
	}, "the pods of the job have nodes")
}

// served reports whether the API server has PodGroups of a version.
func (c *cluster) served(version string) bool {
	list, err := c.client.Discovery().ServerResourcesForGroupVersion(version)
	return err == nil && len(list.APIResources) > 0
}

// addRack creates eight nodes of eight GPUs: room for one of the example gangs.
func (c *cluster) addRack(rack string) {
	c.t.Helper()
	var nodes []*v1.Node
	for i := range 8 {
		nodes = append(nodes, sandbox.NewNode(fmt.Sprintf("%s-%d", rack, i), sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 8},
			Labels:   map[string]string{"topology.kubernetes.io/rack": rack},
		}))
	}
	require.NoError(c.t, c.box.CreateNodes(c.t.Context(), nodes))
}

// example reads one of the example gangs; its objects are called by prefix
// instead of "train".
func (c *cluster) example(file, prefix string) string {
	c.t.Helper()
	text, err := os.ReadFile(root + "/examples/" + file)
	require.NoError(c.t, err)
	return strings.ReplaceAll(string(text), "train", prefix)
}

// gangRuns applies an example and waits until it runs inside one rack.
func (c *cluster) gangRuns(file, job string) {
	c.t.Helper()
	c.applyText(c.example(file, "train"))
	selector := "job-name=" + job
	c.eventually(func() bool { return running(c.pods(selector)) == 8 }, "the gang of examples/%s runs", file)
	racks := sets.New[string]()
	for _, pod := range c.pods(selector) {
		racks.Insert(strings.Split(pod.Spec.NodeName, "-")[0])
	}
	assert.Len(c.t, racks, 1, "racks of the gang of examples/%s", file)
}

// gangIsRefused applies an example for which there is no rack left, and waits
// until its user is told.
func (c *cluster) gangIsRefused(file, job string) {
	c.t.Helper()
	c.applyText(c.example(file, "late"))
	selector := "job-name=" + job
	c.eventually(func() bool { return c.warned(job, "NoFittingDomain") }, "an event says why %s waits", job)
	c.eventually(func() bool { return explained(c.pods(selector)) == 8 }, "the pods of %s say why they wait", job)
	assert.Zero(c.t, running(c.pods(selector)))
	background := metav1.DeletePropagationBackground
	require.NoError(c.t, c.client.BatchV1().Jobs(metav1.NamespaceDefault).
		Delete(c.t.Context(), job, metav1.DeleteOptions{PropagationPolicy: &background}))
	c.eventually(func() bool { return len(c.pods(selector)) == 0 }, "the pods of %s are gone", job)
}

// warned reports whether there is a warning with a reason about an object whose
// name starts with prefix.
func (c *cluster) warned(prefix, reason string) bool {
	list, err := c.client.EventsV1().Events(metav1.NamespaceDefault).List(c.t.Context(), metav1.ListOptions{})
	require.NoError(c.t, err)
	for _, event := range list.Items {
		if event.Type == v1.EventTypeWarning && event.Reason == reason && strings.HasPrefix(event.Regarding.Name, prefix) {
			return true
		}
	}
	return false
}

// explained counts the pods whose condition carries a sentence.
func explained(pods []v1.Pod) int {
	count := 0
	for _, pod := range pods {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == v1.PodScheduled && condition.Status == v1.ConditionFalse && condition.Message != "" {
				count++
			}
		}
	}
	return count
}

func running(pods []v1.Pod) int {
	count := 0
	for _, pod := range pods {
		if pod.Status.Phase == v1.PodRunning {
			count++
		}
	}
	return count
}

func (c *cluster) higherPriorityPreempts() {
	c.t.Helper()
	require.NoError(c.t, c.box.CreateNodes(c.t.Context(), []*v1.Node{
		sandbox.NewNode("small", sandbox.NodeShape{CPU: "2", Labels: map[string]string{"example.com/role": "small"}}),
	}))
	classAndFirst, second, _ := cutLast(c.testdata("preemption"), "\n---\n")
	c.applyText(classAndFirst)
	c.eventually(func() bool { return running(c.pods("app=patient")) == 1 }, "the single pod runs")
	c.applyText(second)
	c.eventually(func() bool { return running(c.pods("app=urgent")) == 1 }, "the pod of higher priority runs")
}

func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(separator):], true
}

func (c *cluster) testdata(file string) string {
	c.t.Helper()
	text, err := os.ReadFile("testdata/" + file + ".yaml")
	require.NoError(c.t, err)
	return string(text)
}

// volumesAreBound sees the scheduler write both kinds of decision on volumes.
// No volume controller runs here: what it does first is done by the test, what
// it does last is left undone.
func (c *cluster) volumesAreBound() {
	c.t.Helper()
	c.applyText(c.testdata("volumes"))
	_, err := c.client.CoreV1().PersistentVolumes().Patch(c.t.Context(), "local", types.MergePatchType,
		[]byte(`{"status":{"phase":"Available"}}`), metav1.PatchOptions{}, "status")
	require.NoError(c.t, err)
	c.eventually(func() bool {
		volume, err := c.client.CoreV1().PersistentVolumes().Get(c.t.Context(), "local", metav1.GetOptions{})
		require.NoError(c.t, err)
		return volume.Spec.ClaimRef != nil
	}, "the local volume is given to its claim")
	c.eventually(func() bool {
		claim, err := c.client.CoreV1().PersistentVolumeClaims(metav1.NamespaceDefault).Get(c.t.Context(), "disk", metav1.GetOptions{})
		require.NoError(c.t, err)
		return claim.Annotations["volume.kubernetes.io/selected-node"] == "a-0"
	}, "the disk is asked for where the pod will run")
}

func (c *cluster) devicesAreAllocated() {
	c.t.Helper()
	c.applyText(c.testdata("devices"))
	c.eventually(func() bool {
		pods := c.pods("app=cards")
		return len(pods) == 2 && pods[0].Spec.NodeName == "a-0" && pods[1].Spec.NodeName == "a-0"
	}, "the pods with claims are bound where the devices are")
}

// partialGangIsReleased takes one node and its member from a running gang. What
// is left is evicted together, so that the gang can start as a whole.
func (c *cluster) partialGangIsReleased() {
	c.t.Helper()
	c.addRack("d")
	c.applyText(strings.Replace(c.example("gang-job.yaml", "lone"), "backoffLimit: 0", "backoffLimit: 6", 1))
	selector := "job-name=lone"
	c.eventually(func() bool { return running(c.pods(selector)) == 8 }, "the gang runs")
	first := sets.New[types.UID]()
	for _, pod := range c.pods(selector) {
		first.Insert(pod.UID)
	}
	lost := c.pods(selector)[0]
	_, err := c.client.CoreV1().Nodes().Patch(c.t.Context(), lost.Spec.NodeName, types.StrategicMergePatchType,
		[]byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	require.NoError(c.t, err)
	require.NoError(c.t, c.client.CoreV1().Pods(lost.Namespace).Delete(c.t.Context(), lost.Name, metav1.DeleteOptions{}))
	c.eventually(func() bool {
		for _, pod := range c.pods(selector) {
			if first.Has(pod.UID) {
				return false
			}
		}
		return true
	}, "the other members are evicted")
}

// metricsAreForThoseAllowed reads the metrics, which makes the scheduler ask
// the API server who is calling and whether they may.
func (c *cluster) metricsAreForThoseAllowed(r *replica) {
	c.t.Helper()
	c.applyText(c.testdata("metrics"))
	cfg, err := c.box.ServiceAccountConfig(c.t.Context(), metav1.NamespaceDefault, "monitoring")
	require.NoError(c.t, err)
	assert.Equal(c.t, http.StatusForbidden, r.ask("/metrics", ""), "metrics for nobody in particular")
	c.eventually(func() bool { return r.ask("/metrics", cfg.BearerToken) == http.StatusOK }, "monitoring reads the metrics")
}

// anotherReplicaTakesOver ends the leader as a rollout does. The other one was
// ready all along, and goes on with the work.
func (c *cluster) anotherReplicaTakesOver(leader, other *replica) {
	c.t.Helper()
	before := c.holder()
	require.NoError(c.t, leader.Terminate(), "the leader ends in order")
	c.eventually(func() bool { return c.holder() != "" && c.holder() != before }, "the other replica leads")
	assert.Equal(c.t, http.StatusOK, other.ask("/readyz", ""))
	c.applyText(c.testdata("single"))
	c.eventually(func() bool { return running(c.pods("app=single")) == 1 }, "the new leader schedules")
}

// holder is the replica that leads, "" for none.
func (c *cluster) holder() string {
	lease, err := c.client.CoordinationV1().Leases(namespace).Get(c.t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	require.NoError(c.t, err)
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

// refusals are the scheduler's requests that were answered 401 or 403, by the
// account of the ledger and by that of the API server.
func (c *cluster) refusals() []string {
	all := c.ledger.refusals()
	for _, refusal := range c.box.ForbiddenRequests() {
		if strings.Contains(refusal, "/pods/pending/") {
			continue // asked for by the test, to see that the policies hold
		}
		if request, its := strings.CutPrefix(refusal, serviceaccount.MakeUsername(namespace, name)+" "); its {
			all.Insert("403 " + request)
		}
	}
	return sets.List(all)
}

func (c *cluster) everyPermissionIsUsed() {
	c.t.Helper()
	var rules []rbacv1.PolicyRule
	for _, object := range c.objects {
		rules = append(rules, rulesOf(object)...)
	}
	explained := slices.Collect(maps.Keys(unusedOnPurpose))
	for _, kind := range workload.SupportedKinds() { // read once a pod of theirs asks for it, and they come as CRDs
		for _, verb := range []string{"get", "list", "watch"} {
			explained = append(explained, verb+" "+kind.Group+"/"+kind.Resource)
		}
	}
	explained = slices.DeleteFunc(explained, func(p string) bool { return strings.HasSuffix(p, " batch/jobs") })
	assert.Subset(c.t, explained, c.ledger.unused(rules), "permissions that are granted, but never used")
}

func (c *cluster) requestsFallUnderTheirFlowSchemas() {
	c.t.Helper()
	lease, rest := c.schemaOf("muster-leader-election"), c.schemaOf(name)
	got := c.ledger.flows()
	assert.Contains(c.t, got, permission{"coordination.k8s.io", "leases", "update"})
	for asked, schema := range got {
		want := rest
		if asked.resource == "leases" {
			want = lease
		}
		assert.Equal(c.t, want, schema, "flow schema of %s", asked)
	}
}
