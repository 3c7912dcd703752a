// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// TestLive_DocumentedRoleIsEnough: the role in docs/cli.md lets a user do
// everything, and without it the command says what is missing.
func TestLive_DocumentedRoleIsEnough(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(doc), "```yaml\napiVersion: rbac")
	require.True(t, ok, "docs/cli.md shows no role")
	text, _, _ := strings.Cut(rest, "```")
	var role rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict([]byte("apiVersion: rbac"+text), &role))

	l := startLive(t, func(o *sandbox.Options) { o.DisableControllers = false })
	l.rack(t, "r1", "n1")
	l.group(t, "other", 1, nil)
	l.apply(t, everyDialect()["auto"].manifest()) // whose Job is read too
	cfg, err := l.ConfigFor("ann")
	require.NoError(t, err)
	path := t.TempDir() + "/ann.kubeconfig"
	require.NoError(t, l.WriteKubeconfig(path, cfg))

	status, _, errs := l.muster(t, "status", "--kubeconfig", path)
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "of all namespaces is not allowed; ask for the ClusterRole in docs/cli.md, or for a snapshot")

	_, err = l.Client().RbacV1().ClusterRoles().Create(t.Context(), &role, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = l.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "ann"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ann"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the API server learns of roles by and by
		status, out, _ := l.muster(t, "status", "--kubeconfig", path)
		return status == 0 && strings.Contains(out, "job/train") && strings.Contains(out, "other")
	}, patience, pollPause)
	status, out, errs := l.muster(t, "topology", "--kubeconfig", path)
	assert.Equal(t, 0, status, errs)
	assert.Contains(t, out, "cluster")
}
