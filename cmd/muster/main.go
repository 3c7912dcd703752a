// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command muster explains where gangs are, where they would go, and why they
// wait. Under the name kubectl-muster it is a plugin of kubectl.
package main

import (
	"os"

	"github.com/muster-scheduler/muster/cmd/muster/cli"
)

func main() { os.Exit(cli.Main()) }
