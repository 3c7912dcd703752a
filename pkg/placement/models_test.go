// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
)

// twoModels has a rack of each of two models, and one without GPUs.
const twoModels = `
resources: nvidia.com/gpu cpu nvidia.com/mig-1g.10gb
rack-1
  a1 8 cpu=96 model=NVIDIA-A100-SXM4-40GB
  a2 8 cpu=96 model=NVIDIA-A100-SXM4-40GB
  a3 8 cpu=96 model=NVIDIA-A100-SXM4-40GB
rack-2
  h1 8 cpu=96 model=NVIDIA-H100-80GB-HBM3
  h2 8 cpu=96 model=NVIDIA-H100-80GB-HBM3
rack-3
  c1 cpu=32
  m1 nvidia.com/mig-1g.10gb=7 cpu=96 model=NVIDIA-A100-SXM4-40GB-MIG-1g.10gb`

func TestSolve_ChoosesOneModel(t *testing.T) {
	wide := func(g *gang.Gang) *gang.Gang {
		for r := range g.Roles {
			g.Roles[r].Request = append(g.Roles[r].Request, make([]int64, 3-len(g.Roles[r].Request))...)
		}
		return g
	}
	mig := func(count int) *gang.Gang {
		g := pods(count, 0)
		g.Roles[0].Request = []int64{0, 1, 1}
		return g
	}
	for _, tc := range []struct {
		name string
		gang *gang.Gang
		want string
	}{
		{"the first model that holds the gang", wide(pods(2, 8, models("H100", "A100"))), "h1 h2"},
		{"the next one where the first is too small", wide(pods(3, 8, models("H100", "A100"))), "a1 a2 a3"},
		{"one model for all, never a mix", wide(pods(4, 8, models("H100", "A100"))), "gang train needs 4 pods, all on H100 or all on A100; the cluster would hold 3 if it were empty"},
		{"a whole product name", wide(pods(1, 8, models("NVIDIA-H100-80GB-HBM3"))), "h1"},
		{"a model nobody has", wide(pods(1, 8, models("B200"))), "gang train needs 1 pod, all on B200; no node has B200"},
		{"any model where none is asked", wide(pods(5, 8)), "a1 a2 a3 h1 h2"},
		{"a launcher without GPUs goes anywhere", func() *gang.Gang {
			g := wide(roles(part("launcher", 1, 0, 17, -1), part("worker", 2, 8, 80, -1)))
			g.Models = []string{"H100"}
			return g
		}(), "c1 | h1 h2"},
		{"parts of GPUs are a resource like any other", mig(3), "3*m1"},
		{"parts of GPUs that are short", mig(8), "gang train needs 8 pods; the cluster would hold 7 if it were empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := parse(t, twoModels)
			p := Solve(u, tc.gang)
			require.NoError(t, Check(u, tc.gang, p))
			assert.Equal(t, tc.want, names(u, p))
		})
	}
}
