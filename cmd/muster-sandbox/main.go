// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command muster-sandbox runs a Kubernetes control plane with simulated GPU
// nodes on one machine, for trying schedulers.
//
// Each verb is a file of this folder: up starts a control plane and waits for
// Ctrl-C (up.go), demo replays gangs of a real cluster against a scheduler
// (demo.go), and kube-scheduler is the stock one, built in as the baseline to
// compare with (kubescheduler.go). No verb is part of the product: what they do
// is in package sandbox and package demo.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verbs make the subcommands; each file of this folder adds its own.
var verbs []func() *cobra.Command

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Ctrl-C cancels ctx, and the verb ends in good order: data folder and
	// kubeconfig are removed.
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "muster-sandbox:", err)
		stop()
		os.Exit(1)
	}
}

// newRoot returns the command line. Without a verb it does what `up` does.
func newRoot() *cobra.Command {
	root := newUp()
	root.Use = "muster-sandbox"
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	// The libraries of Kubernetes register a flag of this name for every command
	// of the process, which nothing here reads.
	if upstream := pflag.Lookup("version"); upstream != nil {
		upstream.Hidden = true
	}
	root.Version = buildVersion()
	root.Flags().Bool("version", false, "print the version and quit")
	for _, verb := range verbs {
		root.AddCommand(verb())
	}
	return root
}

// buildVersion returns what this binary was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + ", built with " + info.GoVersion
}
