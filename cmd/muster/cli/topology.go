// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/report"
)

func topologyVerb(o *options) *cobra.Command {
	var resource string
	var nodes bool
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show the tree of domains with what is free in each",
		Example: `  muster topology
  muster topology --nodes
  muster topology --resource nvidia.com/mig-1g.10gb`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := o.format()
			if err != nil {
				return err
			}
			v, err := o.look(cmd.Context())
			if err != nil {
				return err
			}
			fabric, err := v.Fabric(resource, nodes)
			if err != nil {
				return err
			}
			return report.Write(cmd.OutOrStdout(), format, fabric, func(w io.Writer) { report.Fabric(w, fabric) })
		},
	}
	cmd.Flags().StringVar(&resource, "resource", "", "the `resource` to count; by default the GPUs of which there are most")
	cmd.Flags().BoolVar(&nodes, "nodes", false, "show each node too")
	return cmd
}
