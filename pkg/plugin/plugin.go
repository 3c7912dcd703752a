// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

// Name is the plugin's name in a scheduler profile.
const Name = "Muster"

// Plugin places pod groups all-or-nothing.
type Plugin struct {
	handle  fwk.Handle
	args    *config.Args
	ladder  kube.Ladder
	gangs   *registry
	reports *reporter
	planner *planner
	gpus    *appraiser
	now     func() time.Time
}

var (
	_ fwk.QueueSortPlugin          = &Plugin{}
	_ fwk.PreEnqueuePlugin         = &Plugin{}
	_ fwk.EnqueueExtensions        = &Plugin{}
	_ fwk.PlacementGeneratePlugin  = &Plugin{}
	_ fwk.PreFilterPlugin          = &Plugin{}
	_ fwk.FilterPlugin             = &Plugin{}
	_ fwk.PreScorePlugin           = &Plugin{}
	_ fwk.ScorePlugin              = &Plugin{}
	_ fwk.PodGroupPostFilterPlugin = &Plugin{}
	_ fwk.ReservePlugin            = &Plugin{}
	_ fwk.PermitPlugin             = &Plugin{}
)

// Factory returns what the scheduler's registry needs to build the plugin.
// Groups is where verdicts on groups are written.
func Factory(groups Groups) frameworkruntime.PluginFactory {
	return func(ctx context.Context, obj runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := config.Decode(obj)
		if err != nil {
			return nil, err
		}
		return New(ctx, args, handle, groups)
	}
}

// New builds the plugin. Its background work ends with ctx.
func New(ctx context.Context, args *config.Args, handle fwk.Handle, groups Groups) (*Plugin, error) {
	registerMetrics()
	pl := &Plugin{
		handle:  handle,
		args:    args,
		ladder:  args.Ladder(),
		gangs:   newRegistry(),
		reports: newReporter(handle, groups),
		planner: newPlanner(args),
		gpus:    newAppraiser(&args.GPUs, handle.SharedDRAManager()),
		now:     time.Now,
	}
	pl.reports.incompleteDelay = args.IncompleteDelay.Duration
	if err := pl.watchCluster(); err != nil {
		return nil, err
	}
	if err := pl.gpus.watch(handle.SharedInformerFactory()); err != nil {
		return nil, err
	}
	observed.follow(ctx, pl)
	go pl.work(ctx, groups.Leading())
	return pl, nil
}

// work tells verdicts and wakes gangs once this replica is the one that
// schedules: another one does until then.
func (pl *Plugin) work(ctx context.Context, leading <-chan struct{}) {
	select {
	case <-leading:
		go pl.reports.run(ctx)
		pl.runWaker(ctx)
	case <-ctx.Done():
	}
}

// Name returns the plugin's name.
func (pl *Plugin) Name() string { return Name }
