// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/terminal"
)

// kubectlCompletes is the name by which kubectl calls a plugin that is called
// kubectl-muster to complete its arguments.
const kubectlCompletes = "kubectl_complete-muster"

// completeNames returns the shell's suggestions from the cluster. A cluster
// that cannot be read has none: a shell has no place for errors.
func (o *options) completeNames(cmd *cobra.Command, names func(*timedView) []string) ([]string, cobra.ShellCompDirective) {
	v, err := o.readView(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	// A name that cannot be shown as it is cannot be typed either.
	list := slices.DeleteFunc(names(v), func(name string) bool { return terminal.SpellOut(name) != name })
	slices.Sort(list)
	return slices.Compact(list), cobra.ShellCompDirectiveNoFileComp
}

// completeGang suggests the gangs of the namespace.
func (o *options) completeGang(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	namespace, err := o.targetNamespace()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.completeNames(cmd, func(v *timedView) (names []string) {
		for _, g := range v.Gangs {
			if g.Namespace == namespace {
				names = append(names, g.Name)
			}
		}
		return names
	})
}

// completeNamespace suggests the namespaces in which there are gangs.
func (o *options) completeNamespace(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completeNames(cmd, func(v *timedView) (names []string) {
		for _, g := range v.Gangs {
			names = append(names, g.Namespace)
		}
		return names
	})
}

// completeContext suggests the contexts of the kubeconfig.
func (o *options) completeContext(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := o.clientConfig().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// completeResource suggests the resources of nodes.
func (o *options) completeResource(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return o.completeNames(cmd, func(v *timedView) []string { return slices.Clone(v.Usage().Resources) })
}
