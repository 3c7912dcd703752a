// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"runtime/debug"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	basecompatibility "k8s.io/component-base/compatibility"
)

// modulePath is the module whose version the API server has.
const modulePath = "k8s.io/kubernetes"

// releaseVersion is the API server's version with the release's name. Upstream
// puts the name in with linker flags; without them /version answers
// "v0.0.0-master+$Format:%H$", on which kubectl and other clients fail.
type releaseVersion struct {
	basecompatibility.MutableEffectiveVersion
}

func newReleaseVersion() releaseVersion {
	return releaseVersion{compatibility.DefaultBuildEffectiveVersion()}
}

// Info returns the answer to /version.
func (v releaseVersion) Info() *apimachineryversion.Info {
	info := v.MutableEffectiveVersion.Info()
	// Test binaries carry no module versions: the patch is unknown then.
	info.GitVersion = "v" + v.BinaryVersion().String() + ".0"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == modulePath {
				info.GitVersion = module.Version
			}
		}
	}
	info.GitCommit, info.GitTreeState = "", ""
	return info
}
