// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/tools/cache"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/term"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/muster-scheduler/muster/pkg/dialect/shim"
)

// Name is the name of the command.
const Name = "muster-scheduler"

// NewCommand returns the scheduler command. It has kube-scheduler's flags.
// Plugins of others can be registered beside Muster's own.
func NewCommand(more ...app.Option) *cobra.Command {
	opts := options.NewOptions()
	showVersion, showPage := false, false
	cmd := &cobra.Command{
		Use: Name,
		Long: `muster-scheduler places gangs of pods on GPU nodes: all of a gang or none of it,
as close together as the network allows. It runs beside the cluster's own
scheduler and takes the pods whose schedulerName is that of one of its profiles,
"muster" by default. It has the flags and endpoints of kube-scheduler.`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if err := setGates(); err != nil {
				return err
			}
			return opts.ComponentGlobalsRegistry.Set()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText())
				return err
			}
			return runCommand(cmd, opts, showPage, more)
		},
	}
	flags := opts.Flags
	flags.FlagSet("global").BoolVar(&showVersion, "version", false, "Print the version and exit.")
	flags.FlagSet("muster").BoolVar(&showPage, "topology-page", false, "Serve a page that shows who holds which GPU at "+pagePath+"/ of the secure port, to those who may get that path. It names gangs and pods of all namespaces.")
	globalflag.AddGlobalFlags(flags.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	describeDefaults(flags)
	for _, set := range flags.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, *flags, columns)
	return cmd
}

// describeDefaults sets the defaults in --help that differ from
// kube-scheduler's. The values themselves are those of DefaultConfig.
func describeDefaults(flags *cliflag.NamedFlagSets) {
	for name, value := range map[string]string{
		"leader-elect":                    "true inside a cluster, else false",
		"leader-elect-resource-name":      LeaseName,
		"leader-elect-resource-namespace": LeaseNamespace,
	} {
		if flag := flags.FlagSet("leader election").Lookup(name); flag != nil {
			flag.DefValue = value
		}
	}
	for name, value := range map[string]string{"kube-api-qps": "1000", "kube-api-burst": "600", "profiling": "false", "contention-profiling": "false"} {
		if flag := flags.FlagSet("deprecated").Lookup(name); flag != nil {
			flag.DefValue = value
		}
	}
}

// versionText returns what this binary was built from.
func versionText() string {
	own, kubernetes := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		own = info.Main.Version
		for _, dep := range info.Deps {
			if dep.Path == "k8s.io/kubernetes" {
				kubernetes = dep.Version
			}
		}
	}
	return fmt.Sprintf("%s %s, on kube-scheduler %s", Name, own, kubernetes)
}

// runCommand does what the command of kube-scheduler does, in its order, with
// the scheduler of setup and, if wanted, the topology page.
func runCommand(cmd *cobra.Command, opts *options.Options, showPage bool, more []app.Option) error {
	gates := opts.ComponentGlobalsRegistry.FeatureGateFor(basecompatibility.DefaultKubeComponent)
	if err := logsapi.ValidateAndApply(opts.Logs, gates); err != nil {
		return err
	}
	cliflag.PrintFlags(cmd.Flags())
	if opts.InformerName == nil {
		name, err := cache.NewInformerName(Name)
		if err != nil {
			return err
		}
		opts.InformerName = name
	}
	skipUnsetMetrics(opts)
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	stop := server.SetupSignalHandler()
	go func() {
		<-stop
		cancel(nil)
	}()
	history := &historySource{}
	cc, sched, translator, err := setup(ctx, opts, history, more)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	if mutable, ok := gates.(featuregate.MutableFeatureGate); ok {
		mutable.AddMetrics()
	}
	opts.ComponentGlobalsRegistry.AddMetrics()
	if err := serveOwn(ctx, cc, &served{history, translator, showPage}, cancel); err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	err = app.Run(ctx, cc, sched)
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return nil // asked to stop
	} else if cause != nil {
		return cause
	}
	return err
}

// served is what the secure port has beside what kube-scheduler serves there: the
// history always, and the topology page if it was asked for.
type served struct {
	history    *historySource
	translator *shim.Translator
	page       bool
}

// serveOwn serves it. fail is called if that does not come about.
func serveOwn(ctx context.Context, cc *appconfig.CompletedConfig, s *served, fail func(error)) error {
	if cc.SecureServing == nil {
		if s.page {
			return errors.New("--topology-page: there is no secure port; leave out --secure-port=0")
		}
		return nil
	}
	routes := []route{{historyPath, s.history}}
	if s.page {
		page, err := pageRoutes(cc, s.translator.DeclarationOf)
		if err != nil {
			return fmt.Errorf("--topology-page: %w", err)
		}
		routes = append(routes, page...)
	}
	return serveBeside(ctx, cc, routes, fail)
}

// skipUnsetMetrics keeps upstream from applying the options for metrics where
// none is set: it logs an error about a file of labels that nobody named.
func skipUnsetMetrics(opts *options.Options) {
	if reflect.DeepEqual(opts.Metrics, metrics.NewOptions()) {
		opts.Metrics = nil
	}
}
