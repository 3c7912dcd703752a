// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"

	"github.com/muster-scheduler/muster/test/process"
)

// start builds the controller, installs its kinds and webhooks and runs it until
// the test ends.
func (s stranger) start(t *testing.T, k *kubectl) {
	dir := t.TempDir()
	command := filepath.Join(dir, s.name)
	s.run(t, "go", "build", "-o", command, s.main)
	sources := strings.TrimSpace(s.run(t, "go", "list", "-m", "-f", "{{.Dir}}", s.module))

	ports := process.FreePorts(t, 2)
	data := strangerData{
		Kubeconfig: k.c.box.Kubeconfig(), Config: filepath.Join(dir, "config.yaml"),
		// Where controller-runtime looks unless it is told otherwise.
		Certs:       filepath.Join(dir, "k8s-webhook-server", "serving-certs"),
		WebhookPort: ports[0], HealthPort: ports[1],
	}
	require.NoError(t, os.WriteFile(data.Config, []byte(fill(t, s.config, data)), 0o600))
	authority := writeServingCerts(t, data.Certs)
	for _, path := range s.crds {
		definitions := withoutConversion(k.decode(readFiles(t, filepath.Join(sources, path))))
		k.apply(definitions)
		k.awaitKinds(definitions)
	}

	cmd := exec.Command(command)
	for _, flag := range s.flags {
		cmd.Args = append(cmd.Args, fill(t, flag, data))
	}
	cmd.Env = append(os.Environ(), "KUBECONFIG="+data.Kubeconfig, "TMPDIR="+dir, "POD_NAMESPACE=default")
	process.Start(t, cmd)
	require.Eventually(t, func() bool { return s.ready(data) }, patience, poll, "%s has to be ready", s.name)
	for _, path := range s.webhooks {
		k.apply(s.reached(t, k.decode(readFiles(t, filepath.Join(sources, path))), data, authority))
	}
}

// run runs a command in the stranger's own module.
func (s stranger) run(t *testing.T, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join("..", "strangers", s.name)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", cmd, errs.String())
	return string(out)
}

// ready reports whether the stranger's webhooks can be called, if it has any.
func (s stranger) ready(data strangerData) bool {
	if len(s.webhooks) == 0 {
		return true
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", data.WebhookPort))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// reached points webhooks at the controller, where a cluster would have a
// Service.
func (s stranger) reached(t *testing.T, configurations []*unstructured.Unstructured, data strangerData, authority []byte) []*unstructured.Unstructured {
	for _, u := range configurations {
		u.SetName(s.name + "-" + u.GetName())
		webhooks, _, err := unstructured.NestedSlice(u.Object, "webhooks")
		require.NoError(t, err)
		for _, each := range webhooks {
			webhook := each.(map[string]any)
			path, _, err := unstructured.NestedString(webhook, "clientConfig", "service", "path")
			require.NoError(t, err)
			webhook["clientConfig"] = map[string]any{
				"url":      fmt.Sprintf("https://127.0.0.1:%d%s", data.WebhookPort, path),
				"caBundle": base64.StdEncoding.EncodeToString(authority),
			}
			if strings.HasSuffix(path, "-v1-pod") {
				webhook["objectSelector"] = map[string]any{"matchExpressions": []any{
					map[string]any{"key": s.podLabel, "operator": "Exists"},
				}}
			}
		}
		require.NoError(t, unstructured.SetNestedSlice(u.Object, webhooks, "webhooks"))
	}
	return configurations
}

// withoutConversion drops conversion webhooks: one version of each kind is used.
func withoutConversion(definitions []*unstructured.Unstructured) []*unstructured.Unstructured {
	for _, u := range definitions {
		unstructured.RemoveNestedField(u.Object, "spec", "conversion")
	}
	return definitions
}

// writeServingCerts writes a certificate for webhooks on loopback and returns
// what verifies it.
func writeServingCerts(t *testing.T, dir string) []byte {
	pair, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), pair, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600))
	return pair
}

// readFiles reads a file, or all of a folder as one.
func readFiles(t *testing.T, path string) []byte {
	files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	require.NoError(t, err)
	if len(files) == 0 {
		files = []string{path}
	}
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all = append(append(all, text...), "\n---\n"...)
	}
	return all
}
