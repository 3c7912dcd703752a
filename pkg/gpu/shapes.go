// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "slices"

// KnownLinks returns the links of a node from its product and number of
// devices, for nodes without the annotation muster.sh/gpu-links, and tells
// whether the shape is known. How PCIe cards hang together cannot be told from
// the product: cards without a connector for NVLink count as the slowest path,
// SYS, and of those with one nothing is known, since a bridge is an option.
func KnownLinks(p Product, count int) (*Links, bool) {
	if count < 2 || count > MaxDevices {
		return nil, false
	}
	switch {
	case p.Family == "V100" && p.FormFactor == SXM && count == 8:
		links, err := ParseLinks(hybridCubeMesh)
		return links, err == nil
	case p.Family == "H100" && p.FormFactor == NVL && count%2 == 0:
		return bridgePairs(count, h100NVLBridge), true
	case p.FormFactor == PCIe && p.Family != "" && !slices.Contains(bridgeable, p.Family):
		return UniformLinks(count, SYS), true
	}
	for _, s := range allToAll {
		if s.family == p.Family && s.form == p.FormFactor && s.count == count {
			return UniformLinks(count, NVLink(s.nvlinks)), true
		}
	}
	return nil, false
}

// hybridCubeMesh is the DGX-1 with eight V100: nvidia-smi topo -m of a DGX-1V
// as printed in the tests of github.com/microsoft/msccl.
const hybridCubeMesh = "NV1;NV1,NV2;NV2,NV1,NV2;" +
	"NV2,SYS,SYS,SYS;SYS,NV2,SYS,SYS,NV1;SYS,SYS,NV1,SYS,NV1,NV2;SYS,SYS,SYS,NV1,NV2,NV1,NV2"

// h100NVLBridge is the number of NVLinks between two bridged cards: 600 GB/s at
// 50 GB/s each (NVIDIA data sheet of the H100 NVL).
const h100NVLBridge = 12

// bridgeable are the families whose PCIe cards have a connector for an NVLink
// bridge (their NVIDIA data sheets).
var bridgeable = []string{"A100", "A800", "A30", "A40", "H100", "H800", "RTX A5000", "RTX A6000", "RTX 3090"}

// allToAll are the boxes in which every device reaches every other one alike,
// through NVSwitch or by a full mesh: NVIDIA HGX and DGX user guides, and the
// published outputs of nvidia-smi topo -m in testdata.
var allToAll = []struct {
	family         string
	form           FormFactor
	count, nvlinks int
}{
	{"A100", SXM, 4, 4},
	{"A100", SXM, 8, 12},
	{"A100", SXM, 16, 12},
	{"A800", SXM, 8, 8},
	{"H100", SXM, 4, 6},
	{"H100", SXM, 8, 18},
	{"H800", SXM, 8, 8},
	{"H20", SXM, 8, 18},
	{"H200", SXM, 8, 18},
	{"B200", SXM, 8, 18},
	{"B300", SXM, 8, 18},
	{"V100", SXM, 16, 6},
	{"GB200", Superchip, 4, 18},
	{"GB300", Superchip, 4, 18},
}

// bridgePairs bridges neighbours: 0 with 1, 2 with 3 and so on.
func bridgePairs(count, nvlinks int) *Links {
	l := UniformLinks(count, SYS)
	for a := 1; a < count; a += 2 {
		l.pairLinks[a*(a-1)/2+a-1] = NVLink(nvlinks)
	}
	return l
}
