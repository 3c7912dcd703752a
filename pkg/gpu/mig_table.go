// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

// Where the rows come from. The guide gives names, shares of compute and
// memory and the largest number of instances; positions are what
// `nvidia-smi mig -lgipp` prints on the board, and where no such output was
// found, the guide's drawing as k8s-test-infra transcribes it. Names, shares and
// numbers of all rows with the guide as their source were held against
// docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html.
// It has tables for the H100 of GH200 (H100-96GB here) and for B200, none for
// the GH200 of 144 GB, for GB200, B300 and GB300; of the A100-80GB it gives the
// names only. Of the RTX PRO boards beside the 6000 it gives names and numbers, and
// no source gives positions: those here are the fewest that give the numbers.
const (
	guide       = "NVIDIA MIG user guide, supported MIG profiles"
	lgipp       = "published output of nvidia-smi mig -lgipp on the board"
	testInfra   = "NVIDIA k8s-test-infra, nvml-mock MIG tables"
	migParted   = "NVIDIA mig-parted, config-default.yaml"
	guide580    = "NVIDIA MIG user guide of driver 580, supported MIG profiles; NVIDIA mig-parted, pkg/mig/builder tests"
	operatorMIG = "NVIDIA gpu-operator, release notes 25.10.0 and default MIG configuration"
	playbook    = "NVIDIA DGX Station playbook on MIG (names of the drivers 59x and 61x)"
	gpuOperator = "NVIDIA gpu-operator, default MIG configuration, as cited by k8s-test-infra"
)

// The positions that boards have in common.
var (
	anyOfSeven = []int{0, 1, 2, 3, 4, 5, 6}
	everySlice = []int{0, 1, 2, 3}
	evenFour   = []int{0, 2, 4, 6}
	evenThree  = []int{0, 2, 4}
	evenTwo    = []int{0, 2}
	halves     = []int{0, 4}
	front      = []int{0}
	rear       = []int{1, 2, 3}
	secondHalf = []int{2}
	bothHalves = []int{0, 1}
	thirds     = []int{0, 3, 6, 9}
	sixths     = []int{0, 6}
)

