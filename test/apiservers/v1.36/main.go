// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command apiserver is kube-apiserver of the release that go.mod names.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
