// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/plugin"
)

// LeaseName and LeaseNamespace are the lease by which replicas choose the one
// that schedules.
const (
	LeaseName      = "muster-scheduler"
	LeaseNamespace = "muster-system"
)

// defaultConfig is the configuration without --config. A gang of 1,000 is 1,000
// bindings: kube-scheduler's default of 50 requests a second would stretch its
// start, and the time in which a crash leaves it partly started. What spares the
// API server is that bindings are made 32 at a time, see pkg/dialect/shim; the burst
// bounds what has no such limit, the writes to claims and volumes. Every node is
// scored: kube-scheduler's default looks at a part of a large cluster, in turn,
// and spreads single pods over what should stay whole.
const defaultConfig = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 100
clientConnection:
  qps: 1000
  burst: 600
leaderElection:
  leaderElect: true
  resourceName: ` + LeaseName + `
  resourceNamespace: ` + LeaseNamespace + `
enableProfiling: false
enableContentionProfiling: false
profiles:
  - schedulerName: muster
    plugins:
      multiPoint:
        enabled:
          - name: ` + plugin.Name + `
            weight: 20
`

// replacedPlugins are the plugins whose work Muster does. Enabled beside it
// they would do it a second time, and differently.
var replacedPlugins = []string{names.PrioritySort, names.TopologyPlacementGenerator, names.PodGroupPodsCount}

// CompleteConfig takes the plugins that Muster replaces out of the profiles that
// enable it, so that a configuration only has to name Muster.
//
// GangScheduling is a case of its own: kube-scheduler asks the plugin of that
// name, and no other, whether enough members of a group found a node
// (framework/runtime/framework.go of v1.37.1). It stays for that, and leaves
// the queue and the barrier to Muster.
func CompleteConfig(cfg *config.KubeSchedulerConfiguration) {
	for i := range cfg.Profiles {
		p := cfg.Profiles[i].Plugins
		if p == nil || !slices.Contains(enabledPlugins(&cfg.Profiles[i]), plugin.Name) {
			continue
		}
		p.MultiPoint.Enabled = slices.DeleteFunc(p.MultiPoint.Enabled, func(one config.Plugin) bool {
			return slices.Contains(replacedPlugins, one.Name) || one.Name == names.GangScheduling
		})
		p.MultiPoint.Enabled = append(p.MultiPoint.Enabled, config.Plugin{Name: names.GangScheduling})
		// First, because DefaultPreemption ends the row of those that are told
		// about a gang that found no place.
		slices.SortStableFunc(p.MultiPoint.Enabled, func(a, b config.Plugin) int {
			return cmp.Compare(pluginOrder(a), pluginOrder(b))
		})
		p.PreEnqueue.Disabled = append(p.PreEnqueue.Disabled, config.Plugin{Name: names.GangScheduling})
		p.Permit.Disabled = append(p.Permit.Disabled, config.Plugin{Name: names.GangScheduling})
		replaceAllocator(&cfg.Profiles[i])
	}
}

// replaceAllocator has Muster's plugin stand in for DynamicResources wherever a
// profile names that one, with its arguments.
func replaceAllocator(profile *config.KubeSchedulerProfile) {
	for _, set := range pluginSets(profile.Plugins) {
		for _, list := range [][]config.Plugin{set.Enabled, set.Disabled} {
			for i := range list {
				if list[i].Name == names.DynamicResources {
					list[i].Name = plugin.DevicesName
				}
			}
		}
	}
	for _, one := range profile.PluginConfig {
		if one.Name == names.DynamicResources {
			profile.PluginConfig = append(profile.PluginConfig, config.PluginConfig{Name: plugin.DevicesName, Args: one.Args})
			break
		}
	}
}

// pluginOrder puts Muster before all others.
func pluginOrder(one config.Plugin) int {
	if one.Name == plugin.Name {
		return 0
	}
	return 1
}

// DefaultConfig returns the configuration without --config. Leader election is
// on inside a cluster. Outside, where one process runs on somebody's desk and
// the lease's namespace may not exist, --leader-elect turns it on.
func DefaultConfig(inCluster bool) (*config.KubeSchedulerConfiguration, error) {
	cfg, err := decodeConfig([]byte(defaultConfig))
	if err != nil {
		return nil, fmt.Errorf("the default configuration: %w", err)
	}
	cfg.LeaderElection.LeaderElect = inCluster
	return cfg, nil
}

// decodeConfig reads a configuration with kube-scheduler's defaults filled in.
func decodeConfig(data []byte) (*config.KubeSchedulerConfiguration, error) {
	obj, kind, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	cfg, ok := obj.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("found a %s, want a KubeSchedulerConfiguration", kind.Kind)
	}
	cfg.APIVersion = kind.GroupVersion().String()
	return cfg, nil
}

// readProfiling takes the profiling from the file of a configuration: what the file
// does not ask for is off. kube-scheduler fills in that it is on, and profiles show
// parts of the process's memory.
func readProfiling(cfg *config.KubeSchedulerConfiguration, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var asked struct {
		EnableProfiling           bool `json:"enableProfiling"`
		EnableContentionProfiling bool `json:"enableContentionProfiling"`
	}
	if err := yaml.Unmarshal(text, &asked); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	cfg.EnableProfiling, cfg.EnableContentionProfiling = asked.EnableProfiling, asked.EnableContentionProfiling
	return nil
}

// CheckConfig returns an error for everything in a configuration with which
// Muster, or the cluster's own scheduler beside it, would not work.
func CheckConfig(cfg *config.KubeSchedulerConfiguration) error {
	var errs []error
	lease := cfg.LeaderElection
	if lease.LeaderElect && lease.ResourceName == "kube-scheduler" && lease.ResourceNamespace == metav1.NamespaceSystem {
		errs = append(errs, fmt.Errorf("leaderElection: kube-system/kube-scheduler, the default, is the lease of the cluster's own scheduler; write resourceName: %s and resourceNamespace: %s", LeaseName, LeaseNamespace))
	}
	for i := range cfg.Profiles {
		if err := checkProfile(&cfg.Profiles[i]); err != nil {
			errs = append(errs, fmt.Errorf("profile %s: %w", cfg.Profiles[i].SchedulerName, err))
		}
	}
	return errors.Join(errs...)
}

// checkProfile returns the first error of one profile.
func checkProfile(profile *config.KubeSchedulerProfile) error {
	if profile.SchedulerName == v1.DefaultSchedulerName {
		return errors.New("the name is that of the cluster's own scheduler, and two schedulers would place the same pods; write another schedulerName, such as muster")
	}
	enabled := enabledPlugins(profile)
	if !slices.Contains(enabled, plugin.Name) {
		return fmt.Errorf("plugin %s is not enabled; write plugins.multiPoint.enabled: [{name: %s}]", plugin.Name, plugin.Name)
	}
	var write []string
	for _, name := range replacedPlugins {
		if slices.Contains(enabled, name) {
			write = append(write, "{name: "+name+"}")
		}
	}
	if len(write) > 0 {
		return fmt.Errorf("plugin %s does the work of plugins that are enabled beside it at single extension points; take them out: %s", plugin.Name, strings.Join(write, ", "))
	}
	return nil
}

// pluginSets returns the sets of all extension points.
func pluginSets(p *config.Plugins) []config.PluginSet {
	return []config.PluginSet{
		p.MultiPoint, p.PreEnqueue, p.QueueSort, p.PreFilter, p.Filter, p.PostFilter, p.PreScore, p.Score,
		p.Reserve, p.Permit, p.PreBind, p.Bind, p.PostBind, p.PlacementGenerate, p.PlacementScore,
		p.PodGroupPostFilter,
	}
}

// enabledPlugins returns the names of all plugins of a profile, at any
// extension point.
func enabledPlugins(profile *config.KubeSchedulerProfile) []string {
	if profile.Plugins == nil {
		return nil
	}
	var enabled []string
	for _, set := range pluginSets(profile.Plugins) {
		for _, one := range set.Enabled {
			enabled = append(enabled, one.Name)
		}
	}
	return enabled
}
