// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox runs a Kubernetes control plane for one machine in one
// process: an embedded etcd, the real kube-apiserver with RBAC on, the
// controllers that make Jobs and ResourceClaims work, and simulated kubelets
// that admit pods by real arithmetic.
//
// Start returns once a pod can be created. Everything it made (ports, the data
// folder, goroutines) is gone when Stop returns. No scheduler is part of it:
// run muster-scheduler, or `muster-sandbox kube-scheduler`, against
// Sandbox.KubeconfigPath.
//
// # One process, one set of gates
//
// Feature gates, klog's target and metrics are global to a process. A process
// may run sandboxes one after the other with different Options; two at a time
// share what the later one says. It must not change gates of k8s.io/kubernetes
// itself, and an unknown gate in Options.ExtraAPIServerArgs spoils every later
// sandbox of the process, as the gate's registry remembers it.
//
// # What is simulated
//
// A pod that is bound to a node runs and is ready at once, unless its node has
// no room: then it fails with the real kubelet's reason, e.g.
// OutOfnvidia.com/gpu. It runs for the seconds in RunSecondsAnnotation, or
// until it is deleted. There are no containers, hence no logs and no exec, and
// no pod IPs. Nodes send no heartbeats and stay Ready until somebody changes
// them.
//
// Devices come by either way: as extended resources of nodes (CreateNodes), or by
// DRA from the slices of a driver (CreateDRANodes). A bound pod stays Pending
// until its claims are allocated on its node and reserved for it, and one whose
// extended resource comes from a claim is admitted without its node offering it.
// Nothing is prepared on nodes, and no taint of a device ends a pod.
//
// A deleted pod ends at once, as most containers do on SIGTERM. It ends later
// where StopSecondsAnnotation or Options.StopSeconds says so, but within its
// grace period; until then it is Running, with a deletion timestamp, and holds
// its node's room. A deletion with a grace period of zero waits for nothing. The
// pods of a node that is gone are failed and deleted within a minute, as the
// pod garbage collector of a cluster does.
//
// The API server is as real as its races: a status patch that is under way
// while a pod is deleted and created again under the same name, all within
// milliseconds, can remove the new pod too (seen once in about 500 such rounds
// with Kubernetes 1.37.1). Give pods new names, or wait until they run.
//
// # Cost
//
// Measured on 2 cores and 24 GiB with other builds running (load average 11 to
// 13), so the times are upper bounds:
//
//	go test ./internal/sandbox -run '^$' -bench . -benchtime 1x
//
// Start with 1,000 nodes 4.4 s and 452 MB resident (143 MB of it the binary's
// own pages), with 5,000 nodes 9.7 s and 609 MB; 2.4 ms of CPU to create and
// bind a pod, 9.2 to 12.4 ms until it has run and ended.
package sandbox
