// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"

	"github.com/muster-scheduler/muster/pkg/lease"
)

// fenceWrites has every write of the scheduler wait for the term of its leadership,
// those of clients included that are made of the configuration later. Without leader
// election there is no term: it returns nil.
func fenceWrites(ctx context.Context, c *appconfig.Config) (*lease.Term, error) {
	if c.LeaderElection == nil {
		return nil, nil //nolint:nilnil // a nil term never ends
	}
	logger := klog.FromContext(ctx)
	term := lease.NewTerm(c.LeaderElection.RenewDeadline)
	c.LeaderElection.Lock = term.WatchLock(c.LeaderElection.Lock, func(holder string) {
		logger.Error(nil, "Another replica leads; ending at once", "holder", holder)
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	})
	c.KubeConfig = rest.CopyConfig(c.KubeConfig)
	c.KubeConfig.Wrap(term.Transport)
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(c.KubeConfig), "scheduler"))
	if err != nil {
		return nil, err
	}
	c.Client = client
	return term, nil
}
