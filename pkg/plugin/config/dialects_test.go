// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

func TestDecode_Dialects(t *testing.T) {
	args, err := config.Decode(&runtime.Unknown{Raw: []byte(`dialects: [label, volcano]`)})
	require.NoError(t, err)
	assert.Equal(t, []kube.Dialect{"label", "volcano"}, args.Dialects)
	_, err = config.Decode(&runtime.Unknown{Raw: []byte(`dialects: [slurm]`)})
	require.ErrorContains(t, err, `dialects: found "slurm", want some of native, crd, koordinator, volcano, kai, grove, label, auto, kueue`)
}
