// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/muster-scheduler/muster/internal/audit"
)

const gpu = v1.ResourceName("nvidia.com/gpu")

var options = audit.Options{
	CommitWindow: 2 * time.Second,
	Levels:       map[string][]string{"rack": {"block", "rack"}},
}

func node(name, block, rack string) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for key, value := range map[string]string{"block": block, "rack": rack} {
		if value != "" {
			n.Labels[key] = value
		}
	}
	n.Status.Allocatable = v1.ResourceList{
		gpu: resource.MustParse("8"), v1.ResourceCPU: resource.MustParse("16"), v1.ResourcePods: resource.MustParse("10"),
	}
	return n
}

// pod is one step in a pod's life; change makes the next.
type pod struct{ *v1.Pod }

func newPod(name string, gpus int64) pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{}, Annotations: map[string]string{},
	}}
	p.Spec.Containers = []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI)}}}}
	return pod{p}
}

func (p pod) change(f func(*v1.Pod)) pod {
	next := p.DeepCopy()
	f(next)
	return pod{next}
}

func (p pod) gang(name string, minCount int) pod {
	return p.change(func(p *v1.Pod) {
		p.Labels["muster.sh/gang"] = name
		p.Annotations["muster.sh/min-count"] = fmt.Sprint(minCount)
	})
}

func (p pod) required(word string) pod {
	return p.change(func(p *v1.Pod) { p.Annotations["muster.sh/topology-required"] = word })
}

func (p pod) on(node string) pod { return p.change(func(p *v1.Pod) { p.Spec.NodeName = node }) }

func (p pod) phase(phase v1.PodPhase, reason string) pod {
	return p.change(func(p *v1.Pod) { p.Status.Phase, p.Status.Reason = phase, reason })
}

// history is an auditor and the clock of its events.
type history struct {
	*audit.Auditor
	now time.Time
}

func begin(nodes ...*v1.Node) *history {
	h := &history{audit.NewAuditor(options), time.Unix(1000, 0)}
	if len(nodes) == 0 {
		nodes = []*v1.Node{node("n1", "b1", "r1"), node("n2", "b1", "r2")}
	}
	for _, n := range nodes {
		h.SetNode(h.now, n)
	}
	return h
}

func (h *history) after(d time.Duration) { h.now = h.now.Add(d) }

func (h *history) see(pods ...pod) {
	for _, p := range pods {
		h.SetPod(h.now, p.Pod)
	}
}

func (h *history) gone(pods ...pod) {
	for _, p := range pods {
		h.DeletePod(h.now, p.UID)
	}
}

// allocate gives a claim devices of the pool n1.
func (h *history) allocate(claim string, devices ...string) {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: claim, UID: types.UID(claim)}}
	if len(devices) > 0 {
		c.Status.Allocation = &resourceapi.AllocationResult{}
	}
	for _, device := range devices {
		result := resourceapi.DeviceRequestAllocationResult{Driver: "gpus", Pool: "n1", Device: device}
		if device == "shared" {
			result.ShareID = new(types.UID(claim))
		}
		c.Status.Allocation.Devices.Results = append(c.Status.Allocation.Devices.Results, result)
	}
	h.SetClaim(h.now, c)
}

func (h *history) report() audit.Report { return h.Report(h.now) }

