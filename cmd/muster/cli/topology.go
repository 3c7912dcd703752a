// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/page"
	"github.com/muster-scheduler/muster/pkg/report"
	"github.com/muster-scheduler/muster/pkg/terminal"
)

// topologyVerb returns the command topology.
func topologyVerb(o *options) *cobra.Command {
	var resource, html string
	var nodes bool
	var w watchFlag
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show the tree of domains with what is free in each",
		Example: `  muster topology
  muster topology --nodes
  muster topology --resource nvidia.com/mig-1g.10gb
  muster topology --html cluster.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if html != "" {
				if o.output != "" {
					return errors.New("--html is a format of its own; leave out --output")
				}
				v, err := o.readView(cmd.Context())
				if err != nil {
					return err
				}
				return writePage(cmd.OutOrStdout(), html, v, o.overrides.Context.Namespace)
			}
			return w.run(cmd, o, func(v *timedView, out io.Writer, format report.Format) error {
				fabric, err := v.BuildFabric(resource, nodes)
				if err != nil {
					return err
				}
				return report.WriteValue(out, format, fabric, func(out io.Writer) { report.WriteFabric(out, fabric) })
			})
		},
	}
	cmd.Flags().StringVar(&resource, "resource", "", "the `resource` to count; by default the GPUs of which there are most")
	cmd.Flags().BoolVar(&nodes, "nodes", false, "show each node too")
	cmd.Flags().StringVar(&html, "html", "", "draw the GPUs and who holds them into this `file`, a page for a browser; - for standard output. With -n, only gangs and pods of that namespace are named")
	w.addFlags(cmd)
	_ = cmd.MarkFlagFilename("html", "html")
	_ = cmd.RegisterFlagCompletionFunc("resource", o.completeResource)
	cmd.MarkFlagsMutuallyExclusive("html", "resource")
	cmd.MarkFlagsMutuallyExclusive("html", "nodes")
	cmd.MarkFlagsMutuallyExclusive("html", "watch")
	return cmd
}

// writePage writes the page of a view into a file. With a namespace, gangs and
// pods of others are not named.
func writePage(out io.Writer, path string, v *timedView, namespace string) error {
	data, err := page.BuildData(v.ClusterView, v.now, namespace)
	if err != nil {
		return err
	}
	if path == "-" {
		return page.WriteFile(terminal.Unwrap(out), data)
	}
	var text bytes.Buffer
	if err := page.WriteFile(&text, data); err != nil {
		return err
	}
	// Names of gangs and pods are nobody else's business.
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	fmt.Fprintf(out, "%s: %d nodes and %d gangs; open it in a browser\n", path, len(data.Nodes), len(data.Gangs))
	return nil
}
