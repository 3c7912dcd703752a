// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// openAdminAccess makes the administrator's configuration, client and
// kubeconfig. The group system:masters passes RBAC and is exempt from API
// priority and fairness, so a load generator is never queued.
func (s *Sandbox) openAdminAccess() error {
	var err error
	if s.config, err = s.ConfigFor("muster-sandbox-admin", "system:masters"); err != nil {
		return err
	}
	if s.client, err = kubernetes.NewForConfig(protobufConfig(s.config, "muster-sandbox")); err != nil {
		return err
	}
	return s.WriteKubeconfig(s.KubeconfigPath(), s.config)
}

// protobufConfig returns cfg for clients that only read and write built-in
// types: protobuf, under the name of agent.
func protobufConfig(cfg *rest.Config, agent string) *rest.Config {
	cfg = rest.AddUserAgent(rest.CopyConfig(cfg), agent)
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return cfg
}

// anonymousConfig returns a configuration without credentials.
func (s *Sandbox) anonymousConfig() *rest.Config {
	return &rest.Config{
		Host:            "https://" + s.server.address,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.authority.certPEM()},
		QPS:             -1, // the client does not slow itself down
		WarningHandler:  rest.NoWarnings{},
	}
}

// Config returns an administrator's client configuration (a copy), without a
// limit on the client's side.
func (s *Sandbox) Config() *rest.Config { return rest.CopyConfig(s.config) }

// ConfigFor returns a client configuration that authenticates as user in groups
// with a certificate. RBAC alone decides what it may do.
func (s *Sandbox) ConfigFor(user string, groups ...string) (*rest.Config, error) {
	pair, err := s.authority.issueClientCert(user, groups)
	if err != nil {
		return nil, err
	}
	cfg := s.anonymousConfig()
	cfg.CertData, cfg.KeyData = pair.cert, pair.key
	return cfg, nil
}

// ServiceAccountConfig returns a client configuration with a fresh token of a
// ServiceAccount, as a pod would get it. The ServiceAccount must exist.
func (s *Sandbox) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(certLife.Seconds()))},
	}
	answer, err := s.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token for ServiceAccount %s/%s: %w", namespace, name, err)
	}
	cfg := s.anonymousConfig()
	cfg.BearerToken = answer.Status.Token
	return cfg, nil
}

// KubeconfigPath returns the path of an administrator's kubeconfig in Dir.
func (s *Sandbox) KubeconfigPath() string { return filepath.Join(s.dir, "admin.kubeconfig") }

// ContextName is the context of every kubeconfig that a sandbox writes.
const ContextName = "muster-sandbox"

// WriteKubeconfig writes cfg, which came from this sandbox, as a kubeconfig
// that only this user may read.
func (s *Sandbox) WriteKubeconfig(path string, cfg *rest.Config) error {
	const name = ContextName
	data, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server:                   cfg.Host,
			CertificateAuthorityData: cfg.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: cfg.CertData,
			ClientKeyData:         cfg.KeyData,
			Token:                 cfg.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	})
	if err != nil {
		return fmt.Errorf("encode a kubeconfig: %w", err)
	}
	return os.WriteFile(path, data, 0o600)
}
