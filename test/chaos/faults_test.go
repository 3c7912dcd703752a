// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/test/chaos/checker"
)

// kind is one kind of fault. make lets it happen, and returns when it is over.
type kind struct {
	name  string
	class checker.Class
	make  func(*bench, *rand.Rand)
}

// processFaults and requestFaults happen one after the other: with both replicas away,
// nobody schedules. clusterFaults happen beside them.
func processFaults() []kind {
	signals := func(signal os.Signal) func(*bench, *rand.Rand) {
		return func(b *bench, _ *rand.Rand) {
			leader := b.leader()
			b.checker.LeaderCrashed(time.Now(), leader.proxy.writer())
			leader.signal(signal)
			time.Sleep(2 * restartDelay) // until it is another process
			b.awaitLeader(15 * time.Second)
		}
	}
	return []kind{
		{"kill-leader", checker.Crash, signals(os.Kill)},
		{"kill-leader-again", checker.Crash, signals(os.Kill)},
		{"end-leader", checker.Crash, signals(syscall.SIGTERM)},
		{"kill-both", checker.Crash, func(b *bench, _ *rand.Rand) {
			b.checker.LeaderCrashed(time.Now(), b.leader().proxy.writer())
			for _, r := range b.replicas {
				r.signal(os.Kill)
			}
			time.Sleep(2 * restartDelay)
			b.awaitLeader(15 * time.Second)
		}},
		{"kill-standby", checker.Crash, func(b *bench, _ *rand.Rand) { b.standby().signal(os.Kill); time.Sleep(time.Second) }},
		{"stop-leader", checker.Crash, func(b *bench, random *rand.Rand) {
			leader := b.leader()
			b.checker.LeaderCrashed(time.Now(), leader.proxy.writer())
			leader.signal(syscall.SIGSTOP)
			time.Sleep(*lease*13/10 + time.Duration(random.IntN(3000))*time.Millisecond) // longer than its lease
			leader.signal(syscall.SIGCONT)
			time.Sleep(time.Second)
		}},
		{"stop-leader-shortly", checker.Crash, func(b *bench, random *rand.Rand) {
			leader := b.leader()
			leader.signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(200+random.IntN(2000)) * time.Millisecond)
			leader.signal(syscall.SIGCONT)
		}},
	}
}

// requestFaults let a share of the requests of both replicas go wrong.
func requestFaults() []kind {
	fixed := func(a action) func(*rand.Rand) action { return func(*rand.Rand) action { return a } }
	faults := []struct {
		name    string
		matches func(*http.Request) bool
		share   float64
		does    func(*rand.Rand) action
	}{
		{"drop-before", isRequest, 0.2, fixed(action{dropBefore: true})},
		{"drop-after", isWrite, 0.3, fixed(action{dropAfter: true})},
		{"delay", isRequest, 0.5, func(r *rand.Rand) action { return action{delay: time.Duration(100+r.IntN(1500)) * time.Millisecond} }},
		{"answer-429", isWrite, 0.3, fixed(action{status: http.StatusTooManyRequests})},
		{"answer-5xx", isRequest, 0.3, func(r *rand.Rand) action { return action{status: []int{500, 503, 504}[r.IntN(3)]} }},
		{"answer-409", isBind, 0.3, fixed(action{status: http.StatusConflict})},
		{"lose-bind-answers", isBind, 0.3, fixed(action{dropAfter: true})},
		{"black-hole", isRequest, 0.1, fixed(action{delay: -1})},
		{"old-watches", isWatch, 1, fixed(action{status: http.StatusGone})},
	}
	var kinds []kind
	for _, f := range faults {
		kinds = append(kinds, kind{f.name, checker.Disturbed, func(b *bench, random *rand.Rand) {
			r := &rule{f.name, f.matches, f.share, f.does}
			for _, replica := range b.replicas {
				replica.proxy.add(r)
			}
			if f.name == "old-watches" {
				b.cutWatches(f.name)
			}
			time.Sleep(time.Duration(2500+random.IntN(2000)) * time.Millisecond)
			for _, replica := range b.replicas {
				replica.proxy.remove(r)
			}
		}})
	}
	return append(kinds, watchFaults()...)
}

