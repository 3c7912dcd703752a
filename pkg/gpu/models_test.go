// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseProduct(t *testing.T) {
	for _, tc := range []struct {
		name, label string
		want        Product
	}{
		{"SXM box", "NVIDIA-H100-80GB-HBM3", Product{Family: "H100", MemoryGB: 80, FormFactor: SXM, Board: "H100-80GB"}},
		{"PCIe card whose name has no memory", "NVIDIA-H100-PCIe", Product{Family: "H100", MemoryGB: 80, FormFactor: PCIe, Board: "H100-80GB"}},
		{"NVL card", "NVIDIA-H200-NVL", Product{Family: "H200", MemoryGB: 141, FormFactor: NVL, Board: "H200-141GB"}},
		{"old driver without the maker's name", "A100-SXM4-40GB", Product{Family: "A100", MemoryGB: 40, FormFactor: SXM, Board: "A100-40GB"}},
		{"both spellings of one card", "NVIDIA-A100-PCIE-80GB", Product{Family: "A100", MemoryGB: 80, FormFactor: PCIe, Board: "A100-80GB"}},
		{"name before memory", "NVIDIA-A100-80GB-PCIe", Product{Family: "A100", MemoryGB: 80, FormFactor: PCIe, Board: "A100-80GB"}},
		{"GH200 is named by its processor's memory", "NVIDIA-GH200-480GB", Product{Family: "GH200", MemoryGB: 96, FormFactor: Superchip, Board: "H100-96GB"}},
		{"no MIG", "Tesla-T4", Product{Family: "T4", MemoryGB: 16, FormFactor: PCIe}},
		{"time-sliced", "Tesla-V100-SXM2-16GB-SHARED", Product{Family: "V100", MemoryGB: 16, FormFactor: SXM, Shared: true}},
		{"single strategy", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", Product{Family: "A100", MemoryGB: 40, FormFactor: SXM, Board: "A100-40GB", Profile: "3g.20gb"}},
		{"single strategy, shared", "A100-SXM4-40GB-MIG-1g.5gb-SHARED", Product{Family: "A100", MemoryGB: 40, FormFactor: SXM, Board: "A100-40GB", Profile: "1g.5gb", Shared: true}},
		{"profile with media engines", "NVIDIA-A30-MIG-1g.6gb.me", Product{Family: "A30", MemoryGB: 24, FormFactor: PCIe, Board: "A30-24GB", Profile: "1g.6gb+me"}},
		{"a product of next year", "NVIDIA-R100-MIG-2g.72gb", Product{Profile: "2g.72gb"}},
		{"a virtual GPU", "GRID-A100-10C", Product{Family: "A100", MemoryGB: 10, Shared: true, Virtual: true}},
		{"a virtual GPU of a known board", "NVIDIA-A40-12Q", Product{Family: "A40", MemoryGB: 12, Shared: true, Virtual: true}},
		{"a virtual GPU on a MIG instance", "NVIDIA-A30-1-6CME", Product{Family: "A30", MemoryGB: 6, Shared: true, Virtual: true}},
		{"a chip that looks like one", "Ascend-910B", Product{}},
		{"AMD's partitions", "AMD_Instinct_MI300X_OAM-CPX_NPS4", Product{Family: "MI300X", MemoryGB: 192, FormFactor: OAM, Profile: "cpx_nps4"}},
		{"nothing", "", Product{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.Label = tc.label
			got := ParseProduct(tc.label)
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.want.Profile == "" && !tc.want.Shared, got.IsWhole())
		})
	}
}

func TestProductTable(t *testing.T) {
	require.Len(t, productRows, len(productTable), "two rows stand for one name")
	for _, row := range productTable {
		assert.NotEmpty(t, row.source, row.label)
		assert.Positive(t, row.memoryGB, row.label)
		if row.board != "" {
			_, ok := FindBoard(row.board)
			assert.True(t, ok, "%s names the unknown board %s", row.label, row.board)
		}
	}
}

