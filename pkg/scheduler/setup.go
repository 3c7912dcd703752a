// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"os"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	upstream "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/muster-scheduler/muster/pkg/dialect/shim"
	"github.com/muster-scheduler/muster/pkg/lease"
	"github.com/muster-scheduler/muster/pkg/plugin"
	pluginconfig "github.com/muster-scheduler/muster/pkg/plugin/config"
)

// setup builds the scheduler from the command's options. More plugins than Muster's own
// can be registered. The translator is what the scheduler works with, and history the
// place where the plugins' histories are found. It does not start anything but the
// endpoints' certificates.
func setup(ctx context.Context, opts *options.Options, history *historySource, more []app.Option) (*appconfig.CompletedConfig, *upstream.Scheduler, *shim.Translator, error) {
	c, err := buildConfig(ctx, opts)
	if err != nil {
		return nil, nil, nil, err
	}
	term, err := fenceWrites(ctx, c)
	if err != nil {
		return nil, nil, nil, err
	}
	translator, err := newTranslator(ctx, c, opts)
	if err != nil {
		return nil, nil, nil, err
	}
	eventClient, err := kubernetes.NewForConfig(c.KubeConfig)
	if err != nil {
		return nil, nil, nil, err
	}
	c.EventBroadcaster = newBroadcaster(ctx, c.EventBroadcaster, eventClient, translator.AfterBindings)
	c.InformerFactory = translator.InformerFactory()
	if err := adaptToServer(ctx, c.Client.Discovery(), c.InformerFactory); err != nil {
		return nil, nil, nil, err
	}
	registry := frameworkruntime.Registry{
		plugin.Name: history.pluginFactory(translator), plugin.DevicesName: plugin.NewDeviceAllocator,
	}
	for _, option := range more {
		if err := option(registry); err != nil {
			return nil, nil, nil, err
		}
	}
	cc := c.Complete()
	sched, err := buildScheduler(ctx, &cc, translator, term, registry, opts.WriteConfigTo)
	if err != nil {
		return nil, nil, nil, err
	}
	return &cc, sched, translator, nil
}

// buildConfig reads flags and configuration, and returns an error for what
// cannot work.
func buildConfig(ctx context.Context, opts *options.Options) (*appconfig.Config, error) {
	if err := checkGates(); err != nil {
		return nil, err
	}
	inCluster := os.Getenv("KUBERNETES_SERVICE_HOST") != "" && opts.Deprecated.Kubeconfig == ""
	cfg, err := DefaultConfig(inCluster)
	if err != nil {
		return nil, err
	}
	opts.ComponentConfig = cfg
	if errs := opts.Validate(); len(errs) > 0 {
		return nil, utilerrors.NewAggregate(errs)
	}
	// The informers that upstream builds here give way to our own, which have
	// the name in metrics.
	name := opts.InformerName
	opts.InformerName = nil
	c, err := opts.Config(ctx)
	opts.InformerName = name
	if err != nil {
		return nil, err
	}
	if opts.ConfigFile != "" {
		if err := readProfiling(&c.ComponentConfig, opts.ConfigFile); err != nil {
			return nil, err
		}
	}
	CompleteConfig(&c.ComponentConfig)
	if err := CheckConfig(&c.ComponentConfig); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if !c.ComponentConfig.LeaderElection.LeaderElect {
		klog.FromContext(ctx).Info("Leader election is off: this must be the only replica")
	}
	return c, nil
}

// newTranslator returns the translator through which the scheduler reads and
// writes the API server.
func newTranslator(ctx context.Context, c *appconfig.Config, opts *options.Options) (*shim.Translator, error) {
	// Binds do not wait behind the writing of status.
	statusConfig := rest.CopyConfig(c.KubeConfig)
	statusConfig.QPS, statusConfig.Burst = c.KubeConfig.QPS/3, c.KubeConfig.Burst/3
	statusConfig.UserAgent = rest.DefaultKubernetesUserAgent() + "/status"
	statusClient, err := kubernetes.NewForConfig(statusConfig)
	if err != nil {
		return nil, err
	}
	dynamicClient, err := dynamic.NewForConfig(statusConfig)
	if err != nil {
		return nil, err
	}
	settings, err := settingsOf(c.ComponentConfig.Profiles)
	if err != nil {
		return nil, err
	}
	return shim.New(ctx, shim.Options{
		SchedulerNames: settings.SchedulerNames,
		Dialects:       settings.Dialects,
		AutoNamespaces: settings.AutoGangNamespaces,
		Client:         c.Client,
		StatusClient:   statusClient,
		Dynamic:        dynamicClient,
		InformerName:   opts.InformerName,
	})
}

// settingsOf reads what the profiles of the scheduler come to.
func settingsOf(profiles []config.KubeSchedulerProfile) (pluginconfig.Settings, error) {
	list := make([]pluginconfig.Profile, len(profiles))
	for i := range profiles {
		list[i].SchedulerName = profiles[i].SchedulerName
		for _, one := range profiles[i].PluginConfig {
			if one.Name == plugin.Name {
				list[i].Args = one.Args
			}
		}
	}
	return pluginconfig.Merge(list)
}

// buildScheduler builds the upstream scheduler on the translator's client and
// informers.
func buildScheduler(ctx context.Context, cc *appconfig.CompletedConfig, translator *shim.Translator, term *lease.Term, registry frameworkruntime.Registry, writeConfigTo string) (*upstream.Scheduler, error) {
	recorders := translator.Recorders(func(name string) events.EventRecorderLogger {
		return cc.EventBroadcaster.NewRecorder(name)
	})
	var profiles []config.KubeSchedulerProfile
	cfg := &cc.ComponentConfig
	sched, err := upstream.New(ctx, translator.Client(), cc.InformerFactory, cc.DynInformerFactory, recorders,
		upstream.WithComponentConfigVersion(cfg.APIVersion),
		upstream.WithKubeConfig(cc.KubeConfig),
		upstream.WithProfiles(cfg.Profiles...),
		upstream.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore),
		upstream.WithFrameworkOutOfTreeRegistry(registry),
		upstream.WithPodMaxBackoffSeconds(cfg.PodMaxBackoffSeconds),
		upstream.WithPodInitialBackoffSeconds(cfg.PodInitialBackoffSeconds),
		upstream.WithPodMaxInUnschedulablePodsDuration(cc.PodMaxInUnschedulablePodsDuration),
		upstream.WithExtenders(cfg.Extenders...),
		upstream.WithParallelism(cfg.Parallelism),
		upstream.WithBuildFrameworkCapturer(func(profile config.KubeSchedulerProfile) {
			profiles = append(profiles, profile)
		}),
	)
	if err != nil {
		return nil, err
	}
	// The first pod is asked for once leader election is won.
	next := sched.NextEntity
	sched.NextEntity = func(logger klog.Logger) (framework.QueuedEntityInfo, error) {
		translator.Lead()
		entity, err := next(logger)
		if err == nil {
			err = term.Wait(ctx) // it may have waited for long
		}
		return entity, err
	}
	return sched, options.LogOrWriteConfig(klog.FromContext(ctx), writeConfigTo, cfg, profiles)
}
