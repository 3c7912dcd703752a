// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options says what a sandbox consists of. The zero value is a control plane
// with every feature gate at its default, controllers and kubelets, and no CRD.
type Options struct {
	// Dir is where data, certificates and logs go. It must be empty or
	// absent, and Stop removes it. Empty: a new folder below os.TempDir().
	Dir string
	// GenericWorkload turns the feature gate of that name on and serves
	// scheduling.k8s.io/v1beta1 (native PodGroups).
	GenericWorkload bool
	// CompositePodGroup does so, turns on that gate and TopologyAwareWorkloadScheduling
	// too, and serves scheduling.k8s.io/v1alpha3 (native groups of groups, and levels).
	CompositePodGroup bool
	// PodGroupCRD installs the scheduling.x-k8s.io/v1alpha1 PodGroup CRD.
	PodGroupCRD bool
	// DisableKubelets leaves bound pods alone: they stay Pending.
	DisableKubelets bool
	// StopSeconds is how long the containers of a deleted pod run on where
	// StopSecondsAnnotation does not say; the grace period cuts it short. Zero:
	// they end at once.
	StopSeconds float64
	// DisableControllers runs none of the controllers: no Job makes pods,
	// nothing is garbage collected, namespaces stay Terminating, and pods are
	// admitted without a ServiceAccount.
	DisableControllers bool
	// APIServer is the path of a kube-apiserver of another release, to be run
	// as a process instead of the one that is built in. ForbiddenRequests is
	// then empty, and GenericWorkload needs a release that has the gate.
	APIServer string
	// ExtraAPIServerArgs are kube-apiserver flags, applied last.
	ExtraAPIServerArgs []string
	// LogTo takes the log of all components, and with it everything that this
	// process logs through klog. Nil: the file sandbox.log in Dir.
	LogTo io.Writer
}

// Sandbox is a running control plane.
type Sandbox struct {
	dir       string
	authority *authority
	etcd      *embed.Etcd
	etcdURL   string // of its client port
	server    *apiServer
	forbidden forbiddenLog

	config *rest.Config
	client kubernetes.Interface

	// closeLog ends the redirection of the process's log.
	closeLog func()
	// cancel ends the controllers and kubelets, running counts them.
	cancel  context.CancelFunc
	running sync.WaitGroup
	// detach undoes the link between Start's context and Stop.
	detach   func() bool
	stopOnce sync.Once
}

// Start runs a control plane and returns when pods can be created. The sandbox
// lives until Stop, or until ctx is done.
func Start(ctx context.Context, opts Options) (*Sandbox, error) {
	s := &Sandbox{cancel: func() {}, closeLog: func() {}, detach: func() bool { return true }}
	if err := s.startComponents(ctx, opts); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	s.detach = context.AfterFunc(ctx, s.Stop)
	return s, nil
}

// startComponents starts the components one after the other: each step needs what the
// one before it has started. Stop ends those that came up when a step fails.
func (s *Sandbox) startComponents(ctx context.Context, opts Options) error {
	if !(opts.StopSeconds >= 0) { // nor is NaN a time
		return fmt.Errorf("pods stop for %v seconds; a number of at least 0 is wanted", opts.StopSeconds)
	}
	for _, step := range []func() error{
		func() error { return s.makeDir(opts.Dir) },
		func() error { return s.openLog(&opts) },
		s.createAuthority,
		func() error { return s.startDatabase(ctx, opts) },
		func() error { return s.startServer(ctx, opts) },
		s.openAdminAccess,
		func() error { return s.waitForServer(ctx) },
		func() error { return s.startBackground(ctx, opts) },
		func() error { return s.installCRDs(ctx, opts) },
		func() error { return s.waitForPods(ctx, opts) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// createAuthority makes the certificate authority and writes its files.
func (s *Sandbox) createAuthority() error {
	var err error
	if s.authority, err = newAuthority(); err != nil {
		return err
	}
	return s.authority.writePKI(s.dir)
}

// startDatabase runs etcd in the data folder.
func (s *Sandbox) startDatabase(ctx context.Context, opts Options) error {
	var err error
	s.etcd, s.etcdURL, err = startEtcd(ctx, s.dir, opts.LogTo)
	return err
}

// startServer runs the API server that opts asks for.
func (s *Sandbox) startServer(ctx context.Context, opts Options) error {
	var err error
	flags := apiServerFlags(s.dir, s.etcdURL, opts)
	if opts.APIServer != "" {
		s.server, err = startAPIServerProcess(opts.APIServer, flags, opts.LogTo)
	} else {
		s.server, err = startAPIServer(ctx, flags, &s.forbidden)
	}
	return err
}

// installCRDs installs the CRDs that opts asks for.
func (s *Sandbox) installCRDs(ctx context.Context, opts Options) error {
	if !opts.PodGroupCRD {
		return nil
	}
	return s.InstallPodGroupCRD(ctx)
}

// waitForPods returns when pods can be created. Without controllers that is at
// once: the admission plugin for ServiceAccounts is then off.
func (s *Sandbox) waitForPods(ctx context.Context, opts Options) error {
	if opts.DisableControllers {
		return nil
	}
	return s.waitForServiceAccount(ctx)
}

// makeDir creates the data folder, readable by this user only: it holds keys.
// A folder with something in it is refused, because Stop removes the folder.
func (s *Sandbox) makeDir(dir string) error {
	var err error
	if dir == "" {
		s.dir, err = os.MkdirTemp("", "muster-sandbox-")
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("data folder %s is not empty (%d entries); name an empty or absent one, it is removed at the end", dir, len(entries))
	}
	s.dir = dir
	return nil
}

// openLog directs the process's log to opts.LogTo, which it fills in.
func (s *Sandbox) openLog(opts *Options) error {
	if opts.LogTo != nil {
		s.closeLog = redirectProcessLog(opts.LogTo)
		return nil
	}
	file, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	opts.LogTo = file
	release := redirectProcessLog(file)
	s.closeLog = func() {
		release()
		_ = file.Close() // it is removed next
	}
	return nil
}

// Stop ends every component and removes the data folder. It may be called more
// than once, and returns when all is gone.
func (s *Sandbox) Stop() {
	s.stopOnce.Do(func() {
		s.detach()
		s.cancel()
		s.running.Wait()
		if s.server != nil {
			s.server.stop()
		}
		if s.etcd != nil {
			s.etcd.Close()
		}
		s.closeLog()
		if s.dir != "" {
			_ = os.RemoveAll(s.dir) // whoever finds it later may delete it
		}
	})
}

// Done returns a channel that is closed when the API server has ended, be it by
// itself or by Stop.
func (s *Sandbox) Done() <-chan struct{} { return s.server.ended }

// Err returns how the API server ended. It is nil until Done is closed, and
// where Stop ended it in good order.
func (s *Sandbox) Err() error {
	select {
	case <-s.server.ended:
		return s.server.err
	default:
		return nil
	}
}

// Dir returns the folder that holds data, certificates and logs.
func (s *Sandbox) Dir() string { return s.dir }

// LogPath returns the file that takes the components' log unless Options.LogTo
// was given.
func (s *Sandbox) LogPath() string { return filepath.Join(s.dir, "sandbox.log") }

// Client returns an administrator's client.
func (s *Sandbox) Client() kubernetes.Interface { return s.client }

// ForbiddenRequests returns every request so far that was answered 403, oldest
// first, as "user METHOD path".
func (s *Sandbox) ForbiddenRequests() []string { return s.forbidden.listRequests() }

var errServerEnded = errors.New("kube-apiserver ended")
