// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/report"
)

func statusVerb(o *options) *cobra.Command {
	var all bool
	var w watch
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List the gangs: what they do, where, since when, and why they wait",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			namespace, err := o.namespace()
			if err != nil {
				return err
			}
			if all {
				namespace = ""
			}
			return w.run(cmd, o, func(v *view, out io.Writer, format report.Format) error {
				list, err := v.statuses(namespace)
				if err != nil {
					return err
				}
				return report.WriteValue(out, format, list, func(out io.Writer) { report.WriteStatuses(out, list, namespace) })
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "the gangs of all namespaces")
	w.addFlags(cmd)
	return cmd
}

// statuses lists the gangs of a namespace, "" for all.
func (v *view) statuses(namespace string) ([]explain.Status, error) {
	list := []explain.Status{}
	for _, g := range v.Gangs {
		if namespace != "" && g.Namespace != namespace {
			continue
		}
		s, err := v.Status(g, v.now)
		if err != nil {
			return nil, fmt.Errorf("gang %s: %w", g.Key(), err)
		}
		list = append(list, s)
	}
	return list, nil
}
