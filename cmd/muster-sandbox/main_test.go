// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// asCommand makes the test binary act as muster-sandbox itself.
const asCommand = "MUSTER_SANDBOX_TEST_AS_COMMAND"

const patience = time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command runs muster-sandbox in a folder, as a user would.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asCommand+"=1", "TMPDIR="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

// readUntil returns what r says up to the line that contains want.
func readUntil(t *testing.T, r io.Reader, want string) string {
	t.Helper()
	var said strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), want) {
			return said.String()
		}
	}
	require.Fail(t, "the output ended early", "wanted %q in:\n%s", want, said.String())
	return ""
}

// TestUp goes the way of a newcomer: start, use with the stock scheduler, stop.
func TestUp(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fleet.csv"), []byte("node,gpu_model,gpus\nbig,H100,8\nsmall,H100,1\n"), 0o600))
	up := command(t, dir, "--inventory", "fleet.csv", "--data-dir", "data")
	var stderr strings.Builder
	up.Stderr = &stderr
	stdout, err := up.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, up.Start())
	said := readUntil(t, stdout, "Ctrl-C stops everything.")
	assert.Contains(t, said, "with 2 nodes")
	kubeconfig := filepath.Join(dir, "muster-sandbox.kubeconfig")
	assert.Contains(t, said, "export KUBECONFIG="+kubeconfig)

	page := regexp.MustCompile(`Watch who gets which GPU: (http://127\.0\.0\.1:\d+/)`).FindStringSubmatch(said)
	require.Len(t, page, 2, said)
	require.Eventually(t, func() bool { return strings.Contains(fetch(t, page[1]+"data.json"), `"n":"big"`) }, patience, 50*time.Millisecond)

	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(cfg)
	require.NoError(t, err)
	schedules(t, client, command(t, dir, "kube-scheduler", "--kubeconfig", kubeconfig, "--secure-port", "0", "--leader-elect=false"))

	require.Eventually(t, func() bool { return strings.Contains(fetch(t, page[1]+"data.json"), `"n":"train"`) }, patience, 50*time.Millisecond, "the page follows")
	require.NoError(t, up.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(stdout)
	require.NoError(t, err)
	require.NoError(t, up.Wait())
	assert.Equal(t, "\nStopping ...\n", string(rest))
	assert.Empty(t, stderr.String(), "logs must not reach the terminal")
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(dir, "fleet.csv")}, left)
	_, err = net.Dial("tcp", strings.TrimPrefix(cfg.Host, "https://"))
	assert.Error(t, err)
}

// TestUp_DRA has the stock scheduler serve the same pod by DRA.
func TestUp_DRA(t *testing.T) {
	for flag, devices := range map[string]int{"--dra": 8, "--dra-mig": 26} {
		t.Run(flag, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "fleet.csv"), []byte("node,gpu_model,gpus\nbig,NVIDIA-H200,8\n"), 0o600))
			up := command(t, dir, "--inventory", "fleet.csv", "--page-port", "-1", flag)
			stdout, err := up.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, up.Start())
			readUntil(t, stdout, "Ctrl-C stops everything.")
			kubeconfig := filepath.Join(dir, "muster-sandbox.kubeconfig")
			cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			require.NoError(t, err)
			client, err := kubernetes.NewForConfig(cfg)
			require.NoError(t, err)
			slices, err := client.ResourceV1().ResourceSlices().List(t.Context(), metav1.ListOptions{FieldSelector: "spec.driver=" + sandbox.GPUDriver})
			require.NoError(t, err)
			assert.Equal(t, devices, len(slices.Items[len(slices.Items)-1].Spec.Devices))
			schedules(t, client, command(t, dir, "kube-scheduler", "--kubeconfig", kubeconfig, "--secure-port", "0", "--leader-elect=false"))
			require.NoError(t, up.Process.Signal(os.Interrupt))
			_, err = io.ReadAll(stdout)
			require.NoError(t, err)
			require.NoError(t, up.Wait())
		})
	}
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(body)
}

