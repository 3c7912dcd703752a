// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const (
	small = "nvidia.com/mig-1g.10gb"
	large = "nvidia.com/mig-3g.40gb"
)

// classes are the kinds of nodes; two of each stand in one rack.
var classes = []struct {
	name    string
	product string
	labels  map[string]string
	links   string
	offers  map[string]int64
}{
	{name: "h100", product: "NVIDIA-H100-80GB-HBM3", offers: map[string]int64{gpu.Resource: 8}},
	{name: "a100", product: "NVIDIA-A100-PCIE-40GB", links: "NV12;SYS,SYS;SYS,SYS,NV12", offers: map[string]int64{gpu.Resource: 4}},
	{name: "t4", product: "Tesla-T4", offers: map[string]int64{gpu.Resource: 4}},
	{name: "single", product: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", labels: map[string]string{"nvidia.com/mig.strategy": "single"}, offers: map[string]int64{gpu.Resource: 14}},
	{name: "mixed", product: "NVIDIA-H100-80GB-HBM3", labels: map[string]string{"nvidia.com/mig.strategy": "mixed"}, offers: map[string]int64{small: 7, large: 2}},
	{name: "shared", product: "Tesla-T4-SHARED", labels: map[string]string{gpu.ReplicasLabel: "4"}, offers: map[string]int64{gpu.Resource: 16}},
	{name: "replicas", product: "NVIDIA-L4", labels: map[string]string{gpu.ReplicasLabel: "2"}, offers: map[string]int64{gpu.Resource: 4}},
	{name: "bare", offers: map[string]int64{gpu.Resource: 2}},
	{name: "cpu"},
}

func fleet() []*v1.Node {
	var nodes []*v1.Node
	for _, class := range classes {
		for i := range 2 {
			labels := map[string]string{"topology.kubernetes.io/rack": "rack-" + class.name}
			maps.Copy(labels, class.labels)
			if class.product != "" {
				labels[gpu.ProductLabel] = class.product
			}
			n := sandbox.NewNode(fmt.Sprintf("%s-%d", class.name, i), sandbox.NodeShape{Labels: labels, Extended: class.offers})
			if class.links != "" {
				n.Annotations = map[string]string{gpu.LinksAnnotation: class.links}
			}
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// ask is what the pods of a row ask for.
type ask struct {
	// pods above 0 make a gang of that many.
	pods int
	// device and count; nvidia.com/gpu and 1 where they are left out, and no
	// device at all where count is below 0.
	device         string
	count          int64
	models, memory string
	selector       map[string]string
}

func (a ask) build() []*v1.Pod {
	pods := make([]*v1.Pod, max(1, a.pods))
	for i := range pods {
		p := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p-%d", i), Labels: map[string]string{}, Annotations: map[string]string{}},
			Spec: v1.PodSpec{
				SchedulerName: "muster", NodeSelector: a.selector, TerminationGracePeriodSeconds: new(int64),
				Containers: []v1.Container{{Name: "main", Image: "none"}},
			},
		}
		if a.pods > 0 {
			p.Labels[kube.LabelGang] = "g"
			p.Annotations[kube.AnnotationMinCount] = fmt.Sprint(a.pods)
		}
		if a.models != "" {
			p.Annotations[kube.AnnotationGPUModels] = a.models
		}
		if a.memory != "" {
			p.Annotations[kube.AnnotationGPUMemory] = a.memory
		}
		if a.count >= 0 {
			amounts := v1.ResourceList{v1.ResourceName(orElse(a.device, gpu.Resource)): *resource.NewQuantity(max(1, a.count), resource.DecimalSI)}
			p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: amounts, Limits: amounts}
		}
		pods[i] = p
	}
	return pods
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// row is an ask, and the classes of nodes that it may get, separated by "|", or
// what the refusal has to say.
type row struct {
	name    string
	ask     ask
	classes string
	refusal string
}

var product = func(value string) map[string]string { return map[string]string{gpu.ProductLabel: value} }

var rows = []row{
	{"a plain pod gets a whole GPU", ask{}, "h100|a100|t4|bare", ""},
	{"a pod without GPUs stays off GPU nodes", ask{count: -1}, "cpu", ""},
	{"a pod of eight GPUs gets a whole node", ask{count: 8}, "h100", ""},
	{"a pod of sixteen GPUs is not put on slices", ask{count: 16}, "", "each advertised several times; the pod wants whole GPUs"},
	{"a pod of fourteen GPUs is not put on MIG slices", ask{count: 14}, "", "cut into 1g.5gb; the pod wants whole GPUs"},
	{"a family", ask{models: "H100"}, "h100", ""},
	{"a family in lower case", ask{models: "h100"}, "h100", ""},
	{"a family and a form", ask{models: "A100-PCIE"}, "a100", ""},
	{"a family and its memory", ask{models: "A100-40GB"}, "a100", ""},
	{"a whole product", ask{models: "NVIDIA-A100-PCIE-40GB"}, "a100", ""},
	{"an old product with the maker's older name", ask{models: "Tesla-T4"}, "t4", ""},
	{"two linked GPUs of a PCIe card", ask{count: 2, models: "A100"}, "a100", ""},
	{"one of two families", ask{models: "B200,T4"}, "t4", ""},
	{"a family that there is not", ask{models: "B200"}, "", "the pod wants B200"},
	{"a form that there is not", ask{models: "H100-NVL"}, "", "the pod wants H100-NVL"},
	{"a family whose nodes are all cut is refused for it", ask{models: "A100-SXM"}, "", "cut into 1g.5gb; the pod wants whole GPUs"},
	{"a family whose nodes are all shared is refused for it", ask{models: "L4"}, "", "each advertised several times; the pod wants whole GPUs"},
	{"a profile of a single-strategy node by family", ask{models: "A100-MIG-1g.5gb"}, "single", ""},
	{"a profile of a single-strategy node by itself", ask{models: "MIG-1g.5gb"}, "single", ""},
	{"a profile that no node is cut into", ask{models: "MIG-2g.10gb"}, "", "the pod wants MIG-2g.10gb"},
	{"shared GPUs by family", ask{models: "T4-SHARED"}, "shared", ""},
	{"shared GPUs that only the replicas tell", ask{models: "L4-SHARED"}, "replicas", ""},
	{"slices by node selector", ask{selector: product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb")}, "single", ""},
	{"shared GPUs by node selector", ask{selector: product("Tesla-T4-SHARED")}, "shared", ""},
	{"at least 80 GB", ask{memory: ">=80Gi"}, "h100", ""},
	{"at least 40 GB", ask{memory: ">=40Gi"}, "h100|a100", ""},
	{"at least 16 GB in another spelling", ask{memory: "16GB"}, "h100|a100|t4", ""},
	{"more memory than there is", ask{memory: ">=141Gi"}, "", "the pod wants GPUs with >=141Gi"},
	{"memory and model that contradict one another", ask{models: "T4", memory: ">=40Gi"}, "", "the pod wants GPUs with >=40Gi"},
	{"memory that cannot be read", ask{memory: "a lot"}, "", "InvalidGangSpec: muster.sh/gpu-memory"},
	{"models that cannot be read", ask{models: "H100,,A100"}, "", "InvalidGangSpec: muster.sh/gpu-models"},
	{"a MIG instance by its resource", ask{device: small}, "mixed", ""},
	{"a large MIG instance by its resource", ask{device: large, count: 2}, "mixed", ""},
	{"a MIG instance with enough memory", ask{device: large, memory: ">=40Gi"}, "mixed", ""},
	{"a MIG instance with too little memory", ask{device: small, memory: ">=40Gi"}, "", "MIG instances 1g.10gb; the pod wants GPUs with >=40Gi"},
	{"a MIG instance of another model", ask{device: small, models: "A100"}, "", "the pod wants A100"},
	{"a MIG profile that no GPU has", ask{device: "nvidia.com/mig-9g.99gb"}, "", "InvalidMIGProfile: pod p-0 asks for nvidia.com/mig-9g.99gb: no GPU has this MIG profile, and no node offers it; nodes offer nvidia.com/mig-1g.10gb, nvidia.com/mig-3g.40gb"},
	{"a MIG profile that exists, but not here", ask{device: "nvidia.com/mig-2g.20gb"}, "", "Insufficient nvidia.com/mig-2g.20gb"},

	{"a gang gets whole GPUs", ask{pods: 2, count: 8}, "h100", ""},
	{"a gang of plain pods gets whole GPUs", ask{pods: 4}, "h100|a100|t4|bare", ""},
	{"a gang with a family", ask{pods: 2, count: 4, models: "T4"}, "t4", ""},
	{"a gang falls back as a whole", ask{pods: 2, count: 4, models: "B200,A100"}, "a100", ""},
	{"a gang that does not fit the first model takes the second", ask{pods: 3, count: 4, models: "A100,H100"}, "h100", ""},
	{"a gang that only slices could hold is refused", ask{pods: 2, count: 14}, "", "would hold none even if it were empty (6 nodes with GPUs shared another way; no node has 14 nvidia.com/gpu, the largest has 8)"},
	{"a gang of three whole nodes hears how many there are", ask{pods: 3, count: 8}, "", "GangTooLarge: gang g needs 3 pods; the cluster would hold 2"},
	{"a gang led to slices", ask{pods: 4, count: 7, models: "A100-MIG-1g.5gb"}, "single", ""},
	{"a gang led to shared GPUs", ask{pods: 2, count: 16, models: "T4-SHARED"}, "shared", ""},
	{"a gang with a memory floor", ask{pods: 2, memory: ">=80Gi"}, "h100", ""},
	{"a gang with more memory than there is", ask{pods: 2, memory: ">=141Gi"}, "", "GangTooLarge: gang g needs 2 pods; the cluster would hold none even if it were empty (6 nodes with GPUs shared another way, 10 with too little GPU memory, 2 without a label of their GPU memory)"},
	{"a gang with a model that no node has", ask{pods: 2, models: "B200"}, "", "GangTooLarge: gang g needs 2 pods, all on B200; no node has B200"},
	{"a gang with memory that cannot be read", ask{pods: 2, memory: "a lot"}, "", "InvalidGangSpec: gang g: muster.sh/gpu-memory"},
	{"a gang of MIG instances", ask{pods: 7, device: small, count: 2}, "", "GangTooLarge"},
	{"a gang of MIG instances that fits", ask{pods: 6, device: small, count: 2}, "mixed", ""},
	{"a gang with a MIG profile that no GPU has", ask{pods: 2, device: "nvidia.com/mig-9g.99gb"}, "", "InvalidMIGProfile: gang g: pod p-0"},
}

func TestPodsAndGangsGetTheGPUsThatTheyAskFor(t *testing.T) {
	require.GreaterOrEqual(t, len(rows), 40)
	c := newCluster(t, fleet(), "")
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			namespace := c.namespace(t)
			c.create(t, namespace, row.ask.build())
			defer c.clear(t, namespace)
			if row.refusal != "" {
				c.awaitRefusal(t, namespace, row.refusal)
				return
			}
			wanted := strings.Split(row.classes, "|")
			for pod, node := range c.awaitNodes(t, namespace) {
				class, _, _ := strings.Cut(node, "-")
				assert.True(t, slices.Contains(wanted, class), "pod %s is on %s, want %s", pod, node, row.classes)
			}
		})
	}
}

// awaitNodes waits until every pod has a node.
func (c *cluster) awaitNodes(t *testing.T, namespace string) map[string]string {
	t.Helper()
	nodes := map[string]string{}
	ok := assert.Eventually(t, func() bool {
		pods := c.pods(t, namespace)
		for _, p := range pods {
			if p.Spec.NodeName == "" {
				return false
			}
			nodes[p.Name] = p.Spec.NodeName
		}
		return len(pods) > 0
	}, patience, poll, "every pod has to get a node")
	if !ok {
		c.explain(t, namespace)
	}
	return nodes
}

// awaitRefusal waits until every pod says why it waits.
func (c *cluster) awaitRefusal(t *testing.T, namespace, words string) {
	t.Helper()
	ok := assert.Eventually(t, func() bool {
		pods := c.pods(t, namespace)
		for i := range pods {
			if pods[i].Spec.NodeName != "" || !strings.Contains(whyPending(&pods[i]), words) {
				return false
			}
		}
		return len(pods) > 0
	}, patience, poll, "every pod has to say %q", words)
	if !ok {
		c.explain(t, namespace)
	}
}

func whyPending(pod *v1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == v1.PodScheduled {
			return condition.Message
		}
	}
	return ""
}

func (c *cluster) explain(t *testing.T, namespace string) {
	t.Helper()
	for _, p := range c.pods(t, namespace) {
		t.Logf("pod %s on %q: %s", p.Name, p.Spec.NodeName, whyPending(&p))
	}
	t.FailNow()
}
