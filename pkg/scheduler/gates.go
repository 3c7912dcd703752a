// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/pkg/features"
)

// requiredGates are the gates behind which kube-scheduler keeps the cycle that
// places a pod group at once. They are off by default. Muster needs them in its
// own process only: it does not matter what the API server has.
var requiredGates = []featuregate.Feature{features.GenericWorkload, features.TopologyAwareWorkloadScheduling}

// unwantedGates are gates that are on by default and that Muster turns off unless it
// is told otherwise. With NominatedNodeNameForExpectation kube-scheduler writes
// the node of each pod that waits at the barrier into the pod's status, and only
// then lets it bind: another write for each member, all of a gang at once.
var unwantedGates = []featuregate.Feature{features.NominatedNodeNameForExpectation}

// setGates turns the gates on that Muster needs, and off those that it does not
// want. --feature-gates is read later and may turn them back; checkGates reports
// one that is missing.
func setGates() error {
	gates := map[string]bool{}
	for _, gate := range requiredGates {
		gates[string(gate)] = true
	}
	for _, gate := range unwantedGates {
		gates[string(gate)] = false
	}
	return utilfeature.DefaultMutableFeatureGate.SetFromMap(gates)
}

// checkGates returns an error for a gate that Muster needs and that was turned
// off.
func checkGates() error {
	for _, gate := range requiredGates {
		if !utilfeature.DefaultFeatureGate.Enabled(gate) {
			return fmt.Errorf("feature gate %s is off, and gangs cannot be placed without it; leave it out of --feature-gates", gate)
		}
	}
	return nil
}