// watchFaults concern watches, and every connection at once.
func watchFaults() []kind {
	return []kind{
		{"cut-watches", checker.Disturbed, func(b *bench, random *rand.Rand) {
			for range 2 + random.IntN(6) {
				b.cutWatches("cut-watches")
				time.Sleep(400 * time.Millisecond)
			}
		}},
		{"freeze-watches", checker.Disturbed, func(b *bench, random *rand.Rand) {
			for _, r := range b.replicas {
				r.proxy.freezeWatches(true)
			}
			time.Sleep(time.Duration(500+random.IntN(4500)) * time.Millisecond)
			for _, r := range b.replicas {
				r.proxy.freezeWatches(false)
			}
		}},
		{"outage", checker.Crash, func(b *bench, random *rand.Rand) { // leaders end, too
			away := &rule{"outage", func(*http.Request) bool { return true }, 1, func(*rand.Rand) action { return action{dropBefore: true} }}
			for _, r := range b.replicas {
				r.proxy.add(away)
				r.proxy.cut("outage", func(*http.Request) bool { return true })
			}
			time.Sleep(time.Duration(1000+random.IntN(5000)) * time.Millisecond)
			for _, r := range b.replicas {
				r.proxy.remove(away)
			}
		}},
	}
}

// clusterFaults change nodes and objects.
func clusterFaults() []kind {
	return append(nodeFaults(), objectFaults()...)
}

func nodeFaults() []kind {
	patched := func(name, broken, mended string, status ...string) kind {
		return kind{name, checker.Disturbed, func(b *bench, random *rand.Rand) {
			nodes := b.drawNodes(random, 1+random.IntN(12))
			b.patchNodes(nodes, broken, status...)
			time.Sleep(time.Duration(500+random.IntN(3000)) * time.Millisecond)
			b.patchNodes(nodes, mended, status...)
		}}
	}
	taint := func(key string) string {
		return fmt.Sprintf(`{"spec":{"taints":[{"key":%q,"effect":"NoSchedule"}]}}`, key)
	}
	const untainted = `{"spec":{"taints":null}}`
	return []kind{
		patched("cordon", `{"spec":{"unschedulable":true}}`, `{"spec":{"unschedulable":null}}`),
		patched("taint", taint("chaos.example.com/broken"), untainted),
		patched("not-ready", taint("node.kubernetes.io/not-ready"), untainted),
		patched("lose-gpus", `{"status":{"allocatable":{"nvidia.com/gpu":"0"}}}`, `{"status":{"allocatable":{"nvidia.com/gpu":"8"}}}`, "status"),
		{"relabel", checker.Disturbed, func(b *bench, random *rand.Rand) {
			nodes := b.drawNodes(random, 1+random.IntN(3))
			b.patchNodes(nodes, fmt.Sprintf(`{"metadata":{"labels":{%q:"rack-%d"}}}`, rackKey, random.IntN(nodeCount/rackSize)))
			time.Sleep(time.Duration(500+random.IntN(3000)) * time.Millisecond)
			for _, node := range nodes {
				b.patchNodes([]int{node}, fmt.Sprintf(`{"metadata":{"labels":{%q:"rack-%d"}}}`, rackKey, node/rackSize))
			}
		}},
		{"delete-node", checker.Disturbed, func(b *bench, random *rand.Rand) {
			nodes := b.drawNodes(random, 1+random.IntN(3))
			for _, node := range nodes {
				b.deleteNode(node)
			}
			time.Sleep(time.Duration(200+random.IntN(2000)) * time.Millisecond)
			for _, node := range nodes {
				b.createNodes([]*v1.Node{newNode(node)})
			}
		}},
	}
}

