// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

func init() { verbs = append(verbs, newUp) }

// upFlags are the flags of `up`.
type upFlags struct {
	sandbox sandbox.Options
	// fleet is used unless inventory names a file.
	fleet      sandbox.Fleet
	inventory  string
	dra        draFlags
	kubeconfig string
	page       int
}

// newUp returns the command up.
func newUp() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a control plane with simulated GPU nodes; Ctrl-C stops it",
		Long: `Start etcd, kube-apiserver, the controllers for Jobs and ResourceClaims and
simulated kubelets in this process, on loopback. No scheduler is part of it. Ctrl-C stops everything
and removes its data and the kubeconfig.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := f.run(cmd.Context(), cmd.OutOrStdout())
			if errors.Is(err, context.Canceled) {
				return nil // Ctrl-C before it was ready
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false // the help begins with what is used most
	flags.IntVar(&f.fleet.Nodes, "nodes", 32, "how many nodes")
	flags.IntVar(&f.fleet.GPUs, "gpus", 8, "GPUs of each node")
	flags.StringVar(&f.fleet.Product, "gpu-product", "NVIDIA-H100-80GB-HBM3", "value of the label "+sandbox.ProductLabel)
	flags.IntVar(&f.fleet.NodesPerRack, "nodes-per-rack", 8, "nodes that share the label "+sandbox.RackLabel+"; 0: no such label")
	flags.IntVar(&f.fleet.RacksPerBlock, "racks-per-block", 4, "racks that share the label "+sandbox.BlockLabel+"; 0: no such label")
	flags.StringVar(&f.inventory, "inventory", "", "take the nodes from a CSV `file` with the columns node,gpu_model,gpus,cpus[,memory_gib][,LABEL-KEY ...] instead")
	f.dra.register(flags)
	flags.StringVar(&f.kubeconfig, "kubeconfig", "muster-sandbox.kubeconfig", "`file` to write the administrator's kubeconfig to")
	flags.Float64Var(&f.sandbox.StopSeconds, "stop-seconds", 0, "`seconds` that the containers of a deleted pod run on, within its grace period; a pod's annotation "+sandbox.StopSecondsAnnotation+" counts more")
	flags.BoolVar(&f.sandbox.GenericWorkload, "generic-workload", false, "turn the feature gate GenericWorkload on and serve scheduling.k8s.io/v1beta1")
	flags.BoolVar(&f.sandbox.CompositePodGroup, "composite-pod-groups", false, "do so with the gates CompositePodGroup and TopologyAwareWorkloadScheduling too, and serve scheduling.k8s.io/v1alpha3")
	flags.BoolVar(&f.sandbox.PodGroupCRD, "podgroup-crd", true, "install the CRD of scheduling.x-k8s.io/v1alpha1 PodGroup")
	flags.StringVar(&f.sandbox.Dir, "data-dir", "", "empty or absent `folder` for data and logs, removed at the end (default: a new one in the temporary folder)")
	flags.StringArrayVar(&f.sandbox.ExtraAPIServerArgs, "apiserver-arg", nil, "`flag` for kube-apiserver, e.g. --apiserver-arg=--feature-gates=X=true; may be repeated")
	addPageFlag(cmd, &f.page)
	return cmd
}

// run starts a sandbox and returns when ctx is done or the API server ends. The
// kubeconfig is written last: who waits for the file finds everything ready.
func (f *upFlags) run(ctx context.Context, out io.Writer) error {
	// What can be wrong in the flags comes first: a typing error should not cost
	// the start of a control plane.
	nodes, err := f.buildNodes()
	if err != nil {
		return err
	}
	// Absolute, since the user is told to export it in another terminal.
	if f.kubeconfig, err = filepath.Abs(f.kubeconfig); err != nil {
		return err
	}
	if err := checkReplaceable(f.kubeconfig); err != nil {
		return err
	}
	fmt.Fprintln(out, "Starting etcd, kube-apiserver, controllers and kubelets ...")
	begin := time.Now()
	s, err := sandbox.Start(ctx, f.sandbox)
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := f.dra.createNodes(ctx, s, nodes); err != nil {
		return err
	}
	if err := s.WriteKubeconfig(f.kubeconfig, s.Config()); err != nil {
		return err
	}
	defer removeKubeconfig(f.kubeconfig, s.Config().Host)
	watch := ""
	if f.page != noPage {
		address, err := servePage(ctx, s.Config(), f.page)
		if err != nil {
			return err
		}
		watch = "Watch who gets which GPU: " + address + "\n"
	}
	if err := f.printWelcome(out, s, len(nodes), time.Since(begin), watch); err != nil {
		return err
	}
	// An API server that ends by itself is an error, however it ended.
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nStopping ...")
		return nil
	case <-s.Done():
		return fmt.Errorf("kube-apiserver ended by itself: %w", s.Err())
	}
}

// draFlags say whether DRA serves the GPUs, and which.
type draFlags struct{ whole, mig bool }

func (d *draFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&d.whole, "dra", false, "serve GPUs by DRA, with the ResourceSlices and DeviceClasses of NVIDIA's driver, in place of the device plugin's "+string(sandbox.GPUResource))
	flags.BoolVar(&d.mig, "dra-mig", false, "do so with every MIG instance that a GPU can be cut into, as that driver's gate DynamicMIG does")
}

// createNodes creates nodes whose GPUs are served as the flags say.
func (d *draFlags) createNodes(ctx context.Context, s *sandbox.Sandbox, nodes []*v1.Node) error {
	switch {
	case d.mig:
		return s.CreateDRANodes(ctx, nodes, sandbox.DynamicMIG)
	case d.whole:
		return s.CreateDRANodes(ctx, nodes, sandbox.WholeGPUs)
	default:
		return s.CreateNodes(ctx, nodes)
	}
}

// buildNodes returns the nodes of the inventory, else those of the flags.
func (f *upFlags) buildNodes() ([]*v1.Node, error) {
	if f.inventory == "" {
		return f.fleet.BuildNodes()
	}
	file, err := os.Open(f.inventory)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return sandbox.ReadInventory(file)
}

// printWelcome prints what runs and how to use it.
func (f *upFlags) printWelcome(out io.Writer, s *sandbox.Sandbox, nodes int, took time.Duration, watch string) error {
	version, err := s.Client().Discovery().ServerVersion()
	if err != nil {
		return err
	}
	// The commands are printed as they can be pasted: with the path by which
	// this one was called, and muster-scheduler beside it.
	self := os.Args[0]
	folder, _ := filepath.Split(self)
	_, err = fmt.Fprintf(out, `Ready after %.1f s: Kubernetes %s.%s with %d nodes. In another terminal:

  export KUBECONFIG=%s
  kubectl get nodes -L %s

Pods stay Pending until a scheduler runs. Muster, or the stock one to compare:

  %s --kubeconfig $KUBECONFIG --secure-port 0
  %s kube-scheduler --kubeconfig $KUBECONFIG --secure-port 0

A pod with the annotation %s: "30" runs for 30 s.
One with %s: "20" takes 20 s to stop once it is deleted.
%sLog: %s. Ctrl-C stops everything.
`, took.Seconds(), version.Major, version.Minor, nodes, f.kubeconfig, sandbox.RackLabel,
		folder+"muster-scheduler", self, sandbox.RunSecondsAnnotation, sandbox.StopSecondsAnnotation, watch, s.LogPath())
	return err
}
