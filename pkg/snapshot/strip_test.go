// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/snapshot"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const secret = "s3cr3t"

func fullPod() *v1.Pod {
	amounts := v1.ResourceList{v1.ResourceCPU: resource.MustParse("2"), "nvidia.com/gpu": resource.MustParse("1")}
	container := v1.Container{
		Name: "worker", Image: secret, Command: []string{secret}, Args: []string{secret}, WorkingDir: secret,
		Env:       []v1.EnvVar{{Name: "TOKEN", Value: secret}},
		EnvFrom:   []v1.EnvFromSource{{SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: secret}}}},
		Resources: v1.ResourceRequirements{Requests: amounts, Limits: amounts},
		Ports:     []v1.ContainerPort{{ContainerPort: 80, Name: secret}},
		Lifecycle: &v1.Lifecycle{PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{secret}}}},
	}
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "train-3", Namespace: "default", UID: "u", Labels: map[string]string{kube.LabelGang: "train"},
			Annotations: map[string]string{
				kube.AnnotationMinCount: "1", "batch.kubernetes.io/job-completion-index": "3", "example.com/token": secret,
				"kubectl.kubernetes.io/last-applied-configuration": secret, "notmuster.sh/x": secret,
			},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: secret}},
		},
		Spec: v1.PodSpec{
			SchedulerName: "muster", ServiceAccountName: secret, Hostname: secret, ImagePullSecrets: []v1.LocalObjectReference{{Name: secret}},
			NodeSelector: map[string]string{"pool": "big"}, Tolerations: []v1.Toleration{{Key: "team", Operator: v1.TolerationOpExists}},
			Containers: []v1.Container{container}, InitContainers: []v1.Container{container},
			EphemeralContainers: []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "x", Image: secret}}},
			Volumes:             []v1.Volume{{Name: secret, VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: secret}}}},
			Overhead:            v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m")},
		},
		Status: v1.PodStatus{Message: secret, PodIP: secret, Conditions: []v1.PodCondition{{Type: v1.PodScheduled, Message: secret}}},
	}
}

// TestStrip_ChangesNoPlan: the scheduler sees in a stripped pod what it sees in
// the whole one.
func TestStrip_ChangesNoPlan(t *testing.T) {
	for name, change := range map[string]func(*v1.Pod){
		"as it is":        func(*v1.Pod) {},
		"pod affinity":    func(p *v1.Pod) { p.Spec.Affinity = affinity() },
		"topology spread": func(p *v1.Pod) { p.Spec.TopologySpreadConstraints = spread() },
		"resource claims": func(p *v1.Pod) { p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "c"}} },
		"host ports":      func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].HostPort = 80; p.Spec.Containers[0].Ports[0].Name = "" },
		"a volume claim": func(p *v1.Pod) {
			p.Spec.Volumes[0] = v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}
		},
		"an ephemeral volume": func(p *v1.Pod) {
			p.Spec.Volumes[0] = v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}}
		},
		"a CSI volume": func(p *v1.Pod) {
			p.Spec.Volumes[0] = v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{CSI: &v1.CSIVolumeSource{Driver: "d", VolumeAttributes: map[string]string{"x": secret}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := fullPod()
			change(pod)
			stripped := snapshot.StripPod(pod)
			text, err := json.Marshal(stripped)
			require.NoError(t, err)
			assert.NotContains(t, string(text), secret)
			assert.Equal(t, members(t, pod), members(t, stripped))
		})
	}
}

// A pod that is being resized takes from its node what the scheduler counts for it.
func TestStrip_KeepsWhatAPodHasWhileItIsResized(t *testing.T) {
	cpu := func(text string) v1.ResourceList { return v1.ResourceList{v1.ResourceCPU: resource.MustParse(text)} }
	for name, c := range map[string]struct {
		status   v1.PodStatus
		requests string
		statuses int
	}{
		"as it asks": {v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "worker", Image: secret, AllocatedResources: cpu("8"),
			Resources: &v1.ResourceRequirements{Requests: cpu("8")}}}}, "8250m", 0},
		"it has more than it asks for": {v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "worker", Image: secret, AllocatedResources: cpu("40"),
			Resources: &v1.ResourceRequirements{Requests: cpu("40"), Limits: cpu("90")}}}}, "40250m", 1},
		"it was given less, and has not given back": {v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "worker", AllocatedResources: cpu("8"),
			Resources: &v1.ResourceRequirements{Requests: cpu("40")}}}}, "40250m", 1},
		"its node can never give what it asks for": {v1.PodStatus{
			ContainerStatuses: []v1.ContainerStatus{{Name: "worker", AllocatedResources: cpu("2"), Resources: &v1.ResourceRequirements{Requests: cpu("2")}}},
			Conditions:        []v1.PodCondition{{Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: v1.PodReasonInfeasible, Message: secret}},
		}, "2250m", 1},
	} {
		t.Run(name, func(t *testing.T) {
			pod := fullPod()
			pod.Spec.InitContainers, pod.Spec.Containers[0].Resources = nil, v1.ResourceRequirements{Requests: cpu("8")}
			pod.Spec.NodeName, pod.Status = "n1", c.status
			stripped := snapshot.StripPod(pod)
			for what, p := range map[string]*v1.Pod{"the pod": pod, "what is kept": stripped} {
				node := framework.NewNodeInfo()
				node.AddPod(p)
				want := resource.MustParse(c.requests)
				assert.Equal(t, want.MilliValue(), node.Requested.MilliCPU, what)
			}
			assert.Len(t, stripped.Status.ContainerStatuses, c.statuses)
			text, err := json.Marshal(stripped)
			require.NoError(t, err)
			assert.NotContains(t, string(text), secret)
		})
	}
}

func affinity() *v1.Affinity {
	term := v1.PodAffinityTerm{TopologyKey: v1.LabelHostname, LabelSelector: &metav1.LabelSelector{}}
	return &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{term}}}
}

func spread() []v1.TopologySpreadConstraint {
	return []v1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: v1.LabelHostname, WhenUnsatisfiable: v1.DoNotSchedule}}
}

// members is the gang of one pod, without the pod itself.
func members(t *testing.T, pod *v1.Pod) any {
	t.Helper()
	node := framework.NewNodeInfo()
	node.SetNode(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"pool": "small"}}})
	spec := &kube.Spec{Name: "train", MinCount: 1, Required: topology.NoLevel, Preferred: topology.NoLevel}
	m, err := kube.NewCluster(kube.DefaultLevels()).ReadGang(spec, []*v1.Pod{pod}, nil, []fwk.NodeInfo{node})
	require.NoError(t, err)
	return []any{m.Gang, m.Unmodelled, m.EquivalenceClass(), store.Objects{}.GroupOf(pod)}
}

func TestLoad_SaysWhatIsWrong(t *testing.T) {
	const node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n"
	const pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
	for _, test := range []struct{ name, text, want string }{
		{"a node twice", node + "---\n" + node, "the snapshot holds node n1 twice"},
		{"a pod twice", node + pod + pod, "the snapshot holds pod default/p twice"},
		{"no nodes", pod, "holds no nodes"},
		{"a quantity that is none", node + "status: {allocatable: {cpu: lots}}", "objects.yaml: "},
		{"a header of another time", node + "---\napiVersion: muster.sh/v1alpha1\nkind: Snapshot\nlayers: []", `unknown field "layers"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "objects.yaml"), []byte(test.text), 0o600))
			_, err := snapshot.LoadFolder(dir)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
