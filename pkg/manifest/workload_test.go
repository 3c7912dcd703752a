// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/manifest"
)

// A Job that is a gang without a group object comes with what says how large
// the gang is, and without the templates of its pods.
func TestParse_KeepsTheWorkloadBehindAGang(t *testing.T) {
	m, err := manifest.Parse([]byte(`
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  parallelism: 3
  completions: 3
  template:
    metadata: {labels: {muster.sh/gang: auto}}
    spec: {restartPolicy: Never, containers: [{name: main, image: none, env: [{name: TOKEN, value: hunter2}]}]}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: other}
`), "team", nil)
	require.NoError(t, err)
	gangs := store.Objects{Pods: m.Pods, Groups: m.Groups}.Gangs()
	require.Len(t, gangs, 1)
	assert.Len(t, gangs[0].Pods, 3)
	assert.EqualValues(t, 3, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount)
	text, err := m.Groups[0].MarshalJSON()
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hunter2")
	assert.Equal(t, []string{"Thing other is not planned: what pods it creates is not known here"}, m.Notes)
}