func TestAdmits(t *testing.T) {
	for _, tc := range []struct {
		name, want, label string
		admits            bool
	}{
		{"family", "H100", "NVIDIA-H100-80GB-HBM3", true},
		{"family in small letters", "h100", "NVIDIA-H100-NVL", true},
		{"another family", "H100", "NVIDIA-H200", false},
		{"a family is no prefix", "A10", "NVIDIA-A100-SXM4-40GB", false},
		{"A10 is not A10G", "A10", "NVIDIA-A10G", false},
		{"L40 is not L40S", "L40", "NVIDIA-L40S", false},
		{"family and form", "H100-NVL", "NVIDIA-H100-NVL", true},
		{"family and another form", "H100-NVL", "NVIDIA-H100-80GB-HBM3", false},
		{"family and memory", "A100-80GB", "NVIDIA-A100-SXM4-80GB", true},
		{"memory in short", "A100-80G", "NVIDIA-A100-80GB-PCIe", true},
		{"family and other memory", "A100-80GB", "NVIDIA-A100-SXM4-40GB", false},
		{"form, memory, spaces", "A100 SXM 80GB", "NVIDIA-A100-SXM4-80GB", true},
		{"SXM with its number", "V100-SXM2-32GB", "Tesla-V100-SXM2-32GB", true},
		{"SXM with another number", "V100-SXM3", "Tesla-V100-SXM2-32GB", false},
		{"family of several words", "RTX PRO 6000", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", true},
		{"label", "NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3", true},
		{"a label stands for one product", "NVIDIA-H200", "NVIDIA-H200-NVL", false},
		{"label of the device under a sliced one", "NVIDIA-A30", "NVIDIA-A30-MIG-1g.6gb", true},
		{"label with its suffix", "NVIDIA-A30-MIG-1g.6gb", "NVIDIA-A30-MIG-1g.6gb", true},
		{"label with another suffix", "NVIDIA-A30-MIG-2g.12gb", "NVIDIA-A30-MIG-1g.6gb", false},
		{"a slice of a family", "A30-MIG-1g.6gb", "NVIDIA-A30-MIG-1g.6gb", true},
		{"another slice of a family", "A30-MIG-2g.12gb", "NVIDIA-A30-MIG-1g.6gb", false},
		{"a slice of any device", "MIG-1g.6gb", "NVIDIA-A30-MIG-1g.6gb", true},
		{"a slice is no whole device", "A30-MIG-1g.6gb", "NVIDIA-A30", false},
		{"a family leaves open how devices are shared", "A30", "NVIDIA-A30-MIG-1g.6gb", true},
		{"shared devices asked for", "T4-SHARED", "Tesla-T4-SHARED", true},
		{"shared devices asked for, whole ones found", "T4-SHARED", "Tesla-T4", false},
		{"unknown product by its first word", "R100", "NVIDIA-R100-SXM7", true},
		{"unknown product by its label", "NVIDIA-R100-SXM7", "NVIDIA-R100-SXM7", true},
		{"unknown product, half a word", "R10", "NVIDIA-R100-SXM7", false},
		{"unknown product by a word of it", "MI300X", "AMD-Instinct-MI300X-OAM", true},
		{"unknown product by words out of order", "MI300X-Instinct", "AMD-Instinct-MI300X-OAM", false},
		{"spaces for dashes", "NVIDIA H100 80GB HBM3", "NVIDIA-H100-80GB-HBM3", true},
		{"H100 is not GH200", "H200", "NVIDIA-GH200-480GB", false},
		{"the number of a board", "A6000", "NVIDIA-RTX-A6000", true},
		{"in small letters", "rtx a6000", "NVIDIA-RTX-A6000", true},
		{"the Ada board is another", "RTX 6000 Ada", "NVIDIA-RTX-A6000", false},
		{"the other way round", "RTX A6000", "NVIDIA-RTX-6000-Ada-Generation", false},
		{"A6000 is not the Ada board", "A6000", "NVIDIA-RTX-6000-Ada-Generation", false},
		{"the Ada board", "RTX-6000-Ada", "NVIDIA-RTX-6000-Ada-Generation", true},
		{"nor is it the PRO board", "RTX 6000", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", false},
		{"a consumer board by its number", "3090", "NVIDIA-GeForce-RTX-3090", true},
		{"a Ti is another board", "RTX 3090", "NVIDIA-GeForce-RTX-3090-Ti", false},
		{"a Ti by its name", "3090 Ti", "NVIDIA-GeForce-RTX-3090-Ti", true},
		{"a 4090 D is another board", "4090", "NVIDIA-GeForce-RTX-4090-D", false},
		{"4090", "4090", "NVIDIA-GeForce-RTX-4090", true},
		{"a family and words of the label", "RTX-PRO-6000-Blackwell", "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition", true},
		{"one edition", "RTX PRO 6000 Max-Q", "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition", true},
		{"another edition", "RTX PRO 6000 Server Edition", "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition", false},
		{"the kind of memory", "H100-HBM3", "NVIDIA-H100-80GB-HBM3", true},
		{"the socket", "H100-SXM5", "NVIDIA-H100-80GB-HBM3", true},
		{"another socket", "H100-SXM4", "NVIDIA-H100-80GB-HBM3", false},
		{"H100 SXM", "H100 SXM", "NVIDIA-H100-80GB-HBM3", true},
		{"H100 NVL", "H100 NVL", "NVIDIA-H100-NVL", true},
		{"H200 NVL", "H200 NVL", "NVIDIA-H200-NVL", true},
		{"H200 NVL is no SXM", "H200 NVL", "NVIDIA-H200", false},
		{"the maker and the family", "NVIDIA H100", "NVIDIA-H100-80GB-HBM3", true},
		{"the maker and a number", "NVIDIA RTX 4090", "NVIDIA-GeForce-RTX-4090", true},
		{"the maker and a family that is a label of GKE's", "NVIDIA-A100-80GB", "NVIDIA-A100-SXM4-80GB", true},
		{"L40S is not L40", "L40S", "NVIDIA-L40", false},
		{"GB200 is not B200", "B200", "NVIDIA-GB200", false},
		{"GH200 by its memory", "GH200-96GB", "NVIDIA-GH200-480GB", true},
		{"GH200 by its name", "GH200-480GB", "NVIDIA-GH200-480GB", true},
		{"AMD's maker and family", "AMD Instinct MI300X", "AMD_Instinct_MI300X_OAM", true},
		{"MI325X is MI325 in the label", "MI325X", "AMD_Instinct_MI325_OAM", true},
		{"MI300X is not MI300A", "MI300X", "AMD_Instinct_MI300A", false},
		{"either board of one label", "MI250", "AMD_Instinct_MI250X_MI250", true},
		{"the other of them", "MI250X", "AMD_Instinct_MI250X_MI250", true},
		{"a partition", "MI300X-CPX-NPS4", "AMD_Instinct_MI300X_OAM-cpx_nps4", true},
		{"another partition", "MI300X-DPX-NPS1", "AMD_Instinct_MI300X_OAM-cpx_nps4", false},
		{"a virtual GPU by its type", "A100-10C", "GRID-A100-10C", true},
		{"by another type", "A100-20C", "GRID-A100-10C", false},
		{"by its board, if shared ones will do", "A100-SHARED", "GRID-A100-10C", true},
		{"nothing asked", "", "NVIDIA-A30", false},
		{"no label", "A30", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.admits, MatchesProduct(tc.want, ParseProduct(tc.label)))
			for range 2 { // the second answer is a memory
				assert.Equal(t, tc.admits, MatchesLabel(tc.want, tc.label))
			}
		})
	}
}

