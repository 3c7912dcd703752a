// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// Profile is one profile of a scheduler's configuration.
type Profile struct {
	SchedulerName string
	// Args are those of the plugin, as Decode takes them; nil for none.
	Args runtime.Object
}

// Settings are what the profiles of one scheduler come to for whoever reads the
// cluster as that scheduler does: its own translator and topology page, and the
// command muster.
type Settings struct {
	// SchedulerNames are those of the profiles.
	SchedulerNames []string
	// Levels and Sharing are those of the first profile that has arguments.
	Levels  kube.Levels
	Sharing kube.Sharing
	// Dialects are those that any of the profiles reads; none for all.
	Dialects []kube.Dialect
	// AutoGangNamespaces are those that any of the profiles names.
	AutoGangNamespaces []string
}

// Merge reads the arguments of all profiles. It is the one reading of them beside
// the plugin's own.
func Merge(profiles []Profile) (Settings, error) {
	var out Settings
	var first *Args
	given, everyDialect := false, false
	for _, profile := range profiles {
		args, err := Decode(profile.Args)
		if err != nil {
			return Settings{}, err
		}
		if first == nil || !given && profile.Args != nil {
			first, given = args, profile.Args != nil
		}
		out.SchedulerNames = append(out.SchedulerNames, profile.SchedulerName)
		everyDialect = everyDialect || len(args.Dialects) == 0
		out.Dialects = append(out.Dialects, args.Dialects...)
		out.AutoGangNamespaces = append(out.AutoGangNamespaces, args.AutoGangNamespaces...)
	}
	if first == nil {
		first = &Args{}
		first.setDefaults()
	}
	out.Levels, out.Sharing = first.TopologyLevels(), first.GPUs.SharingPolicy()
	if everyDialect {
		out.Dialects = nil
	}
	return out, nil
}

// Complete fills the defaults in and validates.
func (a *Args) Complete() error {
	a.setDefaults()
	return a.Validate()
}
