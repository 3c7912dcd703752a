// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox runs a Kubernetes control plane for one machine in one
// process: an embedded etcd, the real kube-apiserver with RBAC on, the
// controllers that make Jobs work, and simulated kubelets that admit pods by
// real arithmetic.
//
// Start returns once a pod can be created. Everything it made (ports, the data
// folder, goroutines) is gone when Stop returns. No scheduler is part of it:
// run muster-scheduler, or `muster-sandbox kube-scheduler`, against
// Sandbox.Kubeconfig.
//
// Feature gates are global to a process. A test binary that starts a sandbox
// with GenericWorkload must not change gates of k8s.io/kubernetes itself, and
// all sandboxes of one process share what Options.GenericWorkload says.
package sandbox
