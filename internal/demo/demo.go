// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/internal/demo/data"
	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// Options say what is replayed and how. A zero field takes the default that
// stands beside it.
type Options struct {
	// Scheduler is Muster (the default) or Default.
	Scheduler string
	// Program runs another scheduler binary: program and first arguments.
	Program []string
	// SchedulerArgs are more flags for it; SchedulerLog is where its log goes,
	// by default a file that is removed at the end.
	SchedulerArgs []string
	SchedulerLog  string
	// Nodes is the size of the fleet: KalosNodes. Gangs is how many gangs of
	// the trace come: all of them.
	Nodes, Gangs int
	// Speed divides run times: 5000. MinRun is the shortest run: 3 s. Load is
	// the offered load: 1.0.
	Speed  float64
	MinRun time.Duration
	Load   float64
	// Topology is what gangs ask for: Preferred.
	Topology TopologyMode
	// DRA serves the GPUs from ResourceSlices. The gangs ask for the same extended
	// resource, for which a DeviceClass stands then.
	DRA bool
	// Limit ends a replay that takes longer: 160 s. Stall ends one in which
	// nothing works and nothing is bound: 15 s.
	Limit, Stall time.Duration
	// CommitWindow is how long a gang may take from its first to its last bind
	// before it counts as partly started: 5 s.
	CommitWindow time.Duration
	// Page serves a page about the control plane until its context is done, and
	// returns its address; nil for none.
	Page func(context.Context, *rest.Config) (string, error)
	// Out takes progress, nil for none.
	Out io.Writer
}

// DefaultOptions returns the options of the demo of the README.
func DefaultOptions() Options {
	var o Options
	o.setDefaults()
	return o
}

// setDefaults fills in the fields that are zero.
func (o *Options) setDefaults() {
	o.Scheduler = cmp.Or(o.Scheduler, Muster)
	o.Nodes = cmp.Or(o.Nodes, KalosNodes)
	o.Speed = cmp.Or(o.Speed, 5000)
	o.MinRun = cmp.Or(o.MinRun, 3*time.Second)
	o.Load = cmp.Or(o.Load, 1.0)
	o.Topology = cmp.Or(o.Topology, TopologyPreferred)
	o.Limit = cmp.Or(o.Limit, 160*time.Second)
	o.Stall = cmp.Or(o.Stall, 15*time.Second)
	o.CommitWindow = cmp.Or(o.CommitWindow, 5*time.Second)
}

// Run starts a control plane and a scheduler, replays the gangs and returns
// what was seen. Everything it started is gone when it returns.
func Run(ctx context.Context, opts Options) (*Report, error) {
	opts.setDefaults()
	if opts.Out == nil {
		opts.Out = io.Discard
	}
	p, load, err := opts.preparePlan()
	if err != nil {
		return nil, err
	}
	r := &demoRun{opts: &opts, plan: p, load: load, progress: newProgress(opts.Out, load.GPUs)}
	if r.program = opts.Program; r.program == nil {
		if r.program, err = schedulerCommand(opts.Scheduler); err != nil {
			return nil, err
		}
	}
	load.writeIntro(opts.Out, opts.Scheduler)
	if err := r.startCluster(ctx); err != nil {
		return nil, err
	}
	defer r.box.Stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := r.servePage(ctx); err != nil {
		return nil, err
	}
	return r.replayGangs(ctx)
}

// demoRun is one run of the demo: its input, and the control plane that lives
// as long as the run.
type demoRun struct {
	opts     *Options
	program  []string // the scheduler and its first arguments
	plan     *plan
	load     Load
	progress *progress
	box      *sandbox.Sandbox
}

// startCluster starts the control plane and creates the fleet in it.
func (r *demoRun) startCluster(ctx context.Context) error {
	r.progress.printNote("starting etcd, kube-apiserver and %d kubelets ...", len(r.plan.hosts))
	// With DRA the claims of pods that have ended have to go.
	box, err := sandbox.Start(ctx, sandbox.Options{DisableControllers: !r.opts.DRA})
	if err != nil {
		return err
	}
	if err := createFleet(ctx, box, r.plan.hosts, r.opts.DRA); err != nil {
		box.Stop()
		return err
	}
	r.box = box
	return nil
}

// servePage serves the page about the control plane, if one is wanted.
func (r *demoRun) servePage(ctx context.Context) error {
	if r.opts.Page == nil {
		return nil
	}
	address, err := r.opts.Page(ctx, r.box.Config())
	if err != nil {
		return err
	}
	r.progress.printNote("watch who gets which GPU: %s", address)
	return nil
}

