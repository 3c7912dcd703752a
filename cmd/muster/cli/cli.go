// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command muster, one file a verb. It wires flags to
// packages snapshot, explain and report.
//
// Every verb takes the same way: options (options.go) read a snapshot of the
// cluster or of a folder, buildView makes a view of it with the scheduler's
// configuration (config.go), package explain answers, and package report writes
// the answer. watch.go does so again with every change; complete.go answers the
// shell's questions from the same view. simulate.go, with its flags in replay.go
// and packing.go, needs no cluster and calls the simulator.
//
// A verb that says why something does not fit returns errRefused, which is no
// message but the exit status 1; any other error is one of input or of reading.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/terminal"
)

// The exit statuses, the same for every verb.
const (
	exitFits    = 0 // all is well: it fits, it runs
	exitRefused = 1 // it does not fit, or cannot be scheduled as it is declared
	exitFailed  = 2 // wrong input, or the cluster cannot be read
)

// errRefused ends a verb that has said why something does not fit.
var errRefused = errors.New("it does not fit")

// Main runs the command with the arguments of the process and returns its exit
// status.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	klog.LogToStderr(false) // what client-go logs is not for users
	klog.SetOutput(io.Discard)
	return Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
}

// Run runs the command: args[0] is the name that it was called by.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	name, args := filepath.Base(args[0]), args[1:]
	if name == kubectlCompletes {
		args = append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	root := newRoot(name)
	root.SetArgs(args)
	root.SetIn(stdin)
	// What is shown holds names and messages of anybody who may create a pod.
	stdout, stderr = &terminal.PlainWriter{Out: stdout}, &terminal.PlainWriter{Out: stderr}
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitFits
	case errors.Is(err, errRefused):
		return exitRefused
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // Ctrl-C ends --watch
		return exitFits
	}
	writeError(stderr, err)
	return exitFailed
}

// writeError writes an error. Lines after the first are indented: none of them can
// pass for a line of its own.
func writeError(w io.Writer, err error) {
	fmt.Fprintf(w, "muster: %s\n", strings.ReplaceAll(strings.TrimRight(err.Error(), "\n"), "\n", "\n  "))
}

const longHelp = `Muster places gangs of pods on GPU nodes, all or nothing, as close together as
the fabric allows. This command says where gangs are, where they would go, and
what would let the ones in that wait. It changes nothing.

It reads the cluster of your kubeconfig, or with --snapshot a folder that
"muster snapshot" wrote, or that holds the output of kubectl get -o yaml.

Exit status: 0 it fits or runs; 1 it does not; 2 wrong input, or the cluster
cannot be read.`

// newRoot returns the command. kubectl calls its plugins kubectl-NAME; the help
// then shows the name that users type.
func newRoot(calledBy string) *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use: "muster", Short: "Say where gangs of pods are, where they would go, and why they wait", Long: longHelp,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if strings.HasPrefix(calledBy, "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl muster"}
	}
	o.addFlags(root)
	root.AddCommand(explainVerb(o), statusVerb(o), queueVerb(o), historyVerb(o), topologyVerb(o), planVerb(o), snapshotVerb(o), simulateVerb(o), gpuLinksVerb(), versionVerb())
	return root
}

// versionVerb returns the command version.
func versionVerb() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this command", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return errors.New("this binary carries no version")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "muster %s, built with %s\n", info.Main.Version, info.GoVersion)
			return nil
		},
	}
}
