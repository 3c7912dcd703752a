// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// snapshotVerb returns the command snapshot.
func snapshotVerb(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot DIR",
		Short: "Write what decides where gangs go to a folder, to replay or to report",
		Long: `Write the nodes, pods and pod groups of the cluster to a folder. Every verb reads
it with --snapshot DIR, so that what you see can be seen by someone else.

Environment, commands, images, secrets, addresses and annotations of other
tools are left out. Names, labels, node selectors, tolerations and requests
stay: look through the files before you send them.`,
		Example: "  muster snapshot report\n  tar czf report.tgz report",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.readSnapshot(cmd.Context())
			if err != nil {
				return err
			}
			settings, err := o.readSettings(s)
			if err != nil {
				return err
			}
			s.SetSettings(settings)
			if err := s.Write(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d nodes, %d pods, %d pod groups; see for yourself: muster status --snapshot %s\n",
				args[0], len(s.Nodes), len(s.Pods)+len(s.Finished), len(s.Groups), args[0])
			return nil
		},
	}
}
