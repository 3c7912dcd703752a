// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/muster-scheduler/muster/pkg/plugin"
)

// LeaseName and LeaseNamespace are the lease by which replicas choose the one
// that schedules.
const (
	LeaseName      = "muster-scheduler"
	LeaseNamespace = "muster-system"
)

// defaultConfig is the configuration without --config. A gang of 64 is 64
// bindings: kube-scheduler's default of 50 requests a second would stretch its
// start, and the time in which a crash leaves it partly started.
const defaultConfig = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  qps: 300
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
        disabled:
          - name: ` + names.PrioritySort + `
          - name: ` + names.GangScheduling + `
          - name: ` + names.TopologyPlacementGenerator + `
          - name: ` + names.PodGroupPodsCount + `
`

// replaced are the plugins whose work Muster does. Enabled beside it they
// would do it a second time, and differently.
var replaced = []string{names.PrioritySort, names.GangScheduling, names.TopologyPlacementGenerator, names.PodGroupPodsCount}

// DefaultConfig is the configuration without --config. Leader election is on
// inside a cluster. Outside, where one process runs on somebody's desk and the
// lease's namespace may not exist, --leader-elect turns it on.
func DefaultConfig(inCluster bool) (*config.KubeSchedulerConfiguration, error) {
	cfg, err := decode([]byte(defaultConfig))
	if err != nil {
		return nil, fmt.Errorf("the default configuration: %w", err)
	}
	cfg.LeaderElection.LeaderElect = inCluster
	return cfg, nil
}

// decode reads a configuration with kube-scheduler's defaults filled in.
func decode(data []byte) (*config.KubeSchedulerConfiguration, error) {
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

// CheckConfig reports everything in a configuration with which Muster, or the
// cluster's own scheduler beside it, would not work.
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

func checkProfile(profile *config.KubeSchedulerProfile) error {
	if profile.SchedulerName == v1.DefaultSchedulerName {
		return errors.New("the name is that of the cluster's own scheduler, and two schedulers would place the same pods; write another schedulerName, such as muster")
	}
	enabled := enabledPlugins(profile)
	if !slices.Contains(enabled, plugin.Name) {
		return fmt.Errorf("plugin %s is not enabled; write plugins.multiPoint.enabled: [{name: %s}]", plugin.Name, plugin.Name)
	}
	var write []string
	for _, name := range replaced {
		if slices.Contains(enabled, name) {
			write = append(write, "{name: "+name+"}")
		}
	}
	if len(write) > 0 {
		return fmt.Errorf("plugin %s does the work of plugins that are enabled beside it; write plugins.multiPoint.disabled: [%s]", plugin.Name, strings.Join(write, ", "))
	}
	return nil
}

// enabledPlugins are the names of all plugins of a profile, at any extension
// point.
func enabledPlugins(profile *config.KubeSchedulerProfile) []string {
	if profile.Plugins == nil {
		return nil
	}
	p := profile.Plugins
	sets := []config.PluginSet{
		p.MultiPoint, p.PreEnqueue, p.QueueSort, p.PreFilter, p.Filter, p.PostFilter, p.PreScore, p.Score,
		p.Reserve, p.Permit, p.PreBind, p.Bind, p.PostBind, p.PlacementGenerate, p.PlacementScore,
	}
	var enabled []string
	for _, set := range sets {
		for _, one := range set.Enabled {
			enabled = append(enabled, one.Name)
		}
	}
	return enabled
}