// replayGangs runs the scheduler for the time of the replay and reports.
func (r *demoRun) replayGangs(ctx context.Context) (*Report, error) {
	r.progress.printNote("starting the scheduler ...\nlook inside: kubectl --kubeconfig %s -n %s get pods -L %s -o wide\n", r.box.KubeconfigPath(), namespace, kube.LabelGang)
	log := cmp.Or(r.opts.SchedulerLog, filepath.Join(r.box.Dir(), "scheduler.log"))
	scheduler, err := startScheduler(ctx, r.program, r.box.KubeconfigPath(), log, r.opts.SchedulerArgs...)
	if err != nil {
		return nil, err
	}
	out, err := r.plan.replayWith(ctx, scheduler, r.box, r.progress)
	took := scheduler.stopProcess()
	r.progress.clearLine()
	if err != nil {
		return nil, err
	}
	report := newReport(r.plan, r.load, out)
	report.Scheduler = r.opts.Scheduler
	report.SchedulerCPU = took.Seconds()
	return report, nil
}

// replayWith replays the gangs and stops when the scheduler ends: a crash must
// not look like gangs that wait.
func (p *plan) replayWith(ctx context.Context, scheduler *schedulerProcess, box *sandbox.Sandbox, show *progress) (*outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-scheduler.exited:
			cancel(errSchedulerEnded)
		case <-ctx.Done():
		}
	}()
	out, err := p.replayTrace(ctx, box.Client(), show.showSample)
	switch {
	case errors.Is(context.Cause(ctx), errSchedulerEnded):
		return nil, fmt.Errorf("%w (%w); its last words:\n%s", errSchedulerEnded, scheduler.err, scheduler.logTail())
	case err == nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return out, err
}

// createFleet creates the nodes and the namespace.
func createFleet(ctx context.Context, box *sandbox.Sandbox, hosts []trace.Node, dra bool) error {
	create := box.CreateNodes
	if dra {
		create = func(ctx context.Context, nodes []*v1.Node) error {
			return box.CreateDRANodes(ctx, nodes, sandbox.WholeGPUs)
		}
	}
	if err := create(ctx, fleetNodes(hosts)); err != nil {
		return fmt.Errorf("creating the fleet: %w", err)
	}
	ns := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := box.Client().CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the namespace: %w", err)
	}
	return nil
}

// preparePlan reads the trace, leaves out the gangs that are larger than the
// fleet, and compresses the others in time.
func (o *Options) preparePlan() (*plan, Load, error) {
	name, err := podScheduler(o.Scheduler)
	if err != nil {
		return nil, Load{}, err
	}
	if o.Topology != TopologyPreferred && o.Topology != TopologyRequired && o.Topology != TopologyNone {
		return nil, Load{}, fmt.Errorf("topology %q is not known; there are %q, %q and %q", o.Topology, TopologyPreferred, TopologyRequired, TopologyNone)
	}
	places, err := firstHosts(o.Nodes)
	if err != nil {
		return nil, Load{}, err
	}
	all, err := data.KalosGangs()
	if err != nil {
		return nil, Load{}, err
	}
	load := Load{
		Nodes: o.Nodes, GPUs: o.Nodes * trace.GPUsPerNode, Speed: o.Speed, MinRun: o.MinRun.Seconds(),
		Offered: o.Load, Topology: o.Topology,
	}
	var gangs []trace.Gang
	for _, g := range all {
		switch {
		case o.Gangs > 0 && len(gangs) == o.Gangs:
		case g.Pods > o.Nodes:
			load.TooLarge++
		default:
			gangs = append(gangs, g)
			load.Pods += g.Pods
		}
	}
	squeeze := trace.Compression{Speed: o.Speed, MinRun: o.MinRun, Load: o.Load, GPUs: load.GPUs}
	gangs, load.ArrivalSpeed, err = squeeze.Apply(gangs)
	if err != nil {
		return nil, Load{}, err
	}
	load.Gangs, load.Span = len(gangs), gangs[len(gangs)-1].Arrival.Seconds()
	return &plan{
		gangs: gangs, hosts: places, scheduler: name, topology: o.Topology,
		window: o.CommitWindow, stall: o.Stall, limit: o.Limit,
	}, load, nil
}
