// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func topo(t *testing.T, name string) *Links {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "topo", name+".txt"))
	require.NoError(t, err)
	l, err := ParseTopo(string(text))
	require.NoError(t, err)
	return l
}

func TestParseTopo(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"NVSwitch box with an underlined header", "hgx-h100", "8*NV18"},
		{"hybrid cube mesh with network cards", "dgx-1v", hybridCubeMesh},
		{"bridged pairs", "a100-pcie-bridged", "NV12;SYS,SYS;SYS,SYS,NV12"},
		{"PCIe switches and two NUMA nodes", "pcie-six", "PIX;NODE,NODE;NODE,NODE,PIX;SYS,SYS,SYS,SYS;SYS,SYS,SYS,SYS,PIX"},
		{"columns by spaces", "k80", "PIX;PHB,PHB;PHB,PHB,PIX"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := topo(t, tc.file)
			assert.Equal(t, tc.want, l.String())
			back, err := ParseLinks(l.String())
			require.NoError(t, err)
			assert.Equal(t, l, back)
		})
	}
}

func TestParseTopo_Refuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", `GPU links, the output of nvidia-smi topo -m: found "0 devices in the header, 0 rows", want a header and a row for each of 2 or more GPUs`},
		{"a single device", "\tGPU0\tCPU\nGPU0\t X \t0-7\n", "0 devices in the header"},
		{"a row is missing", "GPU0 GPU1\nGPU0 X SYS\n", "2 devices in the header, 1 rows"},
		{"two columns grown together", "GPU0 GPU1\nGPU0 X SYSNODE\nGPU1 SYS X\n", `row GPU0: found "SYSNODE"`},
		{"the halves disagree", "GPU0 GPU1\nGPU0 X SYS\nGPU1 NODE X\n", `GPU1 to GPU0: found "NODE", want SYS`},
		{"more rows than the header has", "GPU0 GPU1 GPU2CPUAffinity\nGPU0 X NV4 NV4\nGPU1 NV4 X NV4\nGPU2 NV4 NV4 X\n", "2 devices in the header, 3 rows"},
		{"a row cut short", "GPU0 GPU1\nGPU0 X\nGPU1 SYS X\n", `row GPU0: found "X", want 2 columns`},
		{"no X on the diagonal", "GPU0 GPU1\nGPU0 SYS SYS\nGPU1 SYS X\n", "X on the diagonal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseTopo(tc.text)
			var invalid *InvalidLinks
			require.ErrorAs(t, err, &invalid)
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestParseLinks_Refuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", "GPU links, row 1: found \"\", want NV<n>, PIX, PXB, PHB, NODE or SYS"},
		{"one device", "1*NV4", "want 2 to 16"},
		{"too many devices", "17*SYS", "want 2 to 16"},
		{"too many rows", strings.Repeat(";", 15), "want at most 15"},
		{"unknown link", "4*NVLINK", "the link"},
		{"no NVLink at all", "NV0", "row 1"},
		{"a row too short", "NV1;NV1", `row 2: found "NV1", want 2 links`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseLinks(tc.text)
			var invalid *InvalidLinks
			require.ErrorAs(t, err, &invalid)
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

func set(devices ...int) DeviceSet {
	var s DeviceSet
	for _, d := range devices {
		s |= 1 << d
	}
	return s
}

func TestBest(t *testing.T) {
	for _, tc := range []struct {
		name, file   string
		free         DeviceSet
		count        int
		want         DeviceSet
		link, direct Link
		score        int
	}{
		{"any four behind NVSwitch", "hgx-h100", set(1, 2, 5, 6, 7), 4, set(1, 2, 5, 6), NVLink(18), NVLink(18), 100},
		{"a pair with a double bond", "dgx-1v", AllDevices(8), 2, set(0, 3), NVLink(2), NVLink(2), 100},
		{"a quad of the mesh", "dgx-1v", AllDevices(8), 4, set(0, 1, 2, 3), NVLink(2), NVLink(1), 100},
		{"the whole mesh is connected but not direct", "dgx-1v", AllDevices(8), 8, AllDevices(8), NVLink(2), SYS, 85},
		{"devices without a common link", "dgx-1v", set(0, 5), 2, set(0, 5), SYS, SYS, 10},
		{"the bridged pair", "a100-pcie-bridged", set(0, 2, 3), 2, set(2, 3), NVLink(12), NVLink(12), 100},
		{"one GPU comes from the broken pair", "a100-pcie-bridged", set(0, 2, 3), 1, set(0), NoLink, 0, 100},
		{"three GPUs cross NUMA nodes", "a100-pcie-bridged", AllDevices(4), 3, set(0, 1, 2), SYS, SYS, 10},
		{"one switch before one NUMA node", "pcie-six", set(0, 2, 4, 5), 2, set(4, 5), PIX, PIX, 50},
		{"one NUMA node before two", "pcie-six", set(0, 2, 4), 2, set(0, 2), NODE, NODE, 25},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := topo(t, tc.file).BestDevices(tc.free, tc.count)
			require.True(t, ok)
			assert.Equal(t, LinkQuality{Link: tc.link, Direct: tc.direct, Score: tc.score, Exact: true, Devices: tc.want}, got)
		})
	}
	l := UniformLinks(4, SYS)
	_, ok := l.BestDevices(set(0), 2)
	assert.False(t, ok, "too few free devices")
	_, ok = l.BestDevices(set(0, 9), 2)
	assert.False(t, ok, "a device that the matrix lacks")
	_, ok = l.BestDevices(AllDevices(4), 0)
	assert.False(t, ok, "no device asked for")
}

