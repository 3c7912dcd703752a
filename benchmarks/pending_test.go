// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/test/process"
)

// The gangs that wait: each takes the whole cluster.
const (
	pendingNodes = 2
	pendingPods  = 16
	pendingGPU   = "nvidia.com/gpu"
	freedSlots   = 15
)

// BenchmarkPending lets many gangs wait for a cluster that has room for one at
// a time, and frees that room again and again. It reports what a freed slot
// costs the scheduler, which runs as a process of its own: MUSTER_SCHEDULER
// names its binary, else it is built.
func BenchmarkPending(b *testing.B) {
	binary := os.Getenv("MUSTER_SCHEDULER")
	if binary == "" {
		binary = process.BuildScheduler(b)
	}
	for _, gangs := range []int{125, 625} {
		b.Run(fmt.Sprintf("gangs=%d", gangs), func(b *testing.B) {
			for range b.N {
				w := newWaiting(b, binary)
				w.refuseAll(gangs)
				w.idle()
				w.freeSlots()
			}
		})
	}
}

// waiting is a cluster with room for one gang and a scheduler.
type waiting struct {
	b         *testing.B
	config    *rest.Config
	client    kubernetes.Interface
	scheduler *process.Process
}

func newWaiting(b *testing.B, binary string) *waiting {
	box, err := sandbox.Start(context.Background(), sandbox.Options{DisableControllers: true, DisableKubelets: true})
	w := &waiting{b: b}
	w.must(err)
	b.Cleanup(box.Stop)
	w.config, w.client = box.Config(), box.Client()
	var nodes []*v1.Node
	for i := range pendingNodes {
		nodes = append(nodes, sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{Extended: map[string]int64{pendingGPU: pendingPods / pendingNodes}}))
	}
	w.must(box.CreateNodes(context.Background(), nodes))
	w.scheduler = process.StartCommand(b, exec.Command(binary, "--kubeconfig="+box.KubeconfigPath(), "--leader-elect=false", "--secure-port=0", "-v=2"))
	return w
}

// refuseAll creates the gangs and waits until one runs and the others were
// told why they do not.
func (w *waiting) refuseAll(gangs int) {
	start := w.look()
	var group errgroup.Group
	group.SetLimit(16)
	for g := range gangs {
		for i := range pendingPods {
			group.Go(func() error {
				_, err := w.client.CoreV1().Pods("default").Create(context.Background(), pendingPod(g, i), metav1.CreateOptions{})
				return err
			})
		}
	}
	w.must(group.Wait())
	w.await(func() bool { return w.bound() == pendingPods && len(w.gangs("Refused gang")) >= gangs-1 })
	w.settle()
	end := w.look()
	w.b.ReportMetric((end.cpu - start.cpu).Seconds(), "refuse-cpu-s")
	w.b.ReportMetric((end.cpu-start.cpu).Seconds()/end.at.Sub(start.at).Seconds(), "refuse-cores")
	w.b.ReportMetric(float64(end.refused-start.refused)/float64(gangs-1), "refusals/gang")
	w.b.ReportMetric(float64(end.patches-start.patches)/float64(gangs*pendingPods), "refuse-patches/pod")
}

// idle watches the scheduler while nothing happens.
func (w *waiting) idle() {
	start := w.look()
	time.Sleep(10 * time.Second)
	end := w.look()
	w.b.ReportMetric((end.cpu-start.cpu).Seconds()/end.at.Sub(start.at).Seconds(), "idle-cores")
}

// freeSlots ends the gang that runs and waits for the next, again and again.
func (w *waiting) freeSlots() {
	start := w.look()
	for range freedSlots {
		pods := w.list()
		before := w.look()
		var group errgroup.Group
		group.SetLimit(4)
		for i := range pods {
			group.Go(func() error {
				return w.client.CoreV1().Pods("default").Delete(context.Background(), pods[i].Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
			})
		}
		w.must(group.Wait())
		w.await(func() bool { return w.look().planned > before.planned && w.bound() == pendingPods })
		w.settle()
	}
	end := w.look()
	w.b.ReportMetric(float64(end.planned+end.refused-start.planned-start.refused)/freedSlots, "attempts/slot")
	w.b.ReportMetric(float64(end.patches-start.patches)/freedSlots, "patches/slot")
	w.b.ReportMetric((end.cpu-start.cpu).Seconds()/freedSlots, "cpu-s/slot")
}

func pendingPod(gang, i int) *v1.Pod {
	name := fmt.Sprintf("gang-%d", gang)
	amounts := v1.ResourceList{pendingGPU: resource.MustParse("1")}
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        fmt.Sprintf("%s-%d", name, i),
			Labels:      map[string]string{kube.LabelGang: name},
			Annotations: map[string]string{kube.AnnotationMinCount: strconv.Itoa(pendingPods)},
		},
		Spec: v1.PodSpec{
			SchedulerName: "muster",
			Containers:    []v1.Container{{Name: "main", Image: "none", Resources: v1.ResourceRequirements{Requests: amounts, Limits: amounts}}},
		},
	}
}

// cost is what the scheduler has done up to a time.
type cost struct {
	at               time.Time
	cpu              time.Duration
	planned, refused int
	// patches is the number of PATCH requests for pods.
	patches int
}

func (w *waiting) look() cost {
	log := w.scheduler.Log()
	return cost{
		at: time.Now(), cpu: w.scheduler.CPUTime(), patches: w.patches(),
		planned: strings.Count(log, "Planned gang"), refused: strings.Count(log, "Refused gang"),
	}
}

// patches asks the API server how many PATCH requests for pods it has served.
func (w *waiting) patches() int {
	text, err := w.client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(context.Background())
	w.must(err)
	total := 0.0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || !strings.Contains(line, `resource="pods"`) || !strings.Contains(line, `verb="PATCH"`) {
			continue
		}
		count, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		w.must(err)
		total += count
	}
	return int(total)
}

// gangs are the gangs that the scheduler's log names in a message.
func (w *waiting) gangs(message string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(w.scheduler.Log()) {
		if !strings.Contains(line, `"`+message+`"`) {
			continue
		}
		if _, rest, ok := strings.Cut(line, ` gang="`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			names[name] = true
		}
	}
	return names
}

// settle waits until the scheduler has made no attempt and no patch for a while.
func (w *waiting) settle() {
	last := w.look()
	w.await(func() bool {
		now := w.look()
		if now.planned != last.planned || now.refused != last.refused || now.patches != last.patches {
			last = now
		}
		return now.at.Sub(last.at) > 2*time.Second
	})
}

// list lists the pods that have a node.
func (w *waiting) list() []v1.Pod {
	pods, err := w.client.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{FieldSelector: "spec.nodeName!="})
	w.must(err)
	return pods.Items
}

func (w *waiting) bound() int { return len(w.list()) }

func (w *waiting) await(done func() bool) {
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.b.Fatal("the scheduler does not get on")
}

func (w *waiting) must(err error) {
	if err != nil {
		w.b.Helper()
		w.b.Fatal(err)
	}
}
