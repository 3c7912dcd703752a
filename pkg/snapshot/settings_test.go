// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

func TestHeader_KeepsTheSettingsOfTheScheduler(t *testing.T) {
	want := config.Settings{
		SchedulerNames: []string{"a", "b"}, Levels: kube.Levels{{Name: "shelf", Keys: []string{"example.com/shelf"}}}, Sharing: kube.AnyShare,
		Dialects: []kube.Dialect{"label"}, AutoGangNamespaces: []string{"x"},
	}
	s := &Snapshot{Nodes: []*v1.Node{{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: "n1"}}}}
	s.SetSettings(want)
	dir := t.TempDir() + "/snap"
	require.NoError(t, s.Write(dir))
	loaded, err := LoadFolder(dir)
	require.NoError(t, err)
	got, err := loaded.Settings()
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestHeader_WithoutSettingsHasTheDefaults(t *testing.T) {
	got, err := (&Header{}).Settings()
	require.NoError(t, err)
	assert.Equal(t, config.Settings{Levels: kube.DefaultLevels(), Sharing: kube.WholeOnly}, got)
}
