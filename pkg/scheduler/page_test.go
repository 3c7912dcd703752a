// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/page"
	"github.com/muster-scheduler/muster/test/process"
)

// viewer makes a service account that may get some paths of the scheduler.
func (c *cluster) viewer(name string, paths ...string) *rest.Config {
	c.Helper()
	meta := metav1.ObjectMeta{Name: name, Namespace: "default"}
	_, err := c.Client().CoreV1().ServiceAccounts("default").Create(c.Context(), &v1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(c, err)
	if len(paths) > 0 {
		_, err = c.Client().RbacV1().ClusterRoles().Create(c.Context(), &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: paths, Verbs: []string{"get", "head"}}},
		}, metav1.CreateOptions{})
		require.NoError(c, err)
		_, err = c.Client().RbacV1().ClusterRoleBindings().Create(c.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: "default"}},
		}, metav1.CreateOptions{})
		require.NoError(c, err)
	}
	cfg, err := c.ServiceAccountConfig(c.Context(), "default", name)
	require.NoError(c, err)
	return cfg
}

// ask sends a request to the scheduler's port as somebody, nil for nobody.
func (c *cluster) ask(who *rest.Config, method, path string) (int, http.Header, string) {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), method, fmt.Sprintf("https://127.0.0.1:%d%s", c.port, path), nil)
	require.NoError(c, err)
	if who != nil {
		r.Header.Set("Authorization", "Bearer "+who.BearerToken)
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	require.NoError(c, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(c, err)
	return answer.StatusCode, answer.Header, string(body)
}

func TestScheduler_TopologyPage(t *testing.T) {
	c := start(t, sandbox.Options{PodGroupCRD: true})
	delegate := []string{"--authentication-kubeconfig", c.KubeconfigPath(), "--authorization-kubeconfig", c.KubeconfigPath()}
	reader := c.viewer("reader", "/topology", "/topology/*", "/metrics", "/configz")
	stranger := c.viewer("stranger")

	// What kube-scheduler's own port answers, to compare with.
	paths := []string{"/healthz", "/livez", "/readyz", "/readyz?verbose", "/metrics", "/configz", "/metrics/slis", "/", "/nowhere", "/debug/pprof/"}
	c.port = process.FreePorts(c, 1)[0]
	stock := process.StartCommand(c, exec.Command(os.Args[0], append([]string{"kube-scheduler", "--kubeconfig", c.KubeconfigPath(), "--leader-elect=false",
		"--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", c.port)}, delegate...)...))
	require.Eventually(c, func() bool { return c.get("/readyz") == http.StatusOK }, patience, pause, "not ready")
	want := map[string]int{}
	for _, path := range paths {
		for name, who := range map[string]*rest.Config{"nobody": nil, "reader": reader, "stranger": stranger} {
			want[name+path], _, _ = c.ask(who, http.MethodGet, path)
		}
	}
	stock.Signal(os.Interrupt)
	_ = stock.Wait() // kube-scheduler ends with an error, also when it is asked to

	plain := c.run(delegate...)
	status, _, _ := c.ask(reader, http.MethodGet, "/topology/")
	assert.Equal(t, http.StatusNotFound, status, "it is served only where it was asked for")
	plain.Signal(os.Interrupt)
	require.NoError(t, plain.Wait())

	p := c.run(append(delegate, "--topology-page")...)
	for _, path := range paths {
		for name, who := range map[string]*rest.Config{"nobody": nil, "reader": reader, "stranger": stranger} {
			got, _, _ := c.ask(who, http.MethodGet, path)
			assert.Equal(t, want[name+path], got, "%s asks for %s", name, path)
		}
	}
	for _, path := range []string{"/topology", "/topology/", "/topology/data.json"} {
		status, _, _ = c.ask(nil, http.MethodGet, path)
		assert.Equal(t, http.StatusForbidden, status, "nobody asks for %s", path)
		status, _, _ = c.ask(stranger, http.MethodGet, path)
		assert.Equal(t, http.StatusForbidden, status, "a stranger asks for %s", path)
		status, _, _ = c.ask(&rest.Config{BearerToken: "forged"}, http.MethodGet, path)
		assert.Equal(t, http.StatusUnauthorized, status, "a forger asks for %s", path)
	}
	status, header, body := c.ask(reader, http.MethodGet, "/topology/")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
	assert.Contains(t, header.Get("Cache-Control"), "no-store")
	assert.Contains(t, body, "<!doctype html>")
	status, header, _ = c.ask(reader, http.MethodGet, "/topology")
	assert.Equal(t, http.StatusMovedPermanently, status)
	assert.Equal(t, "/topology/", header.Get("Location"))
	status, _, _ = c.ask(reader, http.MethodHead, "/topology/data.json")
	assert.Equal(t, http.StatusOK, status)
	status, _, _ = c.ask(reader, http.MethodPost, "/topology/data.json")
	assert.Equal(t, http.StatusForbidden, status)

	names := []string{"train-0", "train-1"}
	c.create(names, kube.LabelGang+"=train", kube.AnnotationMinCount+"=2")
	c.create([]string{"huge-0"}, kube.LabelGang+"=huge", kube.AnnotationMinCount+"=99")
	c.sees(names, "bound")
	require.Eventually(t, func() bool {
		_, _, body := c.ask(reader, http.MethodGet, "/topology/data.json")
		var data page.Data
		require.NoError(t, json.Unmarshal([]byte(body), &data), body)
		return len(data.Nodes) == 4 && len(data.Gangs) == 2 && data.Gangs[1].Name == "train" && data.Gangs[1].Started != nil &&
			data.Gangs[0].Reason == kube.GangIncomplete && held(&data) == 8
	}, patience, pause)
	p.Signal(os.Interrupt)
	require.NoError(t, p.Wait())
}

// held is how many GPUs gangs hold.
func held(data *page.Data) (count int64) {
	for _, node := range data.Nodes {
		for _, pod := range node.Pods {
			if pod.Gang >= 0 {
				count += pod.Holds[0].Count
			}
		}
	}
	return count
}

func TestScheduler_TopologyPageNeedsAPort(t *testing.T) {
	c := start(t, sandbox.Options{DisableControllers: true})
	p := c.launch("--kubeconfig", c.KubeconfigPath(), "--topology-page", "--secure-port=0")
	require.Error(t, p.Wait())
	assert.Contains(t, p.Log(), "--topology-page: there is no secure port; leave out --secure-port=0")
}
