// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

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
		Kubeconfig: k.c.box.KubeconfigPath(), Config: filepath.Join(dir, "config.yaml"),
		// Where controller-runtime looks unless it is told otherwise.
		Certs:       filepath.Join(dir, "k8s-webhook-server", "serving-certs"),
		WebhookPort: ports[0], HealthPort: ports[1],
	}
	require.NoError(t, os.WriteFile(data.Config, []byte(fill(t, s.config, data)), 0o600))
	authority := s.provideCerts(t, k, data.Certs)
	for _, path := range s.crds {
		definitions := k.decode(readFiles(t, filepath.Join(sources, path)))
		for _, u := range definitions {
			s.setConversion(t, u, data, authority)
		}
		k.apply(definitions)
		k.awaitKinds(definitions)
	}

	cmd := exec.Command(command)
	for _, flag := range s.flags {
		cmd.Args = append(cmd.Args, fill(t, flag, data))
	}
	cmd.Env = append(os.Environ(), "KUBECONFIG="+data.Kubeconfig, "TMPDIR="+dir, "POD_NAMESPACE=default", "MY_POD_NAMESPACE=default")
	process.StartCommand(t, cmd)
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
			webhook["clientConfig"] = s.clientConfig(path, data, authority)
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

// clientConfig is how the API server reaches the controller.
func (s stranger) clientConfig(path string, data strangerData, authority []byte) map[string]any {
	return map[string]any{
		"url":      fmt.Sprintf("https://127.0.0.1:%d%s", data.WebhookPort, path),
		"caBundle": base64.StdEncoding.EncodeToString(authority),
	}
}

// setConversion points the conversion webhook of a CRD at the controller, or drops
// it where one version is used.
func (s stranger) setConversion(t *testing.T, definition *unstructured.Unstructured, data strangerData, authority []byte) {
	unstructured.RemoveNestedField(definition.Object, "spec", "conversion")
	if resource, _, _ := strings.Cut(definition.GetName(), "."); !slices.Contains(s.conversions, resource) {
		return
	}
	require.NoError(t, unstructured.SetNestedField(definition.Object, map[string]any{
		"strategy": "Webhook",
		"webhook": map[string]any{
			"clientConfig":             s.clientConfig("/convert", data, authority),
			"conversionReviewVersions": []any{"v1"},
		},
	}, "spec", "conversion"))
}

// provideCerts provides certificates for webhooks on loopback where the
// controller looks, and returns what verifies them. One that manages its
// certificates itself finds them in order, in its Secret.
func (s stranger) provideCerts(t *testing.T, k *kubectl, dir string) []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	authority, err := cert.NewSelfSignedCACert(cert.Config{CommonName: s.name + "-ca"}, key)
	require.NoError(t, err)
	serving, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Subject:     pkix.Name{CommonName: s.name},
		DNSNames:    []string{"localhost", s.service + ".default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, authority, key.Public(), key)
	require.NoError(t, err)
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	require.NoError(t, err)
	encode := func(der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der})
	}
	files := map[string][]byte{"ca.crt": encode(authority.Raw), "ca.key": keyPEM, "tls.crt": encode(serving), "tls.key": keyPEM}
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for _, name := range []string{"tls.crt", "tls.key"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), files[name], 0o600))
	}
	if s.secret != "" {
		_, err := k.c.client.CoreV1().Secrets(metav1.NamespaceDefault).Create(background,
			&v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.secret}, Data: files}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	if s.awaits != "" {
		provideFile(t, s.awaits)
	}
	return files["ca.crt"]
}

// provideFile makes an empty file until the test ends, if there is none.
func provideFile(t *testing.T, path string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if os.IsExist(err) {
		return
	}
	require.NoError(t, err)
	require.NoError(t, file.Close())
	t.Cleanup(func() { assert.NoError(t, os.Remove(path)) })
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
