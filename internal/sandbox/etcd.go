// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

const etcdStartLimit = time.Minute

// startEtcd runs a single etcd member on free loopback ports and returns it
// with the URL of its client port.
//
// The data does not outlive the process, so nothing is fsynced: a power cut
// could lose it, a crash of this process could not be recovered from anyway.
// Snapshots are frequent because etcd keeps every entry since the last one in
// memory.
func startEtcd(ctx context.Context, dir string, logTo io.Writer) (*embed.Etcd, string, error) {
	free := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg := embed.NewConfig()
	cfg.Name = "muster-sandbox"
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.ListenClientUrls = []url.URL{free}
	cfg.AdvertiseClientUrls = []url.URL{free}
	cfg.ListenPeerUrls = []url.URL{free}
	cfg.AdvertisePeerUrls = []url.URL{free}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	cfg.SnapshotCount = 2000
	cfg.SnapshotCatchUpEntries = 100
	cfg.TickMs, cfg.ElectionMs = 10, 100 // a lone member elects itself
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(etcdLogger(logTo))

	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, "http://" + etcd.Clients[0].Addr().String(), nil
	case err = <-etcd.Err():
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(etcdStartLimit):
		err = fmt.Errorf("not ready after %v", etcdStartLimit)
	}
	etcd.Close()
	return nil, "", fmt.Errorf("start etcd: %w", err)
}