func objectFaults() []kind {
	isGang := func(j *job) bool { return j.size > 1 }
	isGroup := func(j *job) bool { return j.group }
	return []kind{
		{"delete-members", checker.Disturbed, func(b *bench, random *rand.Rand) {
			for range 5 { // each in another phase
				if j := b.load.drawAny(random, isGang); j != nil {
					pods := b.load.livePods(j)
					for range min(len(pods), 1+random.IntN(3)) {
						b.deletePod(pods[random.IntN(len(pods))])
					}
				}
				time.Sleep(200 * time.Millisecond)
			}
		}},
		{"recreate-group", checker.Disturbed, func(b *bench, random *rand.Rand) {
			for range 4 {
				if j := b.load.drawAny(random, isGroup); j != nil {
					b.deleteGroup(j.name)
					time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
					b.createGroup(j.name, j.minimum, j.rack)
				}
			}
		}},
		{"change-minimum", checker.Disturbed, func(b *bench, random *rand.Rand) {
			for range 4 {
				if j := b.load.drawAny(random, isGroup); j != nil {
					b.setMinimum(j, 1+random.IntN(j.size))
					time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
					b.setMinimum(j, j.minimum)
				}
			}
		}},
		{"suspend", checker.Disturbed, func(b *bench, random *rand.Rand) {
			if j := b.load.drawAny(random, isGang); j != nil {
				b.load.suspend(j, true)
				time.Sleep(time.Duration(500+random.IntN(2000)) * time.Millisecond)
				b.load.suspend(j, false)
			}
		}},
		{"resize", checker.Disturbed, func(b *bench, random *rand.Rand) {
			if j := b.load.drawAny(random, isGang); j != nil {
				cpus := j.gpus * (2 + random.IntN(5))
				for _, p := range b.load.livePods(j) {
					b.resizePod(p, cpus)
				}
			}
		}},
		{"rival", checker.Disturbed, (*bench).runRival},
	}
}

// runRival binds pods by itself to nodes where it sees room, as another scheduler does
// that knows nothing of what this one is about to bind.
func (b *bench) runRival(random *rand.Rand) {
	var mine []*v1.Pod
	for i := range 20 {
		b.rivals++
		p := newPod(fmt.Sprintf("rival%d", b.rivals), "rival", v1.ResourceList{gpu: *resource.NewQuantity(int64(1+random.IntN(4)), resource.DecimalSI)})
		made, err := b.client.CoreV1().Pods(namespace).Create(background, p, metav1.CreateOptions{})
		if err != nil {
			b.noteError("create a rival's pod", err)
			continue
		}
		mine = append(mine, made)
		target := b.checker.NodeWithRoom(random.IntN(nodeCount), made)
		if target == "" {
			continue
		}
		err = b.client.CoreV1().Pods(namespace).Bind(background, &v1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: made.Name}, Target: v1.ObjectReference{Kind: "Node", Name: target},
		}, metav1.CreateOptions{})
		if err != nil {
			b.noteError("bind a rival's pod", err)
		}
		if i%4 == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	time.Sleep(time.Second)
	for _, p := range mine {
		b.deletePod(p)
	}
}

// runFaults makes faults of some kinds, one after the other, in rounds: each round has
// all of them, in an order that is drawn.
func (b *bench) runFaults(kinds []kind, random *rand.Rand, until time.Time) {
	for {
		random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, k := range kinds {
			if !time.Now().Before(until) || b.isCaught() {
				return
			}
			if *only != "" && !strings.Contains(","+*only+",", ","+k.name+",") {
				time.Sleep(time.Millisecond)
				continue
			}
			b.history("%s begins", k.name)
			end := b.checker.BeginFault(time.Now(), k.class, k.name)
			k.make(b, random)
			end(time.Now())
			b.countFault(k.name)
			time.Sleep(time.Duration(random.Int64N(int64(2 * *pause))))
		}
	}
}

