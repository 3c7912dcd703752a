// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/report"
)

// explainVerb returns the command explain.
func explainVerb(o *options) *cobra.Command {
	var w watchFlag
	cmd := &cobra.Command{
		Use:   "explain GANG",
		Short: "Say where a gang is, or why it waits and what would let it in",
		Long: `Say where a gang is, or why it waits and what would let it in. GANG is the name
of a gang, or of one of its pods.

Each proposed change was tried: the same engine that the scheduler uses has
placed the gang on a copy of the cluster with that change made. What else waits
was not looked at; another gang may take the room first.`,
		Example: `  muster explain train
  muster explain -n research train-7
  muster explain train -o json | jq '.changes[].command'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeGang,
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, err := o.targetNamespace()
			if err != nil {
				return err
			}
			return w.run(cmd, o, func(v *timedView, out io.Writer, format report.Format) error {
				g, err := v.findGang(namespace, args[0])
				if err != nil {
					return err
				}
				e, err := v.Explain(g, v.now)
				if err != nil {
					return fmt.Errorf("gang %s: %w", g.Key(), err)
				}
				if err := report.WriteValue(out, format, e, func(out io.Writer) { report.WriteExplanation(out, e) }); err != nil {
					return err
				}
				if e.Phase != queue.Running && e.Reason != explain.ReasonFitsNow {
					return errRefused
				}
				return nil
			})
		},
	}
	w.addFlags(cmd)
	return cmd
}

// findGang returns the one gang that a user means, or an error that lists the
// candidates: gangs of several dialects may share a name.
func (v *timedView) findGang(namespace, name string) (*explain.Gang, error) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "pod/"), "gang/")
	found := v.FindGangs(namespace, name)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, g := range found {
			names = append(names, g.Name)
		}
		if len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(found) { // told apart by what declares them
			names = names[:0]
			for _, g := range found {
				names = append(names, g.FullName())
			}
		}
		return nil, fmt.Errorf("%d gangs of namespace %s are called %s; say which: %s", len(found), namespace, name, strings.Join(names, ", "))
	}
	var here, elsewhere []string
	for _, g := range v.Gangs {
		switch {
		case g.Namespace == namespace:
			here = append(here, g.Name)
		case g.Name == name:
			elsewhere = append(elsewhere, g.Namespace)
		}
	}
	if len(elsewhere) > 0 {
		return nil, fmt.Errorf("namespace %s has no gang %s, but namespace %s has; name it with -n", namespace, name, strings.Join(slices.Compact(elsewhere), ", "))
	}
	return nil, fmt.Errorf("namespace %s has no gang, nor a pod in a gang, called %s; its gangs are: %s. Only pods with schedulerName %s count",
		namespace, name, listOrNone(here), strings.Join(v.settings.SchedulerNames, " or "))
}

// listOrNone returns some of the names, for the end of an error.
func listOrNone(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "none"
	}
	return report.ShortenList(names, most, ", ")
}
