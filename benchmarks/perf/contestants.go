// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/test/utils/client-go/ktesting"

	"github.com/muster-scheduler/muster/pkg/scheduler"
)

// startMuster runs the command muster-scheduler in this process, as
// scheduler_perf does with kube-scheduler, and with the same limits on its
// client.
func startMuster(tCtx ktesting.TContext) error {
	kubeconfig, err := writeKubeconfig(tCtx.RESTConfig(), tCtx.TempDir())
	if err != nil {
		return err
	}
	cmd := scheduler.NewCommand()
	cmd.SetArgs([]string{
		"--kubeconfig=" + kubeconfig, "--leader-elect=false", "--secure-port=0", "-v=2",
		"--kube-api-qps=5000", "--kube-api-burst=5000",
	})
	runInBackground(tCtx, func(ctx context.Context) {
		if err := cmd.ExecuteContext(ctx); err != nil {
			tCtx.Errorf("muster-scheduler: %v", err)
		}
	})
	return nil
}

// runInBackground runs a function until the benchmark is over, and then waits
// for its end.
func runInBackground(tCtx ktesting.TContext, run func(context.Context)) {
	ctx, cancel := context.WithCancel(tCtx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	tCtx.Cleanup(func() {
		cancel()
		<-done
	})
}

// writeKubeconfig writes the credentials of scheduler_perf's API server: the
// command takes no client configuration, only a file.
func writeKubeconfig(cfg *rest.Config, dir string) (string, error) {
	path := filepath.Join(dir, "kubeconfig")
	return path, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"perf": {
			Server:                   cfg.Host,
			TLSServerName:            cfg.ServerName,
			CertificateAuthorityData: cfg.CAData,
			CertificateAuthority:     cfg.CAFile,
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"perf": {Token: cfg.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"perf": {Cluster: "perf", AuthInfo: "perf"}},
		CurrentContext: "perf",
	}, path)
}
