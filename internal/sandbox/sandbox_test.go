// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// patience is far above what anything here takes; a loaded machine is slow.
const (
	patience = time.Minute
	pause    = 20 * time.Millisecond
)

// start runs a sandbox for one test.
func start(t *testing.T, opts sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func TestStop_LeavesNothingBehind(t *testing.T) {
	run := func() (goroutines int) {
		s := start(t, sandbox.Options{PodGroupCRD: true})
		address := strings.TrimPrefix(s.Config().Host, "https://")
		require.DirExists(t, s.Dir())
		s.Stop()
		s.Stop()
		assert.NoDirExists(t, s.Dir())
		_, err := net.Dial("tcp", address)
		assert.Error(t, err, "the API server's port is still open")
		return runtime.NumGoroutine()
	}
	run() // what libraries start once a process is not counted
	before := runtime.NumGoroutine()
	run()
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() < before+50 }, patience, pause,
		"a stopped sandbox leaves goroutines; a running one has some 3,500")
}

// TestStop_CutsOpenWatches has a client that never hangs up, as a scheduler
// that outlives the sandbox.
func TestStop_CutsOpenWatches(t *testing.T) {
	s := start(t, sandbox.Options{DisableKubelets: true, DisableControllers: true})
	open, err := s.Client().CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	begin := time.Now()
	s.Stop()
	assert.Less(t, time.Since(begin), 30*time.Second, "kube-apiserver by itself waits a minute")
	assert.Eventually(t, func() bool {
		_, more := <-open.ResultChan()
		return !more
	}, patience, pause)
	<-s.Done()
	assert.NoError(t, s.Err())
}

func TestStart_EndsWithItsContext(t *testing.T) {
	var dir string
	t.Run("running", func(t *testing.T) { // its context ends with it
		s, err := sandbox.Start(t.Context(), sandbox.Options{DisableControllers: true, DisableKubelets: true})
		require.NoError(t, err)
		dir = s.Dir()
		require.DirExists(t, dir)
	})
	assert.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, patience, pause)
}

// TestStart_Interrupted stops the start at every stage. An API server that is
// stopped too early would end this process.
func TestStart_Interrupted(t *testing.T) {
	for _, stage := range []string{"", "etcd/member/wal", "sandbox.log", "admin.kubeconfig"} {
		t.Run("at "+stage, func(t *testing.T) {
			dir := t.TempDir() + "/data"
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for ctx.Err() == nil { // poll: the start itself tells nobody how far it is
					if _, err := os.Stat(filepath.Join(dir, stage)); err == nil || stage == "" {
						cancel()
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
			s, err := sandbox.Start(ctx, sandbox.Options{Dir: dir})
			cancel()
			if err == nil { // it was through before the cancellation
				s.Stop()
			} else {
				assert.ErrorIs(t, err, context.Canceled)
			}
			assert.NoDirExists(t, dir)
		})
	}
}

func TestStart_Refuses(t *testing.T) {
	full := t.TempDir()
	require.NoError(t, os.WriteFile(full+"/thesis.tex", nil, 0o600))
	for _, test := range []struct {
		name string
		opts sandbox.Options
		want string
	}{
		{"a data folder that is in use", sandbox.Options{Dir: full}, "is not empty (1 entries)"},
		{"a flag that kube-apiserver lacks", sandbox.Options{ExtraAPIServerArgs: []string{"--no-such-flag"}}, "unknown flag: --no-such-flag"},
		{"a time to stop below zero", sandbox.Options{StopSeconds: -1}, "pods stop for -1 seconds"},
		{"a value that kube-apiserver rejects", sandbox.Options{ExtraAPIServerArgs: []string{"--authorization-mode=Nope"}}, "authorization-mode"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := sandbox.Start(t.Context(), test.opts)
			require.ErrorContains(t, err, test.want)
		})
	}
	assert.FileExists(t, full+"/thesis.tex", "a refused folder must not be removed")
}

// TestGenericWorkload runs both settings one after the other: feature gates are
// global to the process, so this also shows that a sandbox does not inherit
// the gates of an earlier one.
func TestGenericWorkload(t *testing.T) {
	const groups = "/apis/scheduling.k8s.io/v1beta1/namespaces/default/podgroups"
	create := func(s *sandbox.Sandbox) (kept *v1.PodSchedulingGroup, list error) {
		pod := gpuPod("member", 0)
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: new("train")}
		made, err := s.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
		require.NoError(t, err)
		return made.Spec.SchedulingGroup, s.Client().Discovery().RESTClient().Get().AbsPath(groups).Do(t.Context()).Error()
	}

	on := start(t, sandbox.Options{GenericWorkload: true})
	kept, err := create(on)
	require.NoError(t, err, "podgroups are served")
	require.NotNil(t, kept)
	assert.Equal(t, "train", *kept.PodGroupName)
	on.Stop()

	off := start(t, sandbox.Options{})
	kept, err = create(off)
	assert.ErrorContains(t, err, "the server could not find the requested resource")
	assert.Nil(t, kept, "the API server drops the field")
}

func TestLog_StaysInItsFile(t *testing.T) {
	var log bytes.Buffer
	s := start(t, sandbox.Options{LogTo: &log, DisableKubelets: true, DisableControllers: true})
	assert.NoFileExists(t, s.LogPath())
	s.Stop()
	assert.Contains(t, log.String(), "Serving securely")
}

func TestKubeconfig_WorksWithKubectl(t *testing.T) {
	s := start(t, sandbox.Options{PodGroupCRD: true})
	cfg, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
	require.NoError(t, err)
	assert.Equal(t, s.Config().Host, cfg.Host)
	assert.Equal(t, s.Config().CAData, cfg.CAData)
	version, err := s.Client().Discovery().ServerVersion()
	require.NoError(t, err)
	assert.Regexp(t, `^v1\.37\.\d+$`, version.GitVersion, "clients parse it")
	info, err := os.Stat(s.Kubeconfig())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		return // the rest is what a user does by hand; the file was checked
	}
	require.NoError(t, s.CreateNodes(t.Context(), []*v1.Node{sandbox.Node("n1", sandbox.NodeShape{})}))
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), kubectl, append([]string{"--kubeconfig", s.Kubeconfig()}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	assert.Regexp(t, `n1 +Ready`, run("get", "nodes"))
	assert.Contains(t, run("get", "podgroups.scheduling.x-k8s.io"), "No resources found")
}
