// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gpuslices reads the ResourceSlices of NVIDIA's driver for dynamic
// resource allocation: which GPUs of a node are free (devices.go), and in which order
// Kubernetes' allocator, which takes the first devices that fit, should find them
// (order.go).
package gpuslices
