// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
)

// Times of the pod garbage collector of kube-controller-manager, which cannot
// be run here: it links the whole kubelet.
const (
	orphanCheckPeriod = 20 * time.Second
	// orphanQuarantine is how long a node may be missing before its pods are
	// taken for orphans.
	orphanQuarantine = 40 * time.Second
)

// orphanCollector finishes the pods of nodes that are gone.
type orphanCollector struct {
	pods    corelisters.PodLister
	nodes   corelisters.NodeLister
	endings *podEndings
	// missingSince is when a node with pods was first found to be missing.
	missingSince map[string]time.Time
}

func newOrphanCollector(informers informers.SharedInformerFactory, endings *podEndings) *orphanCollector {
	return &orphanCollector{
		pods:         informers.Core().V1().Pods().Lister(),
		nodes:        informers.Core().V1().Nodes().Lister(),
		endings:      endings,
		missingSince: map[string]time.Time{},
	}
}

// run collects until ctx is done.
func (c *orphanCollector) run(ctx context.Context) {
	tick := time.NewTicker(orphanCheckPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := c.collect(now); err != nil {
				klog.FromContext(ctx).Error(err, "Could not look for pods of nodes that are gone")
			}
		}
	}
}

// collect finishes the pods whose nodes have been missing for the quarantine,
// and forgets nodes that are back or hold no pod any more.
func (c *orphanCollector) collect(now time.Time) error {
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return err
	}
	missing := map[string]time.Time{}
	for _, pod := range pods {
		name := pod.Spec.NodeName
		if name == "" {
			continue
		}
		if _, err := c.nodes.Get(name); err == nil {
			continue
		}
		since, known := c.missingSince[name]
		if !known {
			since = now
		}
		missing[name] = since
		if now.Sub(since) >= orphanQuarantine {
			c.endings.addOrphan(pod)
		}
	}
	c.missingSince = missing
	return nil
}
