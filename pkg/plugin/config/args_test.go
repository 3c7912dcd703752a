// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"

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
		"a duration without a unit":   {"barrierTimeout: 5w", "unknown unit"},
		"a level without keys":        {"levels: [{name: rack}]", "needs a name and at least one node label key"},
		"one key for two levels":      {"levels: [{name: a, keys: [k]}, {name: b, keys: [k]}]", `"k" is also a name or key of level "a"`},
		"a list instead of an object": {"[]", "cannot unmarshal array"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(row.text)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "{}", "levels: [{name: rack, keys: [topology.kubernetes.io/rack]}]", "barrierTimeout: 1m", "a: &a [*a]", "{\"levels\":null}"} {
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
