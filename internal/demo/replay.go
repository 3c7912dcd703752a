// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// EndReason is why a replay ended.
type EndReason string

// The reasons. EndDone: every gang has worked. EndStalled: all have been
// submitted, none works, and for the stall time no pod was bound, so that none
// ever will be. EndLimit: the time was up.
const (
	EndDone    EndReason = "done"
	EndStalled EndReason = "stalled"
	EndLimit   EndReason = "limit"
)

// sampleEvery is the interval of the samples of the utilization curve.
const sampleEvery = 250 * time.Millisecond

// errEnd cancels what still runs when a replay has ended.
var errEnd = errors.New("the replay has ended")

// plan is a replay before its start: the input after compression.
type plan struct {
	gangs     []trace.Gang // squeezed
	hosts     []trace.Node
	scheduler string // the pods' schedulerName
	topology  TopologyMode
	window    time.Duration // the commit window
	stall     time.Duration
	limit     time.Duration
}

// outcome is the data that a replay leaves for the report.
type outcome struct {
	end     EndReason
	tracker *tracker
	samples []sample
	audit   audit.Report
	// reasons are what the scheduler says of gangs that never started.
	reasons map[string]string
}

// replayTrace runs one goroutine for each gang, and returns when all have
// worked, nothing moves any more or the time is up. show is called for every
// sample.
func (p *plan) replayTrace(ctx context.Context, client kubernetes.Interface, show func(sample, audit.Report)) (*outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := probeScheduler(ctx, client, p.scheduler); err != nil {
		return nil, err
	}
	start := time.Now()
	d := &driver{
		client: client, tracker: newTracker(p.gangs, p.hosts),
		creating: make(requestSlots, requestsInFlight), deleting: make(requestSlots, requestsInFlight),
		clock: func() time.Duration { return time.Since(start) },
	}
	if err := d.followPods(ctx); err != nil {
		return nil, err
	}
	auditor, err := audit.WatchCluster(ctx, client, audit.Options{CommitWindow: p.window, Levels: levels})
	if err != nil {
		return nil, err
	}
	lives, running := errgroup.WithContext(ctx)
	leaf := largestLeaf(p.hosts)
	for _, j := range d.tracker.jobs {
		pods := podsOf(j.Gang, p.scheduler, p.topology, leaf)
		lives.Go(func() error { return d.runGang(running, j, pods) })
	}
	out := &outcome{tracker: d.tracker}
	out.end = p.watchReplay(running, d, auditor, func(s sample, found audit.Report) {
		out.samples = append(out.samples, s)
		show(s, found)
	})
	out.audit = auditor.Report(time.Now())
	out.reasons = waitReasons(ctx, client, d.tracker)
	// The report is complete: what the goroutines do from here on, such as the
	// deletion of pods, must not change it.
	cancel(errEnd)
	if err := lives.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// watchReplay samples the replay until it ends, and returns why it ended: ""
// where the context did.
func (p *plan) watchReplay(ctx context.Context, d *driver, auditor *audit.Auditor, show func(sample, audit.Report)) EndReason {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-ticker.C:
		}
		s := d.tracker.takeSample(d.clock())
		show(s, auditor.Report(time.Now()))
		switch {
		case s.done == len(p.gangs):
			return EndDone
		case s.at > p.limit:
			return EndLimit
		case s.coming == 0 && s.running == 0 && s.quiet > p.stall:
			return EndStalled
		}
	}
}

// waitReasons returns what the scheduler says of each gang that is not placed:
// the PodScheduled message of its first pod that has no node.
func waitReasons(ctx context.Context, client kubernetes.Interface, t *tracker) map[string]string {
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName="})
	if err != nil {
		return nil // the report then does without
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	reasons := map[string]string{}
	for i := range pods.Items {
		j := t.byName[pods.Items[i].Labels[kube.LabelGang]]
		if j == nil || j.placed >= 0 || reasons[j.Name] != "" {
			continue
		}
		for _, c := range pods.Items[i].Status.Conditions {
			if c.Type == v1.PodScheduled {
				reasons[j.Name] = c.Message
			}
		}
	}
	return reasons
}

// largestLeaf returns the number of hosts of the largest leaf.
func largestLeaf(hosts []trace.Node) int {
	largest, size := 0, map[string]int{}
	for _, host := range hosts {
		size[host.Leaf]++
		largest = max(largest, size[host.Leaf])
	}
	return largest
}
