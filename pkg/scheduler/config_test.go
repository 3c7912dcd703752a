// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
)

func TestDefaultConfig(t *testing.T) {
	cfg, err := DefaultConfig(true)
	require.NoError(t, err)
	CompleteConfig(cfg)
	require.NoError(t, CheckConfig(cfg))
	assert.True(t, cfg.LeaderElection.LeaderElect)
	assert.Equal(t, "muster-system/muster-scheduler", cfg.LeaderElection.ResourceNamespace+"/"+cfg.LeaderElection.ResourceName)
	assert.EqualValues(t, 1000, cfg.ClientConnection.QPS)
	assert.EqualValues(t, 600, cfg.ClientConnection.Burst)
	assert.False(t, cfg.EnableProfiling)
	assert.False(t, cfg.EnableContentionProfiling)
	assert.Equal(t, "muster", cfg.Profiles[0].SchedulerName)
	outside, err := DefaultConfig(false)
	require.NoError(t, err)
	assert.False(t, outside.LeaderElection.LeaderElect)
}

func TestDefaultConfig_IsTheOneThatIsInstalled(t *testing.T) {
	data, err := os.ReadFile("../../manifests/config.yaml")
	require.NoError(t, err)
	installed, err := decodeConfig(data)
	require.NoError(t, err)
	own, err := DefaultConfig(true)
	require.NoError(t, err)
	// The manifest spells the plugin's arguments out; their defaults are
	// tested with the plugin.
	installed.Profiles[0].PluginConfig, own.Profiles[0].PluginConfig = nil, nil
	assert.Equal(t, own, installed)
}