func TestMemoryFloor(t *testing.T) {
	for _, tc := range []struct {
		name, floor, label string
		labelMiB           int
		admits             bool
	}{
		{"an 80 GB device has 80Gi", ">=80Gi", "NVIDIA-H100-80GB-HBM3", 81559, true},
		{"a 40 GB device has not", ">=80Gi", "NVIDIA-A100-SXM4-40GB", 40960, false},
		{"the sign may be left out", "24GB", "NVIDIA-A10", 23028, true},
		{"a slice counts, not its device", ">=40Gi", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", 9728, false},
		{"a slice that is large enough", ">=40Gi", "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", 40192, true},
		{"a slice of a name that the table lacks", ">=50Gi", "NVIDIA-A100-SXM4-80GB-MIG-5g.50gb", 0, true},
		{"a slice of an unknown board", ">=36Gi", "NVIDIA-R100-MIG-1g.36gb.me", 0, true},
		{"a slice of an unknown board, too small", ">=37Gi", "NVIDIA-R100-MIG-1g.36gb", 0, false},
		{"a slice without a size", ">=1Gi", "NVIDIA-R100-MIG-half", 0, false},
		{"a share counts, not its device", ">=40Gi", "NVIDIA-A40-12Q", 12288, false},
		{"a share that is large enough", ">=12Gi", "NVIDIA-A40-12Q", 12288, true},
		{"a partition counts, not its device", ">=25Gi", "AMD_Instinct_MI300X_OAM-cpx_nps4", 0, false},
		{"a partition that is large enough", ">=24Gi", "AMD_Instinct_MI300X_OAM-cpx_nps4", 0, true},
		{"unknown product by its label", ">=100Gi", "NVIDIA-R100", 147456, true},
		{"unknown product, a little short", ">=16Gi", "Foo", 15360, true},
		{"unknown product, too small", ">=80Gi", "Foo", 49152, false},
		{"nothing known", ">=1Gi", "", 0, false},
		{"a label that contradicts the product", ">=40Gi", "NVIDIA-H100-80GB-HBM3", 15360, false},
		{"a label that tells more than the product", ">=72Gi", "NVIDIA-RTX-PRO-5000-Blackwell", 73000, true},
		{"a label a little short of the product", ">=24Gi", "Tesla-P40", 22919, true},
		{"in MiB", ">=40960Mi", "NVIDIA-A100-SXM4-40GB", 0, true},
		{"in MiB, rounded up", ">=40961Mi", "NVIDIA-A100-SXM4-40GB", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			floor, err := ParseMemoryFloor(tc.floor)
			require.NoError(t, err)
			assert.Equal(t, tc.admits, floor.IsSatisfiedBy(ParseProduct(tc.label), tc.labelMiB))
		})
	}
	assert.True(t, MemoryFloor(0).IsSatisfiedBy(Product{}, 0), "no floor admits all")
}

