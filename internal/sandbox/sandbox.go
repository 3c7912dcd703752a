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
	// as a process instead of the one that is built in. Forbidden then tells
	// nothing, and GenericWorkload needs a release that knows it.
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
	server    *apiServer
	forbidden refusals

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
	if err := s.start(ctx, opts); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	s.detach = context.AfterFunc(ctx, s.Stop)
	return s, nil
}

func (s *Sandbox) start(ctx context.Context, opts Options) error {
	if !(opts.StopSeconds >= 0) { // nor is NaN a time
		return fmt.Errorf("pods stop for %v seconds; a number of at least 0 is wanted", opts.StopSeconds)
	}
	if err := s.makeDir(opts.Dir); err != nil {
		return err
	}
	if err := s.openLog(&opts); err != nil {
		return err
	}
	var err error
	if s.authority, err = newAuthority(); err != nil {
		return err
	}
	if err = s.authority.writePKI(s.dir); err != nil {
		return err
	}
	var etcdURL string
	if s.etcd, etcdURL, err = startEtcd(ctx, s.dir, opts.LogTo); err != nil {
		return err
	}
	if s.server, err = s.startServer(ctx, etcdURL, opts); err != nil {
		return err
	}
	if err = s.openAdminAccess(); err != nil {
		return err
	}
	if err = s.waitForServer(ctx); err != nil {
		return err
	}
	if err = s.startBackground(ctx, opts); err != nil {
		return err
	}
	if opts.PodGroupCRD {
		if err = s.InstallPodGroupCRD(ctx); err != nil {
			return err
		}
	}
	if opts.DisableControllers {
		return nil
	}
	return s.waitForServiceAccount(ctx)
}

// startServer runs the API server that opts asks for.
func (s *Sandbox) startServer(ctx context.Context, etcdURL string, opts Options) (*apiServer, error) {
	flags := apiServerFlags(s.dir, etcdURL, opts)
	if opts.APIServer != "" {
		return startAPIServerProcess(opts.APIServer, flags, opts.LogTo)
	}
	return startAPIServer(ctx, flags, &s.forbidden)
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

// Done is closed when the API server has ended, be it by itself or by Stop.
func (s *Sandbox) Done() <-chan struct{} { return s.server.ended }

// Err is how the API server ended. It is nil until Done is closed, and where
// Stop ended it in good order.
func (s *Sandbox) Err() error {
	select {
	case <-s.server.ended:
		return s.server.err
	default:
		return nil
	}
}

// Dir is the folder that holds data, certificates and logs.
func (s *Sandbox) Dir() string { return s.dir }

// LogPath is the file that takes the components' log unless Options.LogTo was
// given.
func (s *Sandbox) LogPath() string { return filepath.Join(s.dir, "sandbox.log") }

// Client is an administrator's client.
func (s *Sandbox) Client() kubernetes.Interface { return s.client }

// Forbidden lists every request so far that was answered 403, oldest first, as
// "user METHOD path".
func (s *Sandbox) Forbidden() []string { return s.forbidden.list() }

var errServerEnded = errors.New("kube-apiserver ended")
