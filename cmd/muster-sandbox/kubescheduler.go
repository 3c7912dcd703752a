// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func init() { verbs = append(verbs, newKubeScheduler) }

// newKubeScheduler returns the command of the upstream kube-scheduler, the
// baseline to compare with. The command itself is made only when it is wanted,
// because it registers flags and feature gates for the whole process.
func newKubeScheduler() *cobra.Command {
	return &cobra.Command{
		Use:                "kube-scheduler [flags]",
		Short:              "Run the stock kube-scheduler with its own flags",
		DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) {
			scheduler := app.NewSchedulerCommand()
			scheduler.SetArgs(args)
			os.Exit(cli.Run(scheduler))
		},
	}
}
