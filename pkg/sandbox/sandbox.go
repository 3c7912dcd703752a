// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"io"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options says what a sandbox consists of. The zero value is a control plane
// with every feature gate at its default, controllers and kubelets, and no CRD.
type Options struct {
	// Dir is where data, certificates and logs go. Stop removes it if Start
	// created it. Empty: a new folder below os.TempDir().
	Dir string
	// GenericWorkload turns the feature gate of that name on and serves
	// scheduling.k8s.io/v1beta1 (native PodGroups).
	GenericWorkload bool
	// PodGroupCRD installs the scheduling.x-k8s.io/v1alpha1 PodGroup CRD.
	PodGroupCRD bool
	// DisableKubelets leaves bound pods alone: they stay Pending.
	DisableKubelets bool
	// DisableControllers runs none of the controllers: no Job makes pods,
	// and pods are admitted without a ServiceAccount.
	DisableControllers bool
	// ExtraAPIServerArgs are kube-apiserver flags, applied last.
	ExtraAPIServerArgs []string
	// LogTo takes the log of all components. Nil: the file sandbox.log in
	// the data folder.
	LogTo io.Writer
}

// Sandbox is a running control plane.
type Sandbox struct {
	config *rest.Config
	client kubernetes.Interface
}

// Start runs a control plane and returns when it is ready for pods. The
// sandbox lives until Stop, or until ctx is done.
func Start(ctx context.Context, opts Options) (*Sandbox, error) {
	return nil, errors.New("sandbox: not built yet")
}

// Stop ends every component and removes what Start created. It may be called
// more than once.
func (s *Sandbox) Stop() {}

// Dir is the folder that holds data, certificates and logs.
func (s *Sandbox) Dir() string { return "" }

// Config is an administrator's client configuration (a copy), without a limit
// on the client's side.
func (s *Sandbox) Config() *rest.Config { return rest.CopyConfig(s.config) }

// Client is an administrator's client.
func (s *Sandbox) Client() kubernetes.Interface { return s.client }

// Kubeconfig is the path of an administrator's kubeconfig in Dir.
func (s *Sandbox) Kubeconfig() string { return "" }

// ConfigFor is a client configuration that authenticates as user in groups
// with a certificate. RBAC alone decides what it may do.
func (s *Sandbox) ConfigFor(user string, groups ...string) (*rest.Config, error) {
	return nil, errors.New("sandbox: not built yet")
}

// ServiceAccountConfig is a client configuration with a fresh token of a
// ServiceAccount, as a pod would get it.
func (s *Sandbox) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	return nil, errors.New("sandbox: not built yet")
}

// WriteKubeconfig writes cfg, which came from this sandbox, as a kubeconfig.
func (s *Sandbox) WriteKubeconfig(path string, cfg *rest.Config) error {
	return errors.New("sandbox: not built yet")
}

// Forbidden lists every request so far that was answered 403, oldest first,
// as "user verb path".
func (s *Sandbox) Forbidden() []string { return nil }
