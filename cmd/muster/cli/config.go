// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

const (
	// defaultScheduler is the schedulerName of manifests/config.yaml.
	defaultScheduler = "muster"
	// pluginName is the name of the plugin in a profile.
	pluginName = "Muster"
)

// schedulerConfig is the part of a KubeSchedulerConfiguration that is read.
type schedulerConfig struct {
	metav1.TypeMeta `json:",inline"`
	Profiles        []struct {
		SchedulerName string `json:"schedulerName"`
		PluginConfig  []struct {
			Name string          `json:"name"`
			Args json.RawMessage `json:"args"`
		} `json:"pluginConfig"`
	} `json:"profiles"`
}

// readConfig reads the levels and the scheduler names from the scheduler's
// configuration.
func readConfig(path string) (config.Settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return config.Settings{}, fmt.Errorf("reading --config: %w", err)
	}
	var c schedulerConfig
	if err := yaml.Unmarshal(text, &c); err != nil {
		return config.Settings{}, fmt.Errorf("reading --config %s: %w", path, err)
	}
	if c.Kind != "KubeSchedulerConfiguration" {
		return config.Settings{}, fmt.Errorf("reading --config %s: found kind %q, want KubeSchedulerConfiguration", path, c.Kind)
	}
	var profiles []config.Profile
	for _, profile := range c.Profiles {
		for _, plugin := range profile.PluginConfig {
			if plugin.Name == pluginName {
				profiles = append(profiles, config.Profile{SchedulerName: profile.SchedulerName, Args: &runtime.Unknown{Raw: plugin.Args}})
			}
		}
	}
	if len(profiles) == 0 {
		return config.Settings{}, fmt.Errorf("reading --config %s: no profile has pluginConfig for %s", path, pluginName)
	}
	settings, err := config.Merge(profiles)
	if err != nil {
		return config.Settings{}, fmt.Errorf("reading --config %s: %w", path, err)
	}
	return settings, nil
}
