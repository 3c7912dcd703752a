// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

// parallelPods is the podManagementPolicy under which pods do not wait for one
// another.
const parallelPods = "Parallel"

// readStatefulSet reads a StatefulSet. One that starts its pods one after
// another cannot start them together.
func readStatefulSet(r *reader, s *Shape) {
	replicas := r.readNumber("spec.replicas", 1)
	s.addRole(Role{Replicas: replicas})
	if replicas > 1 && r.readText("spec.podManagementPolicy") != parallelPods {
		s.Problem = "starts its pods one after another (podManagementPolicy OrderedReady), so that they cannot start together; " +
			"create it again with podManagementPolicy: Parallel"
	}
}