// Profiles are served only where they are asked for: kube-scheduler's own default
// is that they are.
func TestProfilingIsOffUnlessAskedFor(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, []byte(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`), 0o600))
	const off = "enableProfiling: false\nenableContentionProfiling: false\n"
	require.Contains(t, defaultConfig, off)
	for name, row := range map[string]struct {
		flags            []string
		file             string // in place of what the default says, with --config
		want, contention bool
	}{
		"no file":                         {},
		"no file, and the flag":           {flags: []string{"--profiling"}, want: true},
		"a file that says nothing":        {file: "# nothing\n"},
		"a file that asks for it":         {file: "enableProfiling: true\n", want: true},
		"a file that asks for both":       {file: "enableProfiling: true\nenableContentionProfiling: true\n", want: true, contention: true},
		"a file that says no":             {file: off},
		"a file, which goes before flags": {flags: []string{"--profiling"}, file: "# nothing\n"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options.NewOptions()
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			for _, set := range opts.Flags.FlagSets {
				flags.AddFlagSet(set)
			}
			args := append([]string{"--kubeconfig=" + kubeconfig, "--secure-port=0", "--leader-elect=false"}, row.flags...)
			if row.file != "" {
				file := filepath.Join(t.TempDir(), "config.yaml")
				text := strings.Replace(defaultConfig, off, row.file, 1)
				text = strings.Replace(text, "clientConnection:\n", "clientConnection:\n  kubeconfig: "+kubeconfig+"\n", 1)
				require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
				args = append(args, "--config="+file)
			}
			require.NoError(t, flags.Parse(args))
			require.NoError(t, setGates())
			c, err := buildConfig(t.Context(), opts)
			require.NoError(t, err)
			assert.Equal(t, row.want, c.ComponentConfig.EnableProfiling)
			assert.Equal(t, row.contention, c.ComponentConfig.EnableContentionProfiling)
		})
	}
}

func TestComplete(t *testing.T) {
	cfg, err := decodeConfig([]byte(strings.Replace(defaultConfig, "          - name: Muster\n            weight: 20\n",
		"          - name: GangScheduling\n          - name: PodGroupPodsCount\n          - name: Muster\n", 1)))
	require.NoError(t, err)
	CompleteConfig(cfg)
	var enabled []string
	for _, one := range cfg.Profiles[0].Plugins.MultiPoint.Enabled {
		enabled = append(enabled, one.Name)
	}
	assert.Equal(t, "Muster", enabled[0], "it is asked before those that end a row")
	assert.NotContains(t, enabled, "PrioritySort")
	assert.NotContains(t, enabled, "PodGroupPodsCount")
	assert.Contains(t, enabled, "NodeResourcesFit")
	assert.Equal(t, 1, strings.Count(strings.Join(enabled, " "), "GangScheduling"), "kube-scheduler asks it by name")
	assert.Contains(t, cfg.Profiles[0].Plugins.Permit.Disabled, config.Plugin{Name: "GangScheduling"})
	assert.Contains(t, cfg.Profiles[0].Plugins.PreEnqueue.Disabled, config.Plugin{Name: "GangScheduling"})
}

// Muster's plugin takes the place of DynamicResources, with its arguments, and not
// where a configuration turns it off.
func TestComplete_StandsInForDynamicResources(t *testing.T) {
	for name, test := range map[string]struct {
		more    string
		enabled int
		score   []config.Plugin
		timeout string
	}{
		"by default":        {"", 1, nil, "10m0s"},
		"with arguments":    {"    pluginConfig: [{name: DynamicResources, args: {bindingTimeout: 3m}}]\n", 1, nil, "3m0s"},
		"turned off":        {"        disabled: [{name: DynamicResources}]\n", 0, nil, "10m0s"},
		"off at one moment": {"      score: {disabled: [{name: DynamicResources}]}\n", 1, []config.Plugin{{Name: "MusterDevices"}}, "10m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := decodeConfig([]byte(defaultConfig + test.more))
			require.NoError(t, err)
			CompleteConfig(cfg)
			profile := cfg.Profiles[0]
			enabled := strings.Join(enabledPlugins(&profile), " ")
			assert.Equal(t, test.enabled, strings.Count(enabled, "MusterDevices"))
			assert.NotContains(t, enabled, "DynamicResources")
			assert.Equal(t, test.score, profile.Plugins.Score.Disabled)
			if test.enabled == 0 {
				return
			}
			at := slices.IndexFunc(profile.PluginConfig, func(one config.PluginConfig) bool { return one.Name == "MusterDevices" })
			require.GreaterOrEqual(t, at, 0)
			assert.Equal(t, test.timeout, profile.PluginConfig[at].Args.(*config.DynamicResourcesArgs).BindingTimeout.Duration.String())
		})
	}
}

func TestCheckConfig(t *testing.T) {
	tests := []struct {
		name string
		// change is applied to the text of the default configuration.
		change [2]string
		want   string
	}{
		{"the default is fine", [2]string{}, ""},
		{"the lease of the cluster's own scheduler is refused",
			[2]string{"  resourceName: muster-scheduler\n  resourceNamespace: muster-system\n", ""},
			"leaderElection: kube-system/kube-scheduler, the default, is the lease of the cluster's own scheduler; write resourceName: muster-scheduler and resourceNamespace: muster-system"},
		{"without leader election the lease does not matter",
			[2]string{"  leaderElect: true\n  resourceName: muster-scheduler\n  resourceNamespace: muster-system\n", "  leaderElect: false\n"}, ""},
		{"the name of the cluster's own scheduler is refused", [2]string{"schedulerName: muster", "schedulerName: default-scheduler"},
			"profile default-scheduler: the name is that of the cluster's own scheduler, and two schedulers would place the same pods; write another schedulerName, such as muster"},
		{"a profile without Muster is refused", [2]string{"name: Muster", "name: NodePorts"},
			"profile muster: plugin Muster is not enabled; write plugins.multiPoint.enabled: [{name: Muster}]"},
		{"a plugin that does the same work is refused at an extension point of its own",
			[2]string{"    plugins:\n", "    plugins:\n      queueSort:\n        enabled:\n          - name: PrioritySort\n"},
			"profile muster: plugin Muster does the work of plugins that are enabled beside it at single extension points; take them out: {name: PrioritySort}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, defaultConfig, test.change[0])
			text := defaultConfig
			if test.change[0] != "" {
				text = strings.Replace(text, test.change[0], test.change[1], 1)
			}
			cfg, err := decodeConfig([]byte(text))
			require.NoError(t, err)
			CompleteConfig(cfg)
			err = CheckConfig(cfg)
			if test.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
	t.Run("a profile without plugins is refused", func(t *testing.T) {
		cfg := &config.KubeSchedulerConfiguration{Profiles: []config.KubeSchedulerProfile{{SchedulerName: "x"}}}
		assert.ErrorContains(t, CheckConfig(cfg), "profile x: plugin Muster is not enabled")
	})
	t.Run("what is no configuration is refused", func(t *testing.T) {
		_, err := decodeConfig([]byte("apiVersion: v1\nkind: Pod\n"))
		assert.Error(t, err)
	})
}
