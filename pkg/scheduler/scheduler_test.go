// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/scheduler"
	"github.com/muster-scheduler/muster/test/process"
)

// TestMain lets the test binary be the scheduler too: feature gates belong to a
// process, and those of the scheduler are not to become the API server's.
func TestMain(m *testing.M) { process.Main(m.Run) }

const patience, pause = 2 * time.Minute, 50 * time.Millisecond

var podGroups = schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}

// cluster is a control plane with the scheduler beside it.
type cluster struct {
	*testing.T
	*sandbox.Sandbox
	crds dynamic.Interface
	port int
}

func start(t *testing.T, opts sandbox.Options) *cluster {
	t.Helper()
	s, err := sandbox.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	var nodes []*v1.Node
	for i := range 4 {
		nodes = append(nodes, sandbox.Node(fmt.Sprint("n", i), sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 8},
			Labels:   map[string]string{"topology.kubernetes.io/rack": fmt.Sprint("r", i/2)},
		}))
	}
	require.NoError(t, s.CreateNodes(t.Context(), nodes))
	crds, err := dynamic.NewForConfig(s.Config())
	require.NoError(t, err)
	return &cluster{T: t, Sandbox: s, crds: crds}
}

// run starts the scheduler and returns when it is ready.
func (c *cluster) run(flags ...string) *process.Process {
	c.Helper()
	p := c.launch(append([]string{"--kubeconfig", c.Kubeconfig()}, flags...)...)
	require.Eventually(c, func() bool { return c.get("/readyz") == http.StatusOK }, patience, pause, "not ready")
	return p
}

// launch starts the scheduler.
func (c *cluster) launch(flags ...string) *process.Process {
	c.Helper()
	c.port = process.FreePorts(c, 1)[0]
	return process.Scheduler(c, append([]string{"--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", c.port), "-v=2"}, flags...)...)
}

// get asks an endpoint of the scheduler, and returns the status of the answer.
func (c *cluster) get(path string) int {
	status, _ := process.Ask(c, c.port, path, "")
	return status
}

// create makes pods for the scheduler; words are labels and annotations by
// their key, and group is spec.schedulingGroup.
func (c *cluster) create(names []string, words ...string) {
	c.Helper()
	for _, name := range names {
		p := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
			Spec: v1.PodSpec{
				SchedulerName:                 "muster",
				TerminationGracePeriodSeconds: ptr.To[int64](0),
				Containers: []v1.Container{{Name: "c", Image: "image", Resources: v1.ResourceRequirements{
					Limits: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")},
				}}},
			},
		}
		for _, word := range words {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "group":
				p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &value}
			case kube.LabelGang, kube.LabelPodGroup:
				p.Labels[key] = value
			default:
				p.Annotations[key] = value
			}
		}
		_, err := c.Client().CoreV1().Pods("default").Create(c.Context(), p, metav1.CreateOptions{})
		require.NoError(c, err)
	}
}

// sees waits until each pod is bound, or says why it is not.
func (c *cluster) sees(names []string, want string) {
	c.Helper()
	for _, name := range names {
		last := ""
		require.Eventually(c, func() bool {
			last = c.state(name)
			return strings.Contains(last, want)
		}, patience, pause, "pod %s: want %q", name, want)
	}
}

func (c *cluster) state(name string) string {
	pod, err := c.Client().CoreV1().Pods("default").Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	if pod.Spec.NodeName != "" {
		return "bound"
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == v1.PodScheduled {
			return condition.Reason + ": " + condition.Message
		}
	}
	return "nothing yet"
}

func (c *cluster) remove(names ...string) {
	c.Helper()
	for _, name := range names {
		require.NoError(c, c.Client().CoreV1().Pods("default").Delete(c.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}))
	}
}

// end lets pods succeed.
func (c *cluster) end(names ...string) {
	c.Helper()
	for _, name := range names {
		_, err := c.Client().CoreV1().Pods("default").Patch(c.Context(), name, types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status")
		require.NoError(c, err)
	}
}

func (c *cluster) podGroup(name string, minMember int64) {
	c.Helper()
	_, err := c.crds.Resource(podGroups).Namespace("default").Create(c.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"minMember": minMember},
	}}, metav1.CreateOptions{})
	require.NoError(c, err)
}

