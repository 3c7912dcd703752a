// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A scheduler's configuration is read, or the error says what is wrong with it.
func FuzzReadConfig(f *testing.F) {
	manifest, err := os.ReadFile("../../../manifests/config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(manifest), "kind: KubeSchedulerConfiguration\nprofiles: [{schedulerName: a, pluginConfig: [{name: Muster, args: {levels: [{name: rack, keys: [a, a]}]}}]}]\n",
		"kind: KubeSchedulerConfiguration\nprofiles: [{pluginConfig: [{name: Muster, args: 3}, {name: Muster}]}, null]\n", "kind: Deployment\n", "\x00", "",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		settings, err := readConfig(path)
		if err == nil {
			assert.NotEmpty(t, settings.SchedulerNames)
			assert.NoError(t, settings.Levels.Validate())
		}
	})
}