// TestBook tells stories in which a promise is broken or just kept.
func TestBook(t *testing.T) {
	a, b, c := newPod("a", 5), newPod("b", 3), newPod("c", 1)
	ga, gb := newPod("ga", 4).gang("g", 2), newPod("gb", 4).gang("g", 2)
	ra, rb := ga.required("rack"), gb.required("rack")
	for _, tc := range []struct {
		name string
		tell func(h *history)
		want string // the one violation, "" for none
	}{
		{"a node may be filled to the brim", func(h *history) { h.see(a.on("n1"), b.on("n1")) }, ""},
		{"one GPU too many is an overcommit", func(h *history) {
			h.see(a.on("n1"), b.on("n1"), c.on("n1"))
		}, "NoOvercommit: pod ns/c: node n1 has 8 of nvidia.com/gpu, its pods ask for 9"},
		{"a resource that the node lacks is an overcommit", func(h *history) {
			h.see(a.change(func(p *v1.Pod) {
				p.Spec.Containers[0].Resources.Requests = v1.ResourceList{"nvidia.com/mig-1g.5gb": resource.MustParse("1")}
			}).on("n1"))
		}, "NoOvercommit: pod ns/a: node n1 has 0 of nvidia.com/mig-1g.5gb, its pods ask for 1"},
		{"a resource from a claim is none of the node's", func(h *history) {
			h.see(newPod("d", 9).change(func(p *v1.Pod) {
				p.Status.ExtendedResourceClaimStatus = &v1.PodExtendedResourceClaimStatus{
					RequestMappings: []v1.ContainerExtendedResourceRequest{{ResourceName: string(gpu)}},
				}
			}).on("n1"))
		}, ""},
		{"two claims with one device are an overcommit", func(h *history) {
			h.allocate("x", "gpu-0", "gpu-1")
			h.allocate("y", "gpu-1")
		}, "NoOvercommit: claim ns/y: device gpu-1 of pool n1 is allocated to claim ns/x"},
		{"a device is free when its claim gives it up, or goes", func(h *history) {
			h.allocate("x", "gpu-0")
			h.allocate("x")
			h.allocate("y", "gpu-0")
			h.DeleteClaim("y")
			h.allocate("x", "gpu-0")
			h.allocate("x", "gpu-0")
		}, ""},
		{"claims may share what is shared", func(h *history) {
			h.allocate("x", "shared")
			h.allocate("y", "shared")
		}, ""},
		{"pod slots run out too", func(h *history) {
			for i := range 11 {
				h.see(newPod(fmt.Sprint("p", i), 0).on("n1"))
			}
		}, "NoOvercommit: pod ns/p10: node n1 has 10 of pods, its pods ask for 11"},
		{"a pod that ended has left its room", func(h *history) {
			h.see(a.on("n1"), b.on("n1"), b.on("n1").phase(v1.PodSucceeded, ""), c.on("n1"))
		}, ""},
		{"a deleted pod has left its room", func(h *history) {
			h.see(a.on("n1"), b.on("n1"))
			h.gone(b)
			h.see(c.on("n1"))
		}, ""},
		{"a node that shrinks below its pods is not the scheduler's doing", func(h *history) {
			h.see(a.on("n1"), b.on("n1"))
			small := node("n1", "b1", "r1")
			small.Status.Allocatable[gpu] = resource.MustParse("2")
			h.SetNode(h.now, small)
		}, ""},
		{"a node that shows up late is checked then", func(h *history) {
			h.see(a.on("n3"), b.on("n3"), c.on("n3"))
			h.SetNode(h.now, node("n3", "b1", "r1"))
		}, "NoOvercommit: the pods found there: node n3 has 8 of nvidia.com/gpu, its pods ask for 9"},

		{"a gang may take the commit window to bind", func(h *history) {
			h.see(ga.on("n1"))
			h.after(2 * time.Second)
			h.see(gb.on("n2"))
		}, ""},
		{"a gang that binds for too long is partly started", func(h *history) {
			h.see(ga.on("n1"))
			h.after(2*time.Second + time.Millisecond)
			h.see(gb.on("n2"))
		}, "GangAtomic: gang ns/g was partly bound for 2.001s, allowed are 2s"},
		{"a gang that gives its member up too late was partly started", func(h *history) {
			h.see(ga.on("n1"))
			h.after(5 * time.Second)
			h.gone(ga)
		}, "GangAtomic: gang ns/g was partly bound for 5s, allowed are 2s"},
		{"a member that the kubelet refused does not count", func(h *history) {
			h.see(ga.on("n1"), ga.on("n1").phase(v1.PodFailed, "OutOfnvidia.com/gpu"), gb.on("n2"))
			h.after(3 * time.Second)
			h.gone(gb)
		}, "GangAtomic: gang ns/g was partly bound for 3s, allowed are 2s"},
		{"a whole gang may end member by member", func(h *history) {
			h.see(ga.on("n1"), gb.on("n2"))
			h.gone(ga)
			h.after(time.Minute)
			h.gone(gb)
		}, ""},
		{"a gang of the same name starts anew once the first is gone", func(h *history) {
			h.see(ga.on("n1"), gb.on("n2"))
			h.gone(ga, gb)
			again := newPod("again", 1).gang("g", 2).on("n1")
			h.see(again)
			h.after(3 * time.Second)
			h.gone(again)
		}, "GangAtomic: gang ns/g was partly bound for 3s, allowed are 2s"},
		{"a gang of one is never partial", func(h *history) {
			h.see(newPod("solo", 1).gang("solo", 1).on("n1"))
			h.after(time.Minute)
		}, ""},
		{"a min-count that is no number makes no gang", func(h *history) {
			h.see(ga.change(func(p *v1.Pod) { p.Annotations["muster.sh/min-count"] = "lots" }).on("n1"))
			h.after(time.Minute)
		}, ""},

		{"a gang in the rack that it requires", func(h *history) { h.see(ra.on("n1"), rb.on("n1")) }, ""},
		{"a gang in two racks", func(h *history) {
			h.see(ra.on("n1"), rb.on("n2"))
		}, "RequiredTopology: gang ns/g requires one rack; it stands in b1/r1, and pod ns/gb on node n2 of b1/r2"},
		{"racks of one name below two blocks are two racks", func(h *history) {
			h.SetNode(h.now, node("n3", "b2", "r1"))
			h.see(ra.on("n1"), rb.on("n3"))
		}, "RequiredTopology: gang ns/g requires one rack; it stands in b1/r1, and pod ns/gb on node n3 of b2/r1"},
		{"a node outside any rack", func(h *history) {
			h.SetNode(h.now, node("n3", "b1", ""))
			h.see(ra.on("n3"), rb.on("n3").phase(v1.PodFailed, ""))
			h.gone(ra)
		}, "RequiredTopology: gang ns/g requires one rack; pod ns/ga is on node n3, which is in none"},
		{"a label key is a level too", func(h *history) {
			h.see(ga.required("block").on("n1"), gb.required("block").on("n2"))
		}, ""},

		{"a pod stays where it is", func(h *history) {
			h.see(a.on("n1"), a.on("n2"))
		}, `BindOnce: pod ns/a moved from node n1 to "n2"`},
		{"a pod that is being deleted gets no node", func(h *history) {
			dying := a.change(func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{} })
			h.see(dying, dying.on("n1"))
		}, "BindOnce: pod ns/a got node n1 while it was being deleted"},
		{"a gated pod gets no node", func(h *history) {
			h.see(a.change(func(p *v1.Pod) { p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "x"}} }), a.on("n1"))
		}, "BindOnce: pod ns/a got node n1 while it was gated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := begin()
			tc.tell(h)
			r := h.report()
			var got []string
			for _, v := range r.First {
				got = append(got, fmt.Sprintf("%s: %s", v.Rule, v.What))
				assert.Equal(t, 1, r.Violations[v.Rule])
			}
			if tc.want == "" {
				assert.Empty(t, got)
				assert.Zero(t, r.Partial)
				return
			}
			assert.Equal(t, []string{tc.want}, got)
		})
	}
}