// phase is the phase of the PodGroup crd, and the number of its bound pods.
func (c *cluster) phase() string {
	u, err := c.crds.Resource(podGroups).Namespace("default").Get(c.Context(), "crd", metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	scheduled, _, _ := unstructured.NestedInt64(u.Object, "status", "scheduled")
	return fmt.Sprint(phase, " ", scheduled)
}

func TestScheduler_OnAnAPIServerWithGatesOff(t *testing.T) {
	c := start(t, sandbox.Options{})
	p := c.run()
	assert.Equal(t, http.StatusOK, c.get("/livez"))
	assert.Equal(t, http.StatusForbidden, c.get("/metrics"), "metrics are not for everybody")

	label := []string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=3", kube.AnnotationTopologyRequired + "=rack"}
	c.create([]string{"a", "b"}, label...)
	c.create([]string{"bad"}, kube.LabelGang+"=bad", kube.AnnotationMinCount+"=08")
	c.create([]string{"two"}, kube.LabelGang+"=train", kube.LabelPodGroup+"=train", kube.AnnotationMinCount+"=3")
	c.create([]string{"x", "y"}, kube.LabelPodGroup+"=crd")
	c.create([]string{"loose"})
	c.sees([]string{"loose"}, "bound")
	c.sees([]string{"a", "b"}, "GangIncomplete")
	c.sees([]string{"bad"}, `InvalidGangSpec: gang bad: annotation muster.sh/min-count: found "08"`)
	c.sees([]string{"two"}, "GangConfigConflict: pod two declares its gang more than once")
	c.sees([]string{"x", "y"}, "GangAPIUnavailable")
	c.create([]string{"c"}, label...)
	c.sees([]string{"a", "b", "c"}, "bound")

	require.NoError(t, c.InstallPodGroupCRD(t.Context()))
	c.sees([]string{"x", "y"}, "GangNotFound: ")
	c.podGroup("crd", 2)
	c.sees([]string{"x", "y"}, "bound")
	require.Eventually(t, func() bool { return c.phase() == "Running 2" }, patience, pause, "phase %s", c.phase())
	c.end("x", "y")
	require.Eventually(t, func() bool { return c.phase() == "Finished 0" }, patience, pause, "phase %s", c.phase())
	assert.Contains(t, c.state("bad"), "InvalidGangSpec", "it never runs on its own")
	assert.Contains(t, c.state("two"), "GangConfigConflict")
	assert.NotRegexp(t, `(?m)^E\d+ .*`, p.Log(), "no error is logged where none happened")

	assert.NoError(t, p.Terminate(), "it was asked to stop")
}

func TestScheduler_NativeGroups(t *testing.T) {
	c := start(t, sandbox.Options{GenericWorkload: true})
	c.run()
	groups := c.Client().SchedulingV1beta1().PodGroups("default")
	declare := func(name string, minCount int32) {
		_, err := groups.Create(t.Context(), &schedulingapi.PodGroup{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       schedulingapi.PodGroupSpec{SchedulingPolicy: schedulingapi.PodGroupSchedulingPolicy{Gang: &schedulingapi.GangSchedulingPolicy{MinCount: minCount}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	condition := func(name string) string {
		pg, err := groups.Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if c := apimeta.FindStatusCondition(pg.Status.Conditions, schedulingapi.PodGroupInitiallyScheduled); c != nil {
			return string(c.Status) + " " + c.Reason
		}
		return ""
	}
	declare("train", 2)
	declare("huge", 9)
	c.create([]string{"a", "b"}, "group=train")
	c.sees([]string{"a", "b"}, "bound")
	require.Eventually(t, func() bool { return condition("train") == "True Scheduled" }, patience, pause)

	var huge []string
	for i := range 9 {
		huge = append(huge, fmt.Sprint("huge-", i))
	}
	c.create(huge, "group=huge")
	c.sees(huge, "gang huge needs 9 pods")
	require.Eventually(t, func() bool { return strings.HasPrefix(condition("huge"), "False GangTooLarge") }, patience, pause, condition("huge"))

	// The group goes and comes again under its name, with less to ask for.
	require.NoError(t, groups.Delete(t.Context(), "huge", metav1.DeleteOptions{}))
	removeFinalizers(c, "huge")
	c.sees(huge, "GangNotFound")
	c.remove(huge[6:]...)
	declare("huge", 6)
	c.sees(huge[:6], "bound")
	require.Eventually(t, func() bool { return condition("huge") == "True Scheduled" }, patience, pause)
}

// removeFinalizers lets a group go that its pods still protect.
func removeFinalizers(c *cluster, name string) {
	c.Helper()
	groups := c.Client().SchedulingV1beta1().PodGroups("default")
	pg, err := groups.Get(c.Context(), name, metav1.GetOptions{})
	if err != nil {
		return
	}
	pg.Finalizers = nil
	_, err = groups.Update(c.Context(), pg, metav1.UpdateOptions{})
	require.NoError(c, err)
}

func TestScheduler_LeaderElectionHandsOver(t *testing.T) {
	c := start(t, sandbox.Options{})
	elect := []string{"--leader-elect", "--leader-elect-resource-namespace=default"}
	first := c.run(elect...)
	c.create([]string{"a"}, kube.LabelGang+"=one", kube.AnnotationMinCount+"=1")
	c.sees([]string{"a"}, "bound")
	c.run(elect...)
	c.create([]string{"bad"}, kube.LabelGang+"=bad", kube.AnnotationMinCount+"=0")
	c.tellsOnce("bad")
	c.create([]string{"b"}, kube.LabelGang+"=two", kube.AnnotationMinCount+"=2")
	first.Signal(syscall.SIGTERM)
	c.create([]string{"c"}, kube.LabelGang+"=two", kube.AnnotationMinCount+"=2")
	c.sees([]string{"b", "c"}, "bound")
	lease, err := c.Client().CoordinationV1().Leases("default").Get(t.Context(), scheduler.LeaseName, metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotEmpty(t, *lease.Spec.HolderIdentity)
}

// tellsOnce checks that one replica tells a verdict, and not each of them.
func (c *cluster) tellsOnce(gang string) {
	c.Helper()
	told := func(gang string) int {
		events, err := c.Client().EventsV1().Events("default").List(c.Context(), metav1.ListOptions{FieldSelector: "reason=InvalidGangSpec"})
		require.NoError(c, err)
		n := 0
		for i := range events.Items {
			if strings.HasPrefix(events.Items[i].Note, "gang "+gang+":") {
				n++
			}
		}
		return n
	}
	require.Eventually(c, func() bool { return told(gang) > 0 }, patience, pause)
	// By the time of the next verdict every replica would have told this one.
	c.create([]string{gang + "-next"}, kube.LabelGang+"="+gang+"-next", kube.AnnotationMinCount+"=0")
	require.Eventually(c, func() bool { return told(gang+"-next") > 0 }, patience, pause)
	assert.Equal(c, 1, told(gang))
}

func TestScheduler_TellsItsVersion(t *testing.T) {
	out, err := process.Command("--version").Output()
	require.NoError(t, err)
	assert.Regexp(t, `^muster-scheduler .+, on kube-scheduler .+\n$`, string(out))
}

func TestScheduler_RefusesWhatCannotWork(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
		want  string
	}{
		{"a gate that it needs is turned off", []string{"--feature-gates=GenericWorkload=false,TopologyAwareWorkloadScheduling=false"}, "feature gate GenericWorkload is off, and gangs cannot be placed without it; leave it out of --feature-gates"},
		{"a configuration that is not there", []string{"--config=/does/not/exist"}, "no such file"},
		{"an argument", []string{"please"}, `unknown command "please"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, err := process.Command(test.flags...).CombinedOutput()
			require.Error(t, err)
			assert.Contains(t, string(out), test.want)
		})
	}
}
