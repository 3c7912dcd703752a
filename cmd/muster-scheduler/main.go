// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command muster-scheduler is the scheduler: kube-scheduler with Muster's
// plugin, run beside the cluster's own scheduler.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the client's metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version metric

	"github.com/muster-scheduler/muster/pkg/scheduler"
)

func main() {
	os.Exit(cli.Run(scheduler.NewCommand()))
}