func TestBook_ReportsGangsThatArePartlyBoundNow(t *testing.T) {
	h := begin()
	h.see(newPod("a", 1).gang("g", 2).on("n1"))
	h.after(time.Second)
	assert.Equal(t, time.Second, h.report().Longest)
	assert.Empty(t, h.report().Open, "the window is still open")

	h.after(2 * time.Second)
	r := h.report()
	assert.Equal(t, []string{"ns/g"}, r.Open)
	assert.Equal(t, 1, r.Partial)
	assert.Equal(t, "ns/g", r.LongestGang)
	assert.Equal(t, r, h.report(), "asking changes nothing")
}

func TestBook_Counts(t *testing.T) {
	h := begin()
	a := newPod("a", 1)
	failed := a.on("n1").phase(v1.PodFailed, "OutOfcpu")
	h.see(a, a.on("n1"), failed, failed)
	h.see(newPod("b", 1).on("elsewhere"))
	r := h.report()
	assert.Equal(t, 7, r.Events, "two nodes, five pod events")
	assert.Equal(t, 2, r.Binds)
	assert.Equal(t, 1, r.Rejected, "a refusal counts once")
	assert.Equal(t, 1, r.Unchecked, "node elsewhere is unknown")
}

func TestBook_AddsUpRequestsAsKubeletsDo(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	container := func(cpu string, policy *v1.ContainerRestartPolicy) v1.Container {
		return v1.Container{RestartPolicy: policy, Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}}}
	}
	for _, tc := range []struct {
		name string
		edit func(*v1.PodSpec)
		want int64 // milli-cores
	}{
		{"containers add up", func(s *v1.PodSpec) {
			s.Containers = []v1.Container{container("1", nil), container("500m", nil)}
		}, 1500},
		{"initialization counts when it needs more", func(s *v1.PodSpec) {
			s.InitContainers = []v1.Container{container("3", nil), container("2", nil)}
			s.Containers = []v1.Container{container("1", nil)}
		}, 3000},
		{"a sidecar runs beside all that follow it", func(s *v1.PodSpec) {
			s.InitContainers = []v1.Container{container("1", &always), container("3", nil)}
			s.Containers = []v1.Container{container("2", nil)}
		}, 4000},
		{"overhead comes on top", func(s *v1.PodSpec) {
			s.Containers = []v1.Container{container("1", nil)}
			s.Overhead = v1.ResourceList{v1.ResourceCPU: resource.MustParse("250m")}
		}, 1250},
		{"a request of the whole pod takes their place", func(s *v1.PodSpec) {
			s.Containers = []v1.Container{container("1", nil)}
			s.Resources = &v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("2")}}
		}, 2000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod("p", 0).change(func(p *v1.Pod) { tc.edit(&p.Spec) }).on("n1")
			fits, tight := node("n1", "", ""), node("n1", "", "")
			fits.Status.Allocatable[v1.ResourceCPU] = *resource.NewMilliQuantity(tc.want, resource.DecimalSI)
			tight.Status.Allocatable[v1.ResourceCPU] = *resource.NewMilliQuantity(tc.want-1, resource.DecimalSI)
			for n, want := range map[*v1.Node]int{fits: 0, tight: 1} {
				h := begin(n)
				h.see(p)
				assert.Equal(t, want, h.report().Violations[audit.NoOvercommit])
			}
		})
	}
}

func TestWatch(t *testing.T) {
	client := fake.NewClientset(node("n1", "b1", "r1"), newPod("a", 5).on("n1").Pod)
	auditor, err := audit.WatchCluster(t.Context(), client, options)
	require.NoError(t, err)
	assert.Equal(t, 1, auditor.Report(time.Now()).Binds, "what was there has been read")

	_, err = client.CoreV1().Pods("ns").Create(t.Context(), newPod("b", 5).on("n1").Pod, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return auditor.Report(time.Now()).Violations[audit.NoOvercommit] == 1 }, 30*time.Second, 5*time.Millisecond)

	require.NoError(t, client.CoreV1().Pods("ns").Delete(t.Context(), "b", metav1.DeleteOptions{}))
	require.NoError(t, client.CoreV1().Nodes().Delete(t.Context(), "n1", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return auditor.Report(time.Now()).Events == 5 }, 30*time.Second, 5*time.Millisecond)
}