var boards = []Board{
	{Name: "A30-24GB", Units: 4, Slices: 4, Source: guide + "; " + lgipp, Profiles: []Profile{
		{"1g.6gb", 1, 1, 6, 4, everySlice},
		{"1g.6gb+me", 1, 1, 6, 1, everySlice},
		{"2g.12gb", 2, 2, 12, 2, evenTwo},
		{"2g.12gb+me", 2, 2, 12, 1, evenTwo},
		{"4g.24gb", 4, 4, 24, 1, front},
	}},
	{Name: "A100-40GB", Units: 8, Slices: 7, Source: guide + "; " + lgipp, Profiles: []Profile{
		{"1g.5gb", 1, 1, 5, 7, anyOfSeven},
		{"1g.5gb+me", 1, 1, 5, 1, anyOfSeven},
		{"1g.10gb", 1, 2, 10, 4, evenFour},
		{"2g.10gb", 2, 2, 10, 3, evenThree},
		{"3g.20gb", 3, 4, 20, 2, halves},
		{"4g.20gb", 4, 4, 20, 1, front},
		{"7g.40gb", 7, 8, 40, 1, front},
	}},
	{Name: "A100-80GB", Units: 8, Slices: 7, Source: guide + "; " + lgipp, Profiles: []Profile{
		{"1g.10gb", 1, 1, 10, 7, anyOfSeven},
		{"1g.10gb+me", 1, 1, 10, 1, anyOfSeven},
		{"1g.20gb", 1, 2, 20, 4, evenFour},
		{"2g.20gb", 2, 2, 20, 3, evenThree},
		{"3g.40gb", 3, 4, 40, 2, halves},
		{"4g.40gb", 4, 4, 40, 1, front},
		{"7g.80gb", 7, 8, 80, 1, front},
	}},
	{Name: "H100-80GB", Units: 8, Slices: 7, Source: guide + "; " + lgipp, Profiles: []Profile{
		{"1g.10gb", 1, 1, 10, 7, anyOfSeven},
		{"1g.10gb+me", 1, 1, 10, 1, anyOfSeven},
		{"1g.20gb", 1, 2, 20, 4, evenFour},
		{"2g.20gb", 2, 2, 20, 3, evenThree},
		{"3g.40gb", 3, 4, 40, 2, halves},
		{"4g.40gb", 4, 4, 40, 1, front},
		{"7g.80gb", 7, 8, 80, 1, front},
	}},
	{Name: "H100-94GB", Units: 8, Slices: 7, Source: guide + "; " + lgipp, Profiles: []Profile{
		{"1g.12gb", 1, 1, 12, 7, anyOfSeven},
		{"1g.12gb+me", 1, 1, 12, 1, anyOfSeven},
		{"1g.24gb", 1, 2, 24, 4, evenFour},
		{"2g.24gb", 2, 2, 24, 3, evenThree},
		{"3g.47gb", 3, 4, 47, 2, halves},
		{"4g.47gb", 4, 4, 47, 1, front},
		{"7g.94gb", 7, 8, 94, 1, front},
	}},
	{Name: "H100-96GB", Units: 8, Slices: 7, Source: guide + "; " + testInfra, Profiles: []Profile{
		{"1g.12gb", 1, 1, 12, 7, anyOfSeven},
		{"1g.12gb+me", 1, 1, 12, 1, anyOfSeven},
		{"1g.24gb", 1, 2, 24, 4, evenFour},
		{"2g.24gb", 2, 2, 24, 3, evenThree},
		{"3g.48gb", 3, 4, 48, 2, halves},
		{"4g.48gb", 4, 4, 48, 1, front},
		{"7g.96gb", 7, 8, 96, 1, front},
	}},
	{Name: "GH200-144GB", Units: 8, Slices: 7, Source: migParted + "; " + testInfra, Profiles: []Profile{
		{"1g.18gb", 1, 1, 18, 7, anyOfSeven},
		{"1g.18gb+me", 1, 1, 18, 1, anyOfSeven},
		{"1g.36gb", 1, 2, 36, 4, evenFour},
		{"2g.36gb", 2, 2, 36, 3, evenThree},
		{"3g.72gb", 3, 4, 72, 2, halves},
		{"4g.72gb", 4, 4, 72, 1, front},
		{"7g.144gb", 7, 8, 144, 1, front},
	}},
	{Name: "H200-141GB", Units: 8, Slices: 7, Source: guide + "; " + testInfra, Profiles: []Profile{
		{"1g.18gb", 1, 1, 18, 7, anyOfSeven},
		{"1g.18gb+me", 1, 1, 18, 1, anyOfSeven},
		{"1g.35gb", 1, 2, 35, 4, evenFour},
		{"2g.35gb", 2, 2, 35, 3, evenThree},
		{"3g.71gb", 3, 4, 71, 2, halves},
		{"4g.71gb", 4, 4, 71, 1, front},
		{"7g.141gb", 7, 8, 141, 1, front},
	}},
	{Name: "B200-180GB", Units: 8, Slices: 7, Source: guide + "; " + testInfra, Profiles: []Profile{
		{"1g.23gb", 1, 1, 23, 7, anyOfSeven},
		{"1g.23gb+me", 1, 1, 23, 1, anyOfSeven},
		{"1g.45gb", 1, 2, 45, 4, evenFour},
		{"2g.45gb", 2, 2, 45, 3, evenThree},
		{"3g.90gb", 3, 4, 90, 2, halves},
		{"4g.90gb", 4, 4, 90, 1, front},
		{"7g.180gb", 7, 8, 180, 1, front},
	}},
	// The guide has no table for GB200, and the driver's names changed between
	// mig-parted (1g.24gb, 3g.95gb, 7g.189gb) and the operator's later
	// configuration (1g.23gb, 3g.93gb, 7g.186gb). A node has either; both are
	// known here.
	{Name: "GB200-186GB", Units: 8, Slices: 7, Source: gpuOperator + "; " + migParted + "; " + testInfra, Profiles: []Profile{
		{"1g.23gb", 1, 1, 23, 7, anyOfSeven},
		{"1g.23gb+me", 1, 1, 23, 1, anyOfSeven},
		{"1g.24gb", 1, 1, 24, 7, anyOfSeven},
		{"1g.47gb", 1, 2, 47, 4, evenFour},
		{"2g.47gb", 2, 2, 47, 3, evenThree},
		{"3g.93gb", 3, 4, 93, 2, halves},
		{"3g.95gb", 3, 4, 95, 2, halves},
		{"4g.93gb", 4, 4, 93, 1, front},
		{"4g.95gb", 4, 4, 95, 1, front},
		{"7g.186gb", 7, 8, 186, 1, front},
		{"7g.189gb", 7, 8, 189, 1, front},
	}},
	// Positions as on B200.
	{Name: "B300-269GB", Units: 8, Slices: 7, Source: operatorMIG, Profiles: []Profile{
		{"1g.34gb", 1, 1, 34, 7, anyOfSeven},
		{"1g.34gb+me", 1, 1, 34, 1, anyOfSeven},
		{"1g.67gb", 1, 2, 67, 4, evenFour},
		{"2g.67gb", 2, 2, 67, 3, evenThree},
		{"3g.135gb", 3, 4, 135, 2, halves},
		{"4g.135gb", 4, 4, 135, 1, front},
		{"7g.269gb", 7, 8, 269, 1, front},
	}},
	// The driver's names changed here, too.
	{Name: "GB300-278GB", Units: 8, Slices: 7, Source: operatorMIG + "; " + testInfra + "; " + playbook, Profiles: []Profile{
		{"1g.31gb", 1, 1, 31, 7, anyOfSeven},
		{"1g.31gb+me", 1, 1, 31, 1, anyOfSeven},
		{"1g.35gb", 1, 1, 35, 7, anyOfSeven},
		{"1g.35gb+me", 1, 1, 35, 1, anyOfSeven},
		{"1g.70gb", 1, 2, 70, 4, evenFour},
		{"2g.70gb", 2, 2, 70, 3, evenThree},
		{"3g.126gb", 3, 4, 126, 2, halves},
		{"3g.139gb", 3, 4, 139, 2, halves},
		{"4g.126gb", 4, 4, 126, 1, front},
		{"4g.139gb", 4, 4, 139, 1, front},
		{"7g.251gb", 7, 8, 251, 1, front},
		{"7g.278gb", 7, 8, 278, 1, front},
	}},
	// The guide of driver 580 cuts this board in quarters, the later one in halves.
	{Name: "RTX-PRO-5000-48GB", Units: 4, Slices: 4, Source: guide + "; " + guide580, Profiles: []Profile{
		{"1g.12gb", 1, 1, 12, 1, front},
		{"1g.12gb+me", 1, 1, 12, 1, front},
		{"1g.12gb+gfx", 1, 1, 12, 1, front},
		{"1g.12gb-me", 1, 1, 12, 3, rear},
		{"2g.24gb-me", 2, 2, 24, 1, secondHalf},
		{"1g.24gb", 1, 2, 24, 2, evenTwo},
		{"1g.24gb+me", 1, 2, 24, 1, evenTwo},
		{"1g.24gb+gfx", 1, 2, 24, 2, evenTwo},
		{"1g.24gb+me.all", 1, 2, 24, 1, evenTwo},
		{"1g.24gb-me", 1, 2, 24, 2, evenTwo},
		{"2g.48gb", 2, 4, 48, 1, front},
		{"2g.48gb+gfx", 2, 4, 48, 1, front},
		{"4g.48gb", 4, 4, 48, 1, front},
		{"4g.48gb+gfx", 4, 4, 48, 1, front},
	}},
	{Name: "RTX-PRO-4500-32GB", Units: 2, Slices: 2, Source: guide, Profiles: []Profile{
		{"1g.16gb", 1, 1, 16, 2, bothHalves},
		{"1g.16gb+gfx", 1, 1, 16, 2, bothHalves},
		{"1g.16gb+me.all", 1, 1, 16, 1, bothHalves},
		{"1g.16gb-me", 1, 1, 16, 2, bothHalves},
		{"2g.32gb", 2, 2, 32, 1, front},
		{"2g.32gb+gfx", 2, 2, 32, 1, front},
	}},
	{Name: "RTX-PRO-6000-96GB", Units: 12, Slices: 4, Source: guide + "; " + lgipp, Profiles: []Profile{
		{"1g.24gb", 1, 3, 24, 4, thirds},
		{"1g.24gb+me", 1, 3, 24, 1, thirds},
		{"1g.24gb+gfx", 1, 3, 24, 4, thirds},
		{"1g.24gb+me.all", 1, 3, 24, 1, thirds},
		{"1g.24gb-me", 1, 3, 24, 4, thirds},
		{"2g.48gb", 2, 6, 48, 2, sixths},
		{"2g.48gb+gfx", 2, 6, 48, 2, sixths},
		{"2g.48gb+me.all", 2, 6, 48, 1, sixths},
		{"2g.48gb-me", 2, 6, 48, 2, sixths},
		{"4g.96gb", 4, 12, 96, 1, front},
		{"4g.96gb+gfx", 4, 12, 96, 1, front},
	}},
}