func TestUp_InterruptedWhileItStarts(t *testing.T) {
	dir := t.TempDir()
	up := command(t, dir, "up", "--nodes", "5000")
	var stderr strings.Builder
	up.Stderr = &stderr
	stdout, err := up.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, up.Start())
	readUntil(t, stdout, "Starting")
	require.NoError(t, up.Process.Signal(syscall.SIGTERM))
	_, err = io.ReadAll(stdout)
	require.NoError(t, err)
	require.NoError(t, up.Wait())
	assert.Empty(t, stderr.String())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// schedules lets a scheduler command place a pod that only the node big can
// hold, and stops it.
func schedules(t *testing.T, client kubernetes.Interface, scheduler *exec.Cmd) {
	t.Helper()
	scheduler.Stderr = io.Discard
	require.NoError(t, scheduler.Start())
	_, err := client.CoreV1().Pods("default").Create(t.Context(), &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "train"},
		Spec: v1.PodSpec{Containers: []v1.Container{{
			Name: "main", Image: "registry.k8s.io/pause",
			Resources: v1.ResourceRequirements{Limits: v1.ResourceList{sandbox.GPUResource: resource.MustParse("4")}},
		}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		pod, err := client.CoreV1().Pods("default").Get(t.Context(), "train", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == v1.PodRunning && pod.Spec.NodeName == "big"
	}, patience, 50*time.Millisecond)
	require.NoError(t, scheduler.Process.Signal(syscall.SIGTERM))
	_ = scheduler.Wait() // upstream ends with status 1 when it is told to stop
}

func TestUp_Refuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	precious := write("config", "apiVersion: v1\nkind: Config\ncurrent-context: production\n")
	running, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = running.Close() }()
	taken := write("taken", kubeconfigOf(running.Addr().String()))
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"to replace a kubeconfig that is not its own", []string{"up", "--kubeconfig", precious}, `was not written by a sandbox (its context is "production")`},
		{"to replace a file of another kind", []string{"up", "--kubeconfig", write("thesis.tex", "\\documentclass")}, "is no kubeconfig"},
		{"to replace the kubeconfig of a sandbox that runs", []string{"up", "--kubeconfig", taken}, "leads to a sandbox that still runs, at https://" + running.Addr().String()},
		{"an inventory that is not there", []string{"up", "--inventory", filepath.Join(dir, "none.csv")}, "no such file"},
		{"an inventory with a bad cell", []string{"up", "--inventory", write("bad.csv", "node,gpus\na,8x\n")}, `line 2: gpus is "8x"`},
		{"a negative number of nodes", []string{"up", "--nodes", "-1"}, "cannot be negative"},
		{"a page on a port that cannot be", []string{"up", "--nodes", "0", "--page-port", "70000"}, "serving the page"},
		{"arguments that nobody asked for", []string{"up", "please"}, "please"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot()
			root.SetArgs(test.args)
			root.SetOut(io.Discard)
			assert.ErrorContains(t, root.ExecuteContext(t.Context()), test.want)
		})
	}
	data, err := os.ReadFile(precious)
	require.NoError(t, err)
	assert.Contains(t, string(data), "production")
}

func TestVersion_StartsNothing(t *testing.T) {
	var out strings.Builder
	root := newRoot()
	root.SetArgs([]string{"--version"})
	root.SetOut(&out)
	require.NoError(t, root.ExecuteContext(t.Context()))
	assert.Regexp(t, `^muster-sandbox version .*, built with go1\.`, out.String())
}

func TestMayReplace_TheKubeconfigOfASandboxThatHasEnded(t *testing.T) {
	ended, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ended.Close())
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(path, []byte(kubeconfigOf(ended.Addr().String())), 0o600))
	assert.NoError(t, checkReplaceable(path))
}

func kubeconfigOf(address string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: %[1]s\nclusters:\n- {name: %[1]s, cluster: {server: 'https://%[2]s'}}\n", sandbox.ContextName, address)
}
