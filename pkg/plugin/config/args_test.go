// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

func decode(text string) (*Args, error) { return Decode(&runtime.Unknown{Raw: []byte(text)}) }

func TestDecode_DefaultsAreValid(t *testing.T) {
	for _, text := range []string{"", "{}", "null", "apiVersion: config.muster.sh/v1alpha1\nkind: MusterArgs\n"} {
		args, err := decode(text)
		require.NoError(t, err, text)
		assert.Equal(t, kube.DefaultLadder(), args.Ladder())
		assert.Equal(t, 30*time.Second, args.BarrierTimeout.Duration)
		assert.Equal(t, 60*time.Second, args.PartialGangGracePeriod.Duration)
		assert.Equal(t, 3*time.Second, args.IncompleteDelay.Duration)
	}
	args, err := Decode(nil)
	require.NoError(t, err)
	assert.Equal(t, Kind, args.Kind)
}

func TestDecode_RefusesWhatItCannotUse(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"an unknown field":            {"level: []", `unknown field "level"`},
		"a key twice":                 {"barrierTimeout: 1s\nbarrierTimeout: 2s", "already set"},
		"another kind":                {"kind: OtherArgs", "found config.muster.sh/v1alpha1 OtherArgs"},
		"another version":             {"apiVersion: config.muster.sh/v9", "want config.muster.sh/v1alpha1"},
		"a negative timeout":          {"barrierTimeout: -1s", "barrierTimeout: found -1s, want more than 0s"},
		"a negative grace period":     {"partialGangGracePeriod: -1s", "partialGangGracePeriod: found -1s"},
		"a negative delay":            {"incompleteDelay: -1s", "incompleteDelay: found -1s"},
		"a duration without a unit":   {"barrierTimeout: 5w", "unknown unit"},
		"a level without keys":        {"levels: [{name: rack}]", "needs a name and at least one node label key"},
		"one key for two levels":      {"levels: [{name: a, keys: [k]}, {name: b, keys: [k]}]", `"k" is also a name or key of level "a"`},
		"a list instead of an object": {"[]", "cannot unmarshal array"},
		"another policy for GPUs":     {"gpus: {plainRequests: whole}", `gpus.plainRequests: found "whole", want Whole or Any`},
		"a negative weight":           {"gpus: {weights: {packing: -1}}", "gpus.weights.packing: found -1, want 0 to 10000"},
		"no quantum":                  {"gpus: {weights: {quantum: 0}}", "gpus.weights.quantum: found 0, want 1 to 10000"},
		"a weight that there is not":  {"gpus: {weights: {spread: 1}}", `unknown field "spread"`},
		"a pod without a share":       {"gpus: {typicalPods: [{gpus: 1}]}", "gpus.typicalPods[0]: share: found 0, want 1 to 1000000"},
		"a pod larger than any node":  {"gpus: {typicalPods: [{share: 1, gpus: 17}]}", "gpus.typicalPods[0]: gpus: found 17, want 0 to 16"},
		"a pod that asks for nothing": {"gpus: {typicalPods: [{share: 1}]}", "gpus.typicalPods[0]: it asks for neither gpus nor cpu"},
		"models without GPUs":         {"gpus: {typicalPods: [{share: 1, cpu: 1, models: [H100]}]}", "models: found [H100] on a pod without gpus"},
		"a CPU that is no quantity":   {"gpus: {typicalPods: [{share: 1, cpu: lots}]}", "quantities must match"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(row.text)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func TestDecode_GPUs(t *testing.T) {
	args, err := decode("")
	require.NoError(t, err)
	assert.Equal(t, gpu.DefaultWeights(), args.GPUs.Weights.Merge())
	assert.Equal(t, kube.WholeOnly, args.GPUs.SharingPolicy())

	args, err = decode(`gpus:
  plainRequests: Any
  weights: {scarcity: 0, links: 300}
  typicalPods:
  - {share: 70, gpus: 1, cpu: 8}
  - {share: 30, gpus: 8, cpu: 500m, models: [H100, H200]}
`)
	require.NoError(t, err)
	want := gpu.DefaultWeights()
	want.Scarcity, want.Links = 0, 300
	assert.Equal(t, want, args.GPUs.Weights.Merge())
	assert.Equal(t, kube.AnyShare, args.GPUs.SharingPolicy())
	require.Len(t, args.GPUs.TypicalPods, 2)
	assert.Equal(t, int64(500), args.GPUs.TypicalPods[1].CPU.MilliValue())
}

// What the installed configuration shows as a comment has to be right too.
func TestDecode_TheGPUsThatTheManifestShows(t *testing.T) {
	text, err := os.ReadFile("../../../manifests/config.yaml")
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(text), "          # gpus:\n")
	require.True(t, found)
	args, err := decode("gpus:\n" + strings.ReplaceAll(shown, "          # ", ""))
	require.NoError(t, err)
	assert.Equal(t, PlainWhole, args.GPUs.PlainRequests)
	assert.Equal(t, gpu.DefaultWeights(), args.GPUs.Weights.Merge(), "what is shown are the defaults")
	assert.Len(t, args.GPUs.TypicalPods, 3)
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "{}", "levels: [{name: rack, keys: [topology.kubernetes.io/rack]}]", "barrierTimeout: 1m", "a: &a [*a]", "gpus: {weights: {links: 3}, typicalPods: [{share: 1, gpus: 1, cpu: 1500m}]}", "{\"levels\":null}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		args, err := Decode(&runtime.Unknown{Raw: raw})
		if err != nil {
			return
		}
		text, err := json.Marshal(args)
		require.NoError(t, err)
		again, err := Decode(&runtime.Unknown{Raw: text})
		require.NoError(t, err, "%s", text)
		assert.Equal(t, args, again)
	})
}
