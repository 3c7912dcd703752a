// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import "fmt"

// What LeaderWorkerSet writes on its pods, and what its users write on one.
const (
	labelLWS            = "leaderworkerset.sigs.k8s.io/name"
	labelLWSGroup       = "leaderworkerset.sigs.k8s.io/group-index"
	labelLWSWorker      = "leaderworkerset.sigs.k8s.io/worker-index"
	lwsExclusive        = "leaderworkerset.sigs.k8s.io/exclusive-topology"
	lwsLeader           = "leader"
	lwsWorkers          = "worker"
	subGroupsByExcluded = "LeaderExcluded"
)

// readLeaderWorkerSet reads one group of a LeaderWorkerSet: a leader and its
// workers. The groups are independent of one another, so that each is a gang.
func readLeaderWorkerSet(r *reader, s *Shape) {
	size := r.readNumber("spec.leaderWorkerTemplate.size", 1)
	leader := Role{Name: lwsLeader, Label: labelLWSWorker, Value: "0", Replicas: min(size, 1)}
	workers := Role{
		Name: lwsWorkers, Replicas: max(size-1, 0),
		CreatedLater: r.readText("spec.startupPolicy") == "LeaderReady",
	}
	if each := r.readNumber("spec.leaderWorkerTemplate.subGroupPolicy.subGroupSize", 0); each > 0 && workers.Replicas > 0 {
		workers.SliceSize = each
		excluded := r.readText("spec.leaderWorkerTemplate.subGroupPolicy.subGroupPolicyType") == subGroupsByExcluded
		if !excluded {
			leader.NearRole = lwsWorkers
		}
		if !excluded && workers.Replicas%each != 0 {
			// The leader is the first member of the first sub-group, which
			// therefore has one worker less than the others.
			s.Notes = append(s.Notes, fmt.Sprintf(
				"the sub-groups of %d are counted over the %d workers alone: with the leader in the first one they are not equal", each, workers.Replicas))
		}
	}
	s.addRole(leader)
	if workers.Replicas > 0 {
		s.addRole(workers)
	}
	if r.readObject("metadata.annotations")[lwsExclusive] != nil {
		s.Problem = "has annotation " + lwsExclusive + ", with which the workers of a group are created only when its leader runs, so that they cannot start together; " +
			"remove it, and ask for one domain with the annotation muster.sh/topology-required on the pods"
	}
}
