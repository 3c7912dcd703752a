// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/chaos/checker"
	"github.com/muster-scheduler/muster/test/process"
)

// replica is a scheduler that is started again whenever it ends, as a kubelet does.
type replica struct {
	t      *testing.T
	b      *bench
	name   string
	proxy  *proxy
	port   int
	config string

	mu      sync.Mutex
	cmd     *exec.Cmd
	closing bool
	// asked says that the bench has told the process to end.
	asked bool
	exits map[string]int
	ended chan struct{} // closed when nothing runs any more
}

// restartDelay is when a replica that ended is started again.
const restartDelay = 500 * time.Millisecond

// schedulerConfig is what a replica runs with: a short lease and, unless the bench says
// otherwise, few requests a second, so that faults meet gangs halfway.
const schedulerConfig = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
clientConnection: {kubeconfig: %q, qps: %d, burst: %d}
leaderElection: {leaderElect: true, leaseDuration: %s, renewDeadline: %s, retryPeriod: %s, resourceName: muster-chaos, resourceNamespace: default}
profiles:
- schedulerName: muster
  plugins: {multiPoint: {enabled: [{name: Muster, weight: 20}]}}
  pluginConfig: [{name: Muster, args: {partialGangGracePeriod: 15s}}]
`

func startReplica(t *testing.T, b *bench, name string, seed uint64) *replica {
	t.Helper()
	r := &replica{t: t, b: b, name: name, port: process.FreePorts(t, 1)[0], exits: map[string]int{}, ended: make(chan struct{})}
	var kubeconfig string
	r.proxy, kubeconfig = newProxy(t, b.config, seed, func(writer, pod string) { b.checker.SendBind(time.Now(), writer, pod) })
	r.config = filepath.Join(t.TempDir(), name+".yaml")
	require.NoError(t, os.WriteFile(r.config, fmt.Appendf(nil, schedulerConfig, kubeconfig, b.qps, b.qps/5, *lease, *lease*7/10, *lease/10), 0o600))
	require.NoError(t, r.start())
	go r.supervise()
	t.Cleanup(r.close)
	return r
}

// start starts the process. Its log is a file, of which the last two are kept.
func (r *replica) start() error {
	path := r.logPath()
	_ = os.Rename(path, path+".before") // there may be none
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	flags := []string{
		"--config=" + r.config, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", r.port),
		"--authorization-always-allow-paths=/metrics,/readyz,/healthz", "-v=2",
	}
	cmd := process.SchedulerCommand(flags...)
	if r.b.binary != "" {
		cmd = exec.Command(r.b.binary, flags...)
		cmd.Env = append(os.Environ(), "MUSTER_MUTANT="+r.b.mutant)
	}
	cmd.Stdout, cmd.Stderr = log, log
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return nil
	}
	r.proxy.forgetWriter()
	r.cmd, r.asked = cmd, false
	return cmd.Start()
}

func (r *replica) logPath() string { return filepath.Join(r.t.ArtifactDir(), r.name+".log") }

// supervise starts the process again whenever it ends.
func (r *replica) supervise() {
	defer close(r.ended)
	for {
		r.mu.Lock()
		cmd := r.cmd
		r.mu.Unlock()
		err := cmd.Wait()
		r.mu.Lock()
		closing, asked := r.closing, r.asked
		r.mu.Unlock()
		if closing {
			return
		}
		now := time.Now()
		if !asked {
			r.noteExit(now, err)
		}
		end := r.b.checker.BeginFault(now, checker.Crash, "restart")
		time.Sleep(restartDelay)
		if err := r.start(); err != nil {
			r.b.checker.Violate(time.Now(), checker.StaysAlive, "%s cannot be started: %s", r.name, err)
			return
		}
		end(time.Now())
	}
}

// noteExit records why a process ended by itself. To lose the lease, or not to reach the
// API server at the start, is a reason; a panic is none.
func (r *replica) noteExit(now time.Time, err error) {
	text := r.log()
	why := "exit"
	for _, known := range []string{"Another replica leads", "eaderelection lost", "panic:", "fatal error:", "cache is corrupted"} {
		if strings.Contains(text, known) {
			why = known
			break
		}
	}
	r.mu.Lock()
	r.exits[why]++
	r.mu.Unlock()
	r.b.checker.CountCheck()
	if why == "panic:" || why == "fatal error:" {
		r.b.checker.Violate(now, checker.StaysAlive, "%s ended: %v: %s", r.name, err, text[max(0, len(text)-1500):])
	}
	if why == "exit" {
		r.t.Logf("%s ended by itself: %v: %s", r.name, err, text[max(0, len(text)-300):])
	}
}

func (r *replica) log() string {
	text, _ := os.ReadFile(r.logPath())
	return string(text)
}

// signal sends the process a signal, which may end it.
func (r *replica) signal(signal os.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if signal == os.Kill || signal == syscall.SIGTERM {
		r.asked = true
	}
	_ = r.cmd.Process.Signal(signal) // it may have ended by itself
}

// close ends the process for good.
func (r *replica) close() {
	r.mu.Lock()
	r.closing = true
	_ = r.cmd.Process.Kill()
	r.mu.Unlock()
	<-r.ended
	if r.t.Failed() {
		text := r.log()
		r.t.Logf("%s wrote last:\n%s", r.name, text[max(0, len(text)-4000):])
	}
}

// leads reports whether the replica holds the lease, as the checker sees it.
func (r *replica) leads() bool {
	own := r.proxy.writer()
	return own != "" && strings.HasSuffix(r.b.checker.Holder(), own)
}

// scrape reads some metrics: the sums over their series.
func (r *replica) scrape() map[string]float64 {
	status, body := process.GetSecure(r.t, r.port, "/metrics", "")
	if status != http.StatusOK {
		return nil
	}
	sums := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		name, _, _ := strings.Cut(line[:at], "{")
		if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			sums[name] += value
		}
	}
	return sums
}
