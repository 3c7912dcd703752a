// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/page"
	"github.com/muster-scheduler/muster/pkg/snapshot"
)

// noPage is the port of a page that is not wanted.
const noPage = -1

// addPageFlag adds the flag --page-port, which two verbs have.
func addPageFlag(cmd *cobra.Command, port *int) {
	cmd.Flags().IntVar(port, "page-port", 0, "loopback `port` of a page that shows who holds which GPU; 0: any that is free, -1: no page")
}

// servePage serves the topology page of a control plane until ctx is done, and
// returns its address. The control plane is watched from the first request on:
// a sandbox without a reader pays nothing.
func servePage(ctx context.Context, cfg *rest.Config, port int) (string, error) {
	clients, err := snapshot.NewClients(cfg, "muster-sandbox-page")
	if err != nil {
		return "", err
	}
	f := &pageSource{ctx: ctx, clients: clients}
	return page.ServeLocal(ctx, port, page.NewServer(page.Source{Version: f.clusterVersion, Build: f.buildData}))
}

// pageSource builds the data of the page. A page.Server calls it for one
// request at a time, so it needs no lock.
type pageSource struct {
	ctx     context.Context // ends what is started later
	clients snapshot.Clients
	live    *snapshot.LiveCluster
}

// clusterVersion returns "" until the first request has started the watch.
func (f *pageSource) clusterVersion() string {
	if f.live == nil {
		return ""
	}
	return f.live.Version()
}

// buildData returns the gangs of all schedulers, whichever is tried here.
func (f *pageSource) buildData(context.Context) (*page.Data, error) {
	if f.live == nil {
		live, err := snapshot.FollowCluster(f.ctx, f.clients)
		if err != nil {
			return nil, err
		}
		f.live = live
	}
	// The default levels: a sandbox labels its nodes with them, and does not know
	// the configuration of the scheduler that is tried.
	s := f.live.Snapshot()
	p, err := explain.NewClusterView(explain.Config{Devices: s.DeviceSource()}, s.Nodes, s.Pods, s.Gangs())
	if err != nil {
		return nil, err
	}
	return page.BuildData(p, s.ReferenceTime(time.Now()), "")
}
