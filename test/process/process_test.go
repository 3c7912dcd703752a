// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const patience, pause = time.Minute, 10 * time.Millisecond

func TestMain(m *testing.M) { Main(m.Run) }

// trial is a test within a test, which may fail.
type trial struct {
	testing.TB
	cleanups []func()
	failed   bool
	said     string
}

func (r *trial) Cleanup(f func())                { r.cleanups = append(r.cleanups, f) }
func (r *trial) Failed() bool                    { return r.failed }
func (r *trial) Logf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) + "\n" }
func (r *trial) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

// over ends the trial.
func (r *trial) over() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

// shell starts a script and returns when it has written that it is ready.
func shell(t testing.TB, script string) *Process {
	t.Helper()
	p := StartCommand(t, exec.Command("sh", "-c", script))
	require.Eventually(t, func() bool { return strings.Contains(p.Log(), "ready") }, patience, pause)
	return p
}

const busy = "echo ready; while :; do :; done"

func TestScheduler(t *testing.T) {
	p := StartScheduler(t, "--version")
	require.NoError(t, p.Wait())
	assert.Contains(t, p.Log(), "muster-scheduler ")

	p = StartScheduler(t, "please")
	require.EqualError(t, p.Wait(), "exit status 1")
	assert.Contains(t, p.Log(), `unknown command "please"`)
}

func TestProcess_EndsWithItsTest(t *testing.T) {
	r := &trial{TB: t}
	p := shell(r, busy)
	r.over()
	assert.False(t, r.failed, r.said)
	assert.Empty(t, r.said, "the log of a test that passes is nobody's business")
	assert.EqualError(t, p.Wait(), "signal: killed")
}

func TestProcess_OfATestThatFails(t *testing.T) {
	r := &trial{TB: t}
	shell(r, "echo early; head -c 30000 /dev/zero; "+busy)
	r.Errorf("it does not work")
	r.over()
	assert.Contains(t, r.said, "wrote last:")
	assert.Contains(t, r.said, "ready")
	assert.NotContains(t, r.said[strings.Index(r.said, "wrote last:"):], "early", "a long log is cut")
}

func TestProcess_ThatEndsByItself(t *testing.T) {
	r := &trial{TB: t}
	p := StartCommand(r, exec.Command("sh", "-c", "echo sorry; exit 3"))
	<-p.ended
	r.over()
	assert.True(t, r.failed)
	assert.Contains(t, r.said, "ended by itself")
	assert.Contains(t, r.said, "sorry")
}

func TestProcess_ToldToEnd(t *testing.T) {
	r := &trial{TB: t}
	shell(r, busy).Kill()
	assert.EqualError(t, shell(r, busy).Terminate(), "signal: terminated")
	assert.NoError(t, shell(r, "trap 'exit 0' TERM; "+busy).Terminate())
	shell(r, busy).Signal(syscall.SIGTERM) // nobody waits for it
	r.over()
	assert.False(t, r.failed, r.said)
}

func TestProcess_CPU(t *testing.T) {
	p := shell(t, busy)
	before := p.CPUTime()
	require.Eventually(t, func() bool { return p.CPUTime() > before }, patience, pause)
	assert.Less(t, shell(t, "echo ready; exec sleep 60").CPUTime(), time.Second)
}

func TestFreePorts(t *testing.T) {
	ports := FreePorts(t, 20)
	slices.Sort(ports)
	assert.Len(t, slices.Compact(ports), 20)
	for _, port := range ports {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestAsk(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer key" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	port := server.Listener.Addr().(*net.TCPAddr).Port
	status, body := GetSecure(t, port, "/readyz", "")
	assert.Equal(t, http.StatusUnauthorized, status)
	assert.Equal(t, "/readyz", string(body))
	status, _ = GetSecure(t, port, "/", "key")
	assert.Equal(t, http.StatusOK, status)
	server.Close()
	status, body = GetSecure(t, port, "/", "key")
	assert.Zero(t, status)
	assert.Empty(t, body)
}
