// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
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
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin"
	pluginconfig "github.com/muster-scheduler/muster/pkg/plugin/config"
)

// Setup builds the scheduler from the command's options. More plugins than
// Muster's own can be registered. The translator is what the scheduler works with. It does not start anything but the
// endpoints' certificates.
func Setup(ctx context.Context, opts *options.Options, more ...app.Option) (*appconfig.CompletedConfig, *upstream.Scheduler, *shim.Translator, error) {
	c, err := configure(ctx, opts)
	if err != nil {
		return nil, nil, nil, err
	}
	translator, err := translate(ctx, c, opts)
	if err != nil {
		return nil, nil, nil, err
	}
	eventClient, err := kubernetes.NewForConfig(c.KubeConfig)
	if err != nil {
		return nil, nil, nil, err
	}
	c.EventBroadcaster = newBroadcaster(ctx, c.EventBroadcaster, eventClient, translator.AfterBindings)
	c.InformerFactory = translator.InformerFactory()
	if err := adapt(ctx, c.Client.Discovery(), c.InformerFactory); err != nil {
		return nil, nil, nil, err
	}
	registry := frameworkruntime.Registry{plugin.Name: plugin.Factory(translator)}
	for _, option := range more {
		if err := option(registry); err != nil {
			return nil, nil, nil, err
		}
	}
	cc := c.Complete()
	sched, err := build(ctx, &cc, translator, registry, opts.WriteConfigTo)
	if err != nil {
		return nil, nil, nil, err
	}
	return &cc, sched, translator, nil
}

// configure reads flags and configuration, and refuses what cannot work.
func configure(ctx context.Context, opts *options.Options) (*appconfig.Config, error) {
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
	Complete(&c.ComponentConfig)
	if err := CheckConfig(&c.ComponentConfig); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if !c.ComponentConfig.LeaderElection.LeaderElect {
		klog.FromContext(ctx).Info("Leader election is off: this must be the only replica")
	}
	return c, nil
}

// translate builds what stands between the API server and the scheduler.
func translate(ctx context.Context, c *appconfig.Config, opts *options.Options) (*shim.Translator, error) {
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
	var schedulerNames []string
	for i := range c.ComponentConfig.Profiles {
		schedulerNames = append(schedulerNames, c.ComponentConfig.Profiles[i].SchedulerName)
	}
	dialects, autoNamespaces, err := dialectsOf(c.ComponentConfig.Profiles)
	if err != nil {
		return nil, err
	}
	return shim.New(ctx, shim.Options{
		SchedulerNames: schedulerNames,
		Dialects:       dialects,
		AutoNamespaces: autoNamespaces,
		Client:         c.Client,
		StatusClient:   statusClient,
		Dynamic:        dynamicClient,
		InformerName:   opts.InformerName,
	})
}

// dialectsOf lists the dialects that any of the profiles reads, none for all,
// and the namespaces where pods are gangs unasked: one translator serves all
// profiles.
func dialectsOf(profiles []config.KubeSchedulerProfile) (dialects []kube.Dialect, autoNamespaces []string, err error) {
	all := false
	for i := range profiles {
		var given runtime.Object
		for _, one := range profiles[i].PluginConfig {
			if one.Name == plugin.Name {
				given = one.Args
			}
		}
		args, err := pluginconfig.Decode(given)
		if err != nil {
			return nil, nil, err
		}
		all = all || len(args.Dialects) == 0
		dialects = append(dialects, args.Dialects...)
		autoNamespaces = append(autoNamespaces, args.AutoGangNamespaces...)
	}
	if all {
		dialects = nil
	}
	return dialects, autoNamespaces, nil
}

func build(ctx context.Context, cc *appconfig.CompletedConfig, translator *shim.Translator, registry frameworkruntime.Registry, writeConfigTo string) (*upstream.Scheduler, error) {
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
		return next(logger)
	}
	return sched, options.LogOrWriteConfig(klog.FromContext(ctx), writeConfigTo, cfg, profiles)
}
