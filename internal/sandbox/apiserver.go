// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// apiServer is a kube-apiserver that runs in this process or beside it.
type apiServer struct {
	address string
	stop    func()        // ends the server and waits for it
	ended   chan struct{} // closed when the server has ended
	err     error         // how it ended; to be read after that
}

// drainLimit is how long a stopping server waits for open requests. Watches
// never end by themselves, and upstream's limit is a minute.
const drainLimit = time.Second

// apiServerFlags are the flags of the API server, as a user would type them.
// Feature gates keep their defaults except for what opts asks.
func apiServerFlags(dir, etcdURL string, opts Options) []string {
	// No node-lifecycle controller runs, so nothing would ever take away the
	// not-ready taint that TaintNodesByCondition puts on each new node.
	disabled := []string{"TaintNodesByCondition"}
	if opts.DisableControllers {
		disabled = append(disabled, "ServiceAccount") // nobody makes the default one
	}
	pki := func(name string) string { return filepath.Join(dir, name) }
	flags := []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		"--tls-cert-file=" + pki("server.crt"),
		"--tls-private-key-file=" + pki("server.key"),
		"--client-ca-file=" + pki("ca.crt"),
		"--service-account-signing-key-file=" + pki("service-accounts.key"),
		"--service-account-key-file=" + pki("service-accounts.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		// The Service "kubernetes" gets no endpoints: they may not be loopback.
		"--endpoint-reconciler-type=none",
		"--disable-admission-plugins=" + strings.Join(disabled, ","),
	}
	// Said aloud either way in this process: gates are global to it and an
	// earlier sandbox may have turned this one on. Other releases may not
	// know it.
	generic := opts.GenericWorkload || opts.CompositePodGroup
	if opts.APIServer == "" || generic {
		flags = append(flags,
			fmt.Sprintf("--feature-gates=GenericWorkload=%t", generic),
			fmt.Sprintf("--runtime-config=scheduling.k8s.io/v1beta1=%t", generic))
	}
	if opts.APIServer == "" || opts.CompositePodGroup {
		flags = append(flags,
			fmt.Sprintf("--feature-gates=TopologyAwareWorkloadScheduling=%[1]t,CompositePodGroup=%[1]t", opts.CompositePodGroup),
			fmt.Sprintf("--runtime-config=scheduling.k8s.io/v1alpha3=%t", opts.CompositePodGroup))
	}
	return append(flags, opts.ExtraAPIServerArgs...)
}

// startAPIServer runs a kube-apiserver on a free loopback port. It returns
// before the server is ready.
func startAPIServer(ctx context.Context, flags []string, forbidden *forbiddenLog) (*apiServer, error) {
	run, err := apiServerOptions(flags)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the API server: %w", err)
	}
	run.SecureServing.Listener = listener
	run.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	run.SecureServing.ExternalAddress = net.IPv4(127, 0, 0, 1)

	// Not a child of ctx: etcd must outlive the server, so only Stop ends it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	serve, err := prepareAPIServer(ctx, run, forbidden)
	if err != nil {
		cancel()
		_ = listener.Close() // the server may have closed it
		return nil, fmt.Errorf("start kube-apiserver: %w", err)
	}
	server := &apiServer{address: listener.Addr().String(), ended: make(chan struct{})}
	server.stop = func() {
		cancel()
		<-server.ended
	}
	go func() {
		defer close(server.ended)
		server.err = serve(ctx)
	}()
	return server, nil
}

// apiServerOptions parses flags against a registry of its own, over the
// process's feature gates: the default registry would remember the flags of an
// earlier sandbox.
func apiServerOptions(flags []string) (*options.ServerRunOptions, error) {
	registry := basecompatibility.NewComponentGlobalsRegistry()
	err := registry.Register(basecompatibility.DefaultKubeComponent,
		newReleaseVersion(), utilfeature.DefaultMutableFeatureGate)
	if err != nil {
		return nil, fmt.Errorf("register feature gates: %w", err)
	}
	run := options.NewServerRunOptions()
	run.GenericServerRunOptions.ComponentGlobalsRegistry = registry
	set := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, named := range run.Flags().FlagSets {
		set.AddFlagSet(named)
	}
	if err := set.Parse(flags); err != nil {
		return nil, fmt.Errorf("kube-apiserver flags: %w", err)
	}
	if err := registry.Set(); err != nil {
		return nil, fmt.Errorf("kube-apiserver feature gates: %w", err)
	}
	return run, nil
}

// prepareAPIServer does what app.Run does, with forbidden put around the
// handlers, and returns what serves until its context is done.
func prepareAPIServer(ctx context.Context, run *options.ServerRunOptions, forbidden *forbiddenLog) (func(context.Context) error, error) {
	completed, err := run.Complete(ctx)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return nil, errors.Join(errs...)
	}
	config, err := app.NewConfig(completed)
	if err != nil {
		return nil, err
	}
	// The aggregator is the outermost of the three servers in the chain.
	forbidden.installFilters(&config.Aggregator.GenericConfig.Config)
	ready, err := config.Complete()
	if err != nil {
		return nil, err
	}
	chain, err := app.CreateServerChain(ready)
	if err != nil {
		return nil, err
	}
	chain.GenericAPIServer.ShutdownTimeout = drainLimit
	prepared, err := chain.PrepareRun()
	if err != nil {
		return nil, err
	}
	return prepared.Run, nil
}
