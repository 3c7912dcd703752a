// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crds holds the CustomResourceDefinitions that Muster reads but does
// not own, for clusters that lack them (the sandbox is one). Muster runs
// without any of them.
package crds

import _ "embed"

// PodGroup is the CustomResourceDefinition of scheduling.x-k8s.io/v1alpha1
// PodGroup, the group object that Kubeflow's training operator and KubeRay
// make, in YAML.
//
//go:embed podgroup.yaml
var PodGroup []byte
