// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// gpuLinksVerb returns the command gpu-links.
func gpuLinksVerb() *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use:   "gpu-links [FILE]",
		Short: "Turn the output of nvidia-smi topo -m into the annotation " + gpu.LinksAnnotation,
		Long: `Read what "nvidia-smi topo -m" prints on a node, from FILE or from standard input,
and print the value of the node annotation ` + gpu.LinksAnnotation + `: how its GPUs reach
each other. Muster then puts pods of several GPUs where the free ones are linked.
Nodes with NVSwitch and cards without NVLink need no annotation: their product
tells. At most ` + strconv.Itoa(gpu.MaxDevices) + ` GPUs can be described. The flags that name a cluster do nothing.`,
		Example: "  nvidia-smi topo -m | muster gpu-links\n" +
			"  kubectl exec -n gpu-operator DRIVER-POD -- nvidia-smi topo -m | muster gpu-links --node n1 | sh",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, name := "-", "standard input"
			if len(args) > 0 && args[0] != "-" {
				file, name = args[0], args[0]
			}
			text, err := readFile(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			links, err := gpu.ParseTopo(string(text))
			if err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
			if node == "" {
				fmt.Fprintln(cmd.OutOrStdout(), links)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "kubectl annotate --overwrite node %s '%s=%s'\n", node, gpu.LinksAnnotation, links)
			return nil
		},
	}
	cmd.Flags().StringVar(&node, "node", "", "print the command that annotates this `node`")
	return cmd
}
