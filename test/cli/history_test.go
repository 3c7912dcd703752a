// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/cmd/muster/cli"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/test/process"
)

// TestLive_History asks a running scheduler for its decisions, as several users.
func TestLive_History(t *testing.T) {
	l := startLive(t)
	l.rack(t, "r1", "n1", "n2")
	port := process.FreePorts(t, 1)[0]
	process.StartScheduler(t, "--kubeconfig="+l.KubeconfigPath(), "--leader-elect=false", "--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", port),
		"--authentication-kubeconfig="+l.KubeconfigPath(), "--authorization-kubeconfig="+l.KubeconfigPath(), "--cert-dir="+t.TempDir())
	require.Eventually(t, func() bool {
		status, _ := process.GetSecure(t, port, "/readyz", "")
		return status == http.StatusOK
	}, patience, pollPause, "not ready")
	address := fmt.Sprint("https://127.0.0.1:", port)
	ask := func(args ...string) (int, string, string) {
		return l.muster(t, append([]string{"history", "--address", address, "--insecure-skip-tls-verify"}, args...)...)
	}
	status, out, errs := ask()
	require.Equal(t, 0, status, errs)
	assert.Contains(t, out, "remembers no such decision")

	l.pods(t, "train", map[string]string{kube.LabelGang: "train"}, map[string]string{kube.AnnotationMinCount: "2"}, "", "")
	l.pods(t, "huge", map[string]string{kube.LabelGang: "huge"}, map[string]string{kube.AnnotationMinCount: "3"}, "", "", "")
	require.Eventually(t, func() bool {
		_, out, _ := ask()
		return strings.Contains(out, "placed") && strings.Contains(out, "refused")
	}, patience, pollPause)

	_, out, _ = ask()
	assert.Regexp(t, `(?m)^TIME +GANG +DECISION +REASON +MESSAGE$`, out)
	assert.Regexp(t, `(?m)^20\d\d-.*Z +default/train +placed`, out)
	assert.Regexp(t, `(?m)default/huge +refused +GangTooLarge +gang huge needs 3 pods`, out)
	for _, name := range []string{"train", "label~train"} {
		status, out, errs = ask(name, "-o", "json")
		require.Equal(t, 0, status, errs)
		var list []queue.Decision
		require.NoError(t, json.Unmarshal([]byte(out), &list), out)
		require.NotEmpty(t, list, name)
		for _, d := range list {
			assert.Equal(t, "default/label~train", d.Gang)
			assert.WithinDuration(t, list[0].Time, d.Time, patience)
		}
	}
	_, out, _ = ask("train", "-n", "elsewhere")
	assert.Contains(t, out, "remembers no such decision")
	_, out, _ = ask("-n", "elsewhere")
	assert.Contains(t, out, "remembers no such decision")

	l.refusesStrangers(t, address)
	l.documentedHistoryReader(t, address)
}

// refusesStrangers asks in ways that must not get the history.
func (l *live) refusesStrangers(t *testing.T, address string) {
	t.Helper()
	const skip = "--insecure-skip-tls-verify"
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("forged"), 0o600))
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"a certificate that nobody vouches for": {[]string{"--address", address}, "certificate"},
		"a plain connection":                    {[]string{"--address", strings.Replace(address, "https", "http", 1), skip}, "want a URL such as https://127.0.0.1:10259"},
		"a forged token":                        {[]string{"--address", address, skip, "--token-file", token}, "does not know these credentials"},
		"the API server in its place":           {[]string{"--address", l.Config().Host, skip}, "the server at --address has no /muster/history"},
		"a snapshot":                            {[]string{"--snapshot", "dir"}, "--snapshot holds no history"},
	} {
		status, out, errs := l.muster(t, append([]string{"history"}, row.args...)...)
		assert.Equal(t, 2, status, name)
		assert.Contains(t, errs, row.want, name)
		assert.Empty(t, out, name)
	}
}

// documentedHistoryReader: the role in manifests lets a user read the history by
// token, and nothing lets one without it.
func (l *live) documentedHistoryReader(t *testing.T, address string) {
	t.Helper()
	text, err := os.ReadFile("../../manifests/history-reader.yaml")
	require.NoError(t, err)
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict(text, &role))
	account := &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}
	_, err = l.Client().CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{})
	require.NoError(t, err)
	cfg, err := l.ServiceAccountConfig(t.Context(), "default", "reader")
	require.NoError(t, err)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte(cfg.BearerToken), 0o600))
	ask := func() (int, string, string) {
		return l.muster(t, "history", "train", "--address", address, "--insecure-skip-tls-verify", "--token-file", token)
	}
	status, _, errs := ask()
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "is not allowed; ask for the ClusterRole muster-history-reader")

	_, err = l.Client().RbacV1().ClusterRoles().Create(t.Context(), &role, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = l.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "reader"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the scheduler remembers a refusal for some seconds
		status, out, _ := ask()
		return status == 0 && strings.Contains(out, "default/train")
	}, patience, pollPause)
}

// What a server answers is text of others as well.
func TestHistorySpellsOutWhatATerminalWouldObey(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Query().Get("gang"), "/broken") {
			http.Error(w, "\x1b[2Jno\u202e", http.StatusTeapot)
			return
		}
		_ = json.NewEncoder(w).Encode([]queue.Decision{{Gang: "team/label~a\x1b[31m", Kind: queue.DecisionRefused, Reason: "NoFittingDomain", Message: "no\u202eroom\nat all"}})
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("t"), 0o600))
	ask := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		status := cli.Run(t.Context(), append([]string{"muster", "history", "--address", server.URL, "--insecure-skip-tls-verify", "--token-file", token, "-n", "team"}, args...),
			strings.NewReader(""), &out, &errs)
		return status, out.String(), errs.String()
	}
	status, out, errs := ask()
	require.Equal(t, 0, status, errs)
	assert.Regexp(t, `(?m)^0001-01-01T00:00:00Z  team/a\\u001b\[31m  refused   NoFittingDomain  no\\u202eroom\\nat all$`, out)
	status, _, errs = ask("broken")
	require.Equal(t, 2, status)
	assert.Equal(t, "muster: the scheduler answered 418: \\u001b[2Jno\\u202e\n", errs)
	status, out, _ = ask("-o", "json")
	require.Equal(t, 0, status)
	var list []queue.Decision
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	assert.Equal(t, "no\u202eroom\nat all", list[0].Message)
}
