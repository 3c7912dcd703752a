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
	"github.com/muster-scheduler/muster/pkg/report"
)

// statusVerb returns the command status.
func statusVerb(o *options) *cobra.Command {
	l := &listing{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List the gangs: what they do, where, since when, and why they wait",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			order, err := parseOrder(l.order)
			if err != nil {
				return err
			}
			return l.run(cmd, o, func(v *timedView, namespace string) ([]explain.Status, error) {
				list, err := v.gangStatuses(namespace, func(*explain.Gang) bool { return true })
				explain.SortStatuses(list, order)
				return list, err
			}, report.WriteStatuses)
		},
	}
	cmd.Flags().StringVar(&l.order, "sort", string(explain.ByName), "the `order`: "+orderNames())
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(strings.Split(orderNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	l.addFlags(cmd)
	return cmd
}

func queueVerb(o *options) *cobra.Command {
	l := &listing{}
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "List the gangs that wait, in the order of the queue, and what each waits for",
		Long: `List the gangs that wait, in the order of the queue, and what each waits for.

The higher priority goes first, then a gang of which only some members have a
node, then the older one, then the name. Kubernetes notes creation in whole
seconds; in which order gangs of one second arrived is known to the scheduler
only, and may differ from this list. A place counts the gangs of all namespaces.

A gang that fits does not wait for those before it that do not.`,
		Example: "  muster queue -A\n  muster queue -n research --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.run(cmd, o, func(v *timedView, namespace string) ([]explain.Status, error) {
				list, err := v.gangStatuses(namespace, func(g *explain.Gang) bool { return g.Place > 0 })
				explain.SortStatuses(list, explain.ByQueue)
				return list, err
			}, report.WriteQueue)
		},
	}
	l.addFlags(cmd)
	return cmd
}

// listing is a verb that lists gangs.
type listing struct {
	watchFlag
	all   bool
	order string
}

func (l *listing) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "the gangs of all namespaces")
	l.watchFlag.addFlags(cmd)
}

// run writes what list returns, once or again with every change.
func (l *listing) run(cmd *cobra.Command, o *options, list func(*timedView, string) ([]explain.Status, error), write func(io.Writer, []explain.Status, string)) error {
	namespace, err := o.targetNamespace()
	if err != nil {
		return err
	}
	if l.all {
		namespace = ""
	}
	return l.watchFlag.run(cmd, o, func(v *timedView, out io.Writer, format report.Format) error {
		found, err := list(v, namespace)
		if err != nil {
			return err
		}
		return report.WriteValue(out, format, found, func(out io.Writer) { write(out, found, namespace) })
	})
}

func parseOrder(name string) (explain.Order, error) {
	if order := explain.Order(name); slices.Contains(explain.AllOrders(), order) {
		return order, nil
	}
	return "", fmt.Errorf("--sort: found %q, want one of %s", name, orderNames())
}

func orderNames() string {
	var names []string
	for _, order := range explain.AllOrders() {
		names = append(names, string(order))
	}
	return strings.Join(names, ", ")
}

// gangStatuses returns the statuses of the gangs of a namespace, "" for all.
// The list is empty and not nil: JSON output is then [].
func (v *timedView) gangStatuses(namespace string, wanted func(*explain.Gang) bool) ([]explain.Status, error) {
	list := []explain.Status{}
	for _, g := range v.Gangs {
		if namespace != "" && g.Namespace != namespace || !wanted(g) {
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
