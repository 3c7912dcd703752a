// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// profile is one whose plugin has these arguments, "-" for none.
func profile(name, args string) Profile {
	if args == "-" {
		return Profile{SchedulerName: name}
	}
	return Profile{name, &runtime.Unknown{Raw: []byte(args)}}
}

func TestMerge(t *testing.T) {
	const rack = "levels: [{name: rack, keys: [example.com/rack]}]"
	racks := kube.Levels{{Name: "rack", Keys: []string{"example.com/rack"}}}
	for name, row := range map[string]struct {
		profiles []Profile
		want     Settings
	}{
		"no profile has the defaults": {nil, Settings{Levels: kube.DefaultLevels()}},
		"a profile without arguments has the defaults": {
			[]Profile{profile("a", "-")},
			Settings{SchedulerNames: []string{"a"}, Levels: kube.DefaultLevels()},
		},
		"levels and policy are those of the first profile with arguments": {
			[]Profile{profile("a", "-"), profile("b", rack+"\ngpus: {plainRequests: Any}"), profile("c", "{}")},
			Settings{SchedulerNames: []string{"a", "b", "c"}, Levels: racks, Sharing: kube.AnyShare},
		},
		"dialects and namespaces are those of any profile": {
			[]Profile{profile("a", "dialects: [label]\nautoGangNamespaces: [north]"), profile("b", "dialects: [native]\nautoGangNamespaces: [south]")},
			Settings{
				SchedulerNames: []string{"a", "b"}, Levels: kube.DefaultLevels(),
				Dialects: []kube.Dialect{"label", "native"}, AutoGangNamespaces: []string{"north", "south"},
			},
		},
		"one profile that reads all dialects has all read": {
			[]Profile{profile("a", "dialects: [label]"), profile("b", "-")},
			Settings{SchedulerNames: []string{"a", "b"}, Levels: kube.DefaultLevels()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Merge(row.profiles)
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
	_, err := Merge([]Profile{profile("a", "{}"), profile("b", "gpus: {plainRequests: Some}")})
	require.ErrorContains(t, err, `gpus.plainRequests: found "Some"`)
}
