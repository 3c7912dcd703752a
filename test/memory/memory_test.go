// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/process"
)

// TestMain lets the test binary be the scheduler too.
func TestMain(m *testing.M) { process.Main(m.Run) }

var share = flag.Float64("share", 0.1, "part of the cluster of 5,000 nodes and 50,000 pods that is made up")

const (
	mebi = 1 << 20
	// patience is for the whole cluster on a machine that does other work.
	patience = 5 * time.Minute
	// most is what the heap of the whole cluster may come to, and leftover how much more
	// than at the start it is when all is gone.
	most, leftover = 1536 * mebi, 16 * mebi
)

// world is a cluster that is made up.
type world struct {
	nodes, single, gangs, waitingGangs, hostile int
}

// A gang has gangSize pods. A hostile pod asks for hostileNames resources that there
// are not, each by a name of its own.
const gangSize, hostileNames = 16, 10_000

func worldOf(share float64) world {
	part := func(n int) int { return int(float64(n) * share) }
	return world{nodes: part(5_000), single: part(18_000), gangs: part(1_600), waitingGangs: part(400), hostile: part(24)}
}

func (w world) pods() int { return w.single + gangSize*(w.gangs+w.waitingGangs) + w.hostile }

// predictedHeap is the formula of docs/limits.md.
func (w world) predictedHeap() float64 {
	const idle, perNode, perPod, perMember, perGang, perName = 8 * mebi, 14 << 10, 5.5 * 1024, 3 << 10, 14 << 10, 350
	gangs := w.gangs + w.waitingGangs
	return idle + float64(perNode*w.nodes+perMember*gangSize*gangs+perGang*gangs+perName*hostileNames*w.hostile) + perPod*float64(w.pods())
}

