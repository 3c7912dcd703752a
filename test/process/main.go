// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/cli"
	stock "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/muster-scheduler/muster/pkg/scheduler"
)

// Main is what a TestMain does: it runs the tests, which run does, mostly
// m.Run. A test binary that is called with the name of a scheduler, Muster's or
// the stock one, is that scheduler instead.
func Main(run func() int) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case scheduler.Name:
			os.Args = os.Args[1:]
			os.Exit(cli.Run(scheduler.NewCommand()))
		case "kube-scheduler":
			os.Args = os.Args[1:]
			os.Exit(cli.Run(stock.NewSchedulerCommand()))
		}
	}
	os.Exit(run())
}

// SchedulerCommand returns the scheduler with flags as a command that runs this
// test binary. Its TestMain has to call Main.
func SchedulerCommand(flags ...string) *exec.Cmd {
	return exec.Command(os.Args[0], append([]string{scheduler.Name}, flags...)...)
}

// BuildScheduler builds the scheduler's binary as users do, and returns its
// path.
func BuildScheduler(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), scheduler.Name)
	output, err := exec.Command("go", "build", "-o", binary, "github.com/muster-scheduler/muster/cmd/"+scheduler.Name).CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}