func TestParseMemoryFloor_Refuses(t *testing.T) {
	for _, text := range []string{"", ">=", "80", ">=80", "Gi", "-1Gi", "0Gi", "9999Gi", ">=80Ti", "80.5Gi", "<80Gi", "99999999999999999999Gi"} {
		_, err := ParseMemoryFloor(text)
		var invalid *InvalidMemoryFloor
		require.ErrorAs(t, err, &invalid, text)
		assert.Equal(t, text, invalid.Text)
		assert.Contains(t, err.Error(), ">=80Gi")
	}
}

func FuzzParseProduct(f *testing.F) {
	for _, row := range productTable {
		f.Add(row.label + "-MIG-1g.5gb-SHARED")
	}
	f.Add("-MIG--SHARED")
	f.Fuzz(func(t *testing.T, label string) {
		p := ParseProduct(label)
		if p.Label != label {
			t.Fatalf("the label %q came back as %q", label, p.Label)
		}
		if p.Family != "" && (!MatchesProduct(p.Family, p) || !MatchesProduct(label, p)) {
			t.Fatalf("%q is a %s but is not admitted as one", label, p.Family)
		}
		if p.Shared != (p.Virtual || strings.HasSuffix(strings.ToUpper(label), "-SHARED")) {
			t.Fatalf("%q: shared is %v", label, p.Shared)
		}
	})
}

func FuzzParseMemoryFloor(f *testing.F) {
	for _, s := range []string{">=80Gi", "24GB", "40960Mi", ">= 8 G", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		floor, err := ParseMemoryFloor(text)
		if err != nil {
			return
		}
		if again, err := ParseMemoryFloor(floor.String()); err != nil || again != floor {
			t.Fatalf("%q gives %v, which reads back as %v, %v", text, floor, again, err)
		}
	})
}