// tellNodes makes up the nodes: eight GPUs, 16 nodes to a rack, and what usually stands
// on one.
func (w world) tellNodes(event string) story {
	return func(write func(kind, object string)) {
		var images []string
		for i := range 20 {
			images = append(images, fmt.Sprintf(`{"names":["registry.example.com/team/image-%d@sha256:%064d","registry.example.com/team/image-%d:v1"],"sizeBytes":1000000}`, i, i, i))
		}
		for i := range w.nodes {
			name := fmt.Sprint("node-", i)
			write(event, fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":%q,"uid":"uid-%s","resourceVersion":"VERSION","creationTimestamp":"2026-01-01T00:00:00Z",
"labels":{"kubernetes.io/hostname":%q,"kubernetes.io/os":"linux","kubernetes.io/arch":"amd64","topology.kubernetes.io/zone":"z1","topology.kubernetes.io/rack":"rack-%d","nvidia.com/gpu.product":"NVIDIA-H100-80GB-HBM3","nvidia.com/gpu.count":"8"}},
"status":{"capacity":{"cpu":"192","memory":"2Ti","pods":"110","ephemeral-storage":"10Ti","nvidia.com/gpu":"8"},"allocatable":{"cpu":"192","memory":"2Ti","pods":"110","ephemeral-storage":"10Ti","nvidia.com/gpu":"8"},
"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}],
"nodeInfo":{"kernelVersion":"6.8.0","osImage":"linux","containerRuntimeVersion":"containerd://2.1.0","kubeletVersion":"v1.37.0","architecture":"amd64","operatingSystem":"linux"},"images":[%s]}}`,
				name, name, name, i/16, strings.Join(images, ",")))
		}
	}
}

// tellPods makes up the pods: single ones and gangs on nodes, and gangs that find no
// room.
func (w world) tellPods(event string) story {
	return func(write func(kind, object string)) {
		place := 0
		onNode := func() string { place++; return fmt.Sprint("node-", place%w.nodes) }
		for i := range w.single {
			write(event, podText(fmt.Sprint("single-", i), "", onNode(), `"cpu":"1","memory":"4Gi"`))
		}
		for i := range w.gangs {
			for j := range gangSize {
				write(event, podText(fmt.Sprintf("running-%d-%d", i, j), fmt.Sprint("running-", i), onNode(), `"cpu":"8","memory":"64Gi","nvidia.com/gpu":"1"`))
			}
		}
		for i := range w.waitingGangs {
			for j := range gangSize {
				write(event, podText(fmt.Sprintf("waiting-%d-%d", i, j), fmt.Sprint("waiting-", i), "", `"cpu":"8","memory":"64Gi","nvidia.com/gpu":"8"`))
			}
		}
	}
}

// tellLast makes up one more gang. What the scheduler has read of a cluster for its
// attempts stays until the next one.
func tellLast(event string) story {
	return func(write func(kind, object string)) {
		for j := range gangSize {
			write(event, podText(fmt.Sprint("last-", j), "last", "", `"cpu":"1"`))
		}
	}
}

// tellHostile makes up pods that each ask for thousands of resources which nobody else
// names.
func (w world) tellHostile(event string) story {
	return func(write func(kind, object string)) {
		for i := range w.hostile {
			var names strings.Builder
			for j := range hostileNames {
				fmt.Fprintf(&names, `"example.com/name-%d-%d":"1",`, i, j)
			}
			write(event, podText(fmt.Sprint("hostile-", i), fmt.Sprint("hostile-", i), "", names.String()+`"cpu":"1"`))
		}
	}
}

// podText is a pod as a controller creates it and, with a node, as a kubelet keeps it.
func podText(name, gang, node, requests string) string {
	labels, minCount, where, status := `"app":"train","team":"research"`, "", "", `"phase":"Pending"`
	if gang != "" {
		count := gangSize
		if strings.HasPrefix(gang, "hostile") {
			count = 1
		}
		labels += fmt.Sprintf(`,"muster.sh/gang":%q`, gang)
		minCount = fmt.Sprintf(`"muster.sh/min-count":"%d","muster.sh/topology-required":"rack"`, count)
	}
	if node != "" {
		where = fmt.Sprintf(`"nodeName":%q,`, node)
		status = `"phase":"Running","podIP":"10.1.2.3","podIPs":[{"ip":"10.1.2.3"}],"hostIP":"10.0.0.1","startTime":"2026-01-01T00:00:05Z","conditions":[` +
			`{"type":"PodScheduled","status":"True","lastTransitionTime":"2026-01-01T00:00:05Z"},{"type":"Initialized","status":"True","lastTransitionTime":"2026-01-01T00:00:05Z"},` +
			`{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:05Z"}],"containerStatuses":[{"name":"main","image":"registry.example.com/team/image:v1","imageID":"registry.example.com/team/image@sha256:0",` +
			`"containerID":"containerd://0","ready":true,"restartCount":0,"state":{"running":{"startedAt":"2026-01-01T00:00:06Z"}}}]`
	}
	return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"default","name":%q,"uid":"uid-%s","resourceVersion":"VERSION","creationTimestamp":"2026-01-01T00:00:00Z",
"labels":{%s},"annotations":{%s},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"train","uid":"rs-1","controller":true}]},
"spec":{"schedulerName":"muster",%s"priority":0,"restartPolicy":"Always","terminationGracePeriodSeconds":30,"serviceAccountName":"default",
"containers":[{"name":"main","image":"registry.example.com/team/image:v1","command":["python","train.py"],"resources":{"requests":{%s}},"volumeMounts":[{"name":"token","mountPath":"/var/run/secrets","readOnly":true}],
"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}],
"volumes":[{"name":"token","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"ca","items":[{"key":"ca.crt","path":"ca.crt"}]}}]}}],
"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]},
"status":{%s}}`, name, name, labels, minCount, where, requests, status)
}

// scheduler is a scheduler that works with the server.
type scheduler struct {
	t    *testing.T
	port int
}

func startScheduler(t *testing.T, s *server) scheduler {
	t.Helper()
	dir := t.TempDir()
	kubeconfig, config := filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}],
contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}`, s.URL), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
enableProfiling: true
clientConnection: {kubeconfig: %q, qps: 10000, burst: 10000}
leaderElection: {leaderElect: false}
profiles:
- schedulerName: muster
  plugins: {multiPoint: {enabled: [{name: Muster, weight: 20}]}}
`, kubeconfig), 0o600))
	port := process.FreePorts(t, 1)[0]
	process.StartScheduler(t, "--config="+config, "--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", port), "--authorization-always-allow-paths=/debug/*,/readyz,/metrics")
	sched := scheduler{t, port}
	require.Eventually(t, func() bool {
		status, _ := process.GetSecure(t, port, "/readyz", "")
		return status == http.StatusOK
	}, time.Minute, 50*time.Millisecond)
	return sched
}

var heapLine = regexp.MustCompile(`# HeapAlloc = (\d+)`)

// heap is what is reachable on the heap, once that does not change any more.
func (s scheduler) heap() float64 {
	s.t.Helper()
	last, steady := 0.0, 0
	require.Eventually(s.t, func() bool {
		status, body := process.GetSecure(s.t, s.port, "/debug/pprof/heap?gc=1&debug=1", "")
		require.Equal(s.t, http.StatusOK, status)
		found := heapLine.FindSubmatch(body[bytes.LastIndex(body, []byte("# HeapAlloc")):])
		require.NotNil(s.t, found)
		now, err := strconv.ParseFloat(string(found[1]), 64)
		require.NoError(s.t, err)
		if steady++; now < 0.98*last || now > 1.02*last {
			steady = 0
		}
		last = now
		return steady == 3
	}, patience, 500*time.Millisecond)
	return last
}

// The heap of a scheduler is what docs/limits.md says, and after all is gone little more
// than at the start.
func TestHeap_IsWhatTheFormulaSays(t *testing.T) {
	w := worldOf(*share)
	s := newServer(t)
	sched := startScheduler(t, s)
	idle := sched.heap()
	begin := time.Now()
	s.tell("nodes", w.tellNodes("ADDED"))
	nodes := sched.heap()
	s.tell("pods", w.tellPods("ADDED"))
	pods := sched.heap()
	s.tell("pods", w.tellHostile("ADDED"))
	full := sched.heap()
	t.Logf("%+v: heap %.1f MiB idle, %.1f with nodes, %.1f with pods, %.1f with hostile ones; predicted %.1f; %s", w, idle/mebi, nodes/mebi, pods/mebi, full/mebi, w.predictedHeap()/mebi, time.Since(begin))
	assert.InEpsilon(t, w.predictedHeap(), full, 0.3)
	assert.Less(t, full, float64(most))
	assert.Less(t, worldOf(1).predictedHeap(), float64(most))

	s.tell("pods", w.tellHostile("DELETED"))
	s.tell("pods", w.tellPods("DELETED"))
	s.tell("nodes", w.tellNodes("DELETED"))
	s.tell("pods", tellLast("ADDED"))
	assert.Eventually(t, func() bool { return sched.heap() < idle+leftover }, patience, time.Second, "after all is gone")
	t.Logf("heap %.1f MiB after all is gone", sched.heap()/mebi)
}
