// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/pkg/features"
)

// needed are the gates behind which kube-scheduler keeps the cycle that places
// a pod group at once. They are off by default. Muster needs them in its own
// process only: it does not matter what the API server has.
var needed = []featuregate.Feature{features.GenericWorkload, features.TopologyAwareWorkloadScheduling}

// enableGates turns on the gates that Muster needs. --feature-gates is read
// later and may turn them off again; checkGates reports that.
func enableGates() error {
	on := map[string]bool{}
	for _, gate := range needed {
		on[string(gate)] = true
	}
	return utilfeature.DefaultMutableFeatureGate.SetFromMap(on)
}

// checkGates reports a gate that Muster needs and that was turned off.
func checkGates() error {
	for _, gate := range needed {
		if !utilfeature.DefaultFeatureGate.Enabled(gate) {
			return fmt.Errorf("feature gate %s is off, and gangs cannot be placed without it; leave it out of --feature-gates", gate)
		}
	}
	return nil
}
