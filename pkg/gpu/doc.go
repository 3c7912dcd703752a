// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gpu models GPUs: what a product label says of a device, how a device
// may be cut into MIG instances and what each cut costs, which devices of a
// node are linked to one another, and how useful the free devices of a node
// remain to the pods that a cluster usually runs.
//
// It imports the standard library only and holds no state of the cluster: the
// caller passes what it knows of a node and gets an answer that depends on nothing
// else. What it keeps are caches of such answers (matches.go, memo.go) and, in a
// Learner, the pods that were observed. Every row of a table names the source it
// was taken from; from a name only the memory of a MIG instance or virtual GPU is
// worked out, which it says.
//
// The parts are
//   - KindOf and ReadDeviceLabels: what the resources and labels of all vendors
//     stand for (vendors.go, labels.go);
//   - ReadNode and Node.MatchModels: what a node's labels and counts mean, and
//     whether that suits a pod (node.go);
//   - ParseProduct, MatchesProduct and ParseMemoryFloor: models (models.go, memory.go);
//   - FindBoard, Board.FindProfile, MIGLayout and Packer: MIG (mig.go, carving.go);
//   - Links, ParseLinks and ParseTopo: links inside a node (links.go, topo.go);
//   - Links.OrderDevices and Packer.OrderInstances: which devices a first fit should
//     try first (deviceorder.go);
//   - Workload, Scorer and Learner: the score of a node for a pod (workload.go,
//     scorer.go, learner.go), the same in the scheduler and in the simulator.
package gpu