// makeFaults makes faults of all kinds until a time.
func (b *bench) makeFaults(seed uint64, until time.Time) {
	var actors sync.WaitGroup
	for i, kinds := range [][]kind{append(processFaults(), requestFaults()...), clusterFaults()} {
		actors.Go(func() { b.runFaults(kinds, rand.New(rand.NewPCG(seed, 3+uint64(i))), until) })
	}
	actors.Wait()
}

// cutWatches ends every watch of the replicas.
func (b *bench) cutWatches(kind string) {
	for _, r := range b.replicas {
		r.proxy.cut(kind, isWatch)
	}
}

// leader is the replica that leads, or the first one if none does.
func (b *bench) leader() *replica {
	b.awaitLeader(5 * time.Second)
	for _, r := range b.replicas {
		if r.leads() {
			return r
		}
	}
	return b.replicas[0]
}

// standby is the other replica.
func (b *bench) standby() *replica {
	if leader := b.leader(); leader == b.replicas[0] {
		return b.replicas[1]
	}
	return b.replicas[0]
}

// awaitLeader waits until a replica leads, for so long at most.
func (b *bench) awaitLeader(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, r := range b.replicas {
			if r.leads() {
				return true
			}
		}
	}
	return false
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

func newNode(i int) *v1.Node {
	return sandbox.NewNode(nodeName(i), sandbox.NodeShape{
		Labels: map[string]string{rackKey: fmt.Sprintf("rack-%d", i/rackSize)}, Extended: map[string]int64{gpu: perNode},
	})
}

// drawNodes draws nodes; some of one rack.
func (b *bench) drawNodes(random *rand.Rand, count int) []int {
	first := random.IntN(nodeCount - count)
	nodes := make([]int, count)
	for i := range nodes {
		nodes[i] = first + i
	}
	return nodes
}

func (b *bench) patchNodes(nodes []int, patch string, subresources ...string) {
	for _, node := range nodes {
		if _, err := b.client.CoreV1().Nodes().Patch(background, nodeName(node), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...); err != nil {
			b.noteError("patch a node", err)
		}
	}
}

func (b *bench) deleteNode(node int) {
	if err := b.client.CoreV1().Nodes().Delete(background, nodeName(node), metav1.DeleteOptions{}); err != nil {
		b.noteError("delete a node", err)
	}
}

func (b *bench) setMinimum(j *job, minimum int) {
	_, err := b.groups.Patch(background, j.name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"minMember":%d}}`, minimum), metav1.PatchOptions{})
	if err != nil && !strings.Contains(err.Error(), "not found") {
		b.noteError("change a minimum", err)
	}
}

// resizePod changes the processors of a pod that runs. The API server does so only for
// pods of which the kubelet has written what their containers have. Some are gone by
// then.
func (b *bench) resizePod(p *v1.Pod, cpus int) {
	if p.Status.Phase != v1.PodRunning {
		return
	}
	has := p.Spec.Containers[0].Resources.Requests.Cpu().String()
	status := fmt.Appendf(nil, `{"status":{"containerStatuses":[{"name":"main","image":"none","imageID":"none","ready":true,"restartCount":0,"resources":{"requests":{"cpu":%q},"limits":{"cpu":%q}}}]}}`, has, has)
	patch := fmt.Appendf(nil, `{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"%d"},"limits":{"cpu":"%d"}}}]}}`, cpus, cpus)
	pods := b.client.CoreV1().Pods(p.Namespace)
	_, err := pods.Patch(background, p.Name, types.MergePatchType, status, metav1.PatchOptions{}, "status")
	if err == nil {
		_, err = pods.Patch(background, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "resize")
	}
	if err != nil && !strings.Contains(err.Error(), "not found") {
		b.noteError("resize a pod", err)
	}
}