func TestExpect(t *testing.T) {
	for _, tc := range []struct {
		name, file  string
		free, count int
		want        LinkQuality
	}{
		{"behind NVSwitch counts are enough", "hgx-h100", 3, 2, LinkQuality{Link: NVLink(18), Direct: NVLink(18), Score: 100, Exact: true}},
		{"all devices are free", "a100-pcie-bridged", 4, 2, LinkQuality{Link: NVLink(12), Direct: NVLink(12), Score: 100, Exact: true, Devices: set(0, 1)}},
		{"three free cards hold a pair in any case", "a100-pcie-bridged", 3, 2, LinkQuality{Link: NVLink(12), Direct: NVLink(12), Score: 100}},
		// Of six pairs two are bridged: (2*100 + 4*10) / 6.
		{"two free cards are mostly strangers", "a100-pcie-bridged", 2, 2, LinkQuality{Link: SYS, Direct: SYS, Score: 40}},
		{"more free devices than the matrix has", "hgx-h100", 99, 8, LinkQuality{Link: NVLink(18), Direct: NVLink(18), Score: 100, Exact: true, Devices: AllDevices(8)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := topo(t, tc.file).EstimateQuality(tc.free, tc.count)
			require.True(t, ok)
			assert.Equal(t, tc.want, got)
		})
	}
	_, ok := UniformLinks(4, SYS).EstimateQuality(1, 2)
	assert.False(t, ok)
}

func TestKnownLinks(t *testing.T) {
	for _, tc := range []struct {
		name, label string
		count       int
		want        string
	}{
		{"HGX box", "NVIDIA-H100-80GB-HBM3", 8, "8*NV18"},
		{"DGX-1V", "Tesla-V100-SXM2-32GB", 8, hybridCubeMesh},
		{"bridged NVL cards", "NVIDIA-H100-NVL", 4, "NV12;SYS,SYS;SYS,SYS,NV12"},
		{"cards that cannot be bridged", "NVIDIA-L40S", 4, "4*SYS"},
		{"cards that may be bridged", "NVIDIA-A100-80GB-PCIe", 4, ""},
		{"an odd number in an HGX box", "NVIDIA-H100-80GB-HBM3", 7, ""},
		{"an unknown product", "Foo", 8, ""},
		{"one device", "NVIDIA-L40S", 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, ok := KnownLinks(ParseProduct(tc.label), tc.count)
			require.Equal(t, tc.want != "", ok)
			if ok {
				assert.Equal(t, tc.want, l.String())
			}
		})
	}
}

// bestByTrial is a slow twin of connecting: it tries every link as a threshold.
func bestByTrial(l *Links, set DeviceSet) Link {
	best := NoLink
	for link := SYS; link <= NVLink(maxNVLinks); link++ {
		reached := set & -set
		for range l.DeviceCount() {
			for a := range l.DeviceCount() {
				for b := range l.DeviceCount() {
					in := reached&(1<<a) != 0 && set&(1<<b) != 0
					if in && a != b && l.LinkBetween(a, b) >= link {
						reached |= 1 << b
					}
				}
			}
		}
		if reached == set {
			best = link
		}
	}
	return best
}

func FuzzParseLinks(f *testing.F) {
	for _, s := range []string{"8*NV18", hybridCubeMesh, "NV12;SYS,SYS;SYS,SYS,NV12", ";", "PIX"} {
		f.Add(s, uint32(0x0f), 2)
	}
	f.Fuzz(func(t *testing.T, text string, free uint32, count int) {
		l, err := ParseLinks(text)
		if err != nil {
			return
		}
		back, err := ParseLinks(l.String())
		if err != nil || back.String() != l.String() {
			t.Fatalf("%q gives %s, which reads back as %v, %v", text, l, back, err)
		}
		if l.DeviceCount() > 8 {
			return
		}
		r, ok := l.BestDevices(DeviceSet(free), count)
		if ok && count > 1 && r.Link != bestByTrial(l, r.Devices) {
			t.Fatalf("%s, devices %b: connected by %s, by trial %s", l, r.Devices, r.Link, bestByTrial(l, r.Devices))
		}
	})
}

func FuzzParseTopo(f *testing.F) {
	files, err := filepath.Glob("testdata/topo/*.txt")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseTopo(text)
		if err != nil {
			return
		}
		if back, err := ParseLinks(l.String()); err != nil || back.String() != l.String() {
			t.Fatalf("%q gives %s, which reads back as %v, %v", text, l, back, err)
		}
	})
}
