// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"strconv"
	"strings"
)

// FormFactor is how a device is mounted, which tells what it can be linked with.
type FormFactor string

// The forms of the known products.
const (
	// SXM: on a baseboard with NVLink, on most of them through NVSwitch.
	SXM FormFactor = "SXM"
	// PCIe: a card in a slot; NVLink at most to one neighbour by a bridge.
	PCIe FormFactor = "PCIe"
	// NVL: a PCIe card that is sold with NVLink bridges.
	NVL FormFactor = "NVL"
	// Superchip: on one module with its processor (GH200, GB200).
	Superchip FormFactor = "Superchip"
	// OAM: on a baseboard of the Open Compute Project.
	OAM FormFactor = "OAM"
)

// Product is what a GPU product label says.
type Product struct {
	// Label is the label value as it was found.
	Label string
	// Family is the name that users know, such as "H100"; empty for a product
	// that is not in the table.
	Family string
	// MemoryGB is the memory of one whole device, as its maker names it; 0 if
	// unknown. The driver reports a few percent less.
	MemoryGB int
	// FormFactor is how the device is mounted; empty if unknown.
	FormFactor FormFactor
	// Board is the key of the device's MIG tables, see FindBoard; empty when
	// the device cannot be cut or its tables are not known.
	Board string
	// Profile is set on a node that advertises parts of its devices as if they
	// were devices: MIG instances of this profile (MIG strategy "single"), or
	// AMD's partitions, such as "cpx_nps4".
	Profile string
	// Shared says that one device is advertised several times (time-slicing or
	// MPS): two GPUs of the node may be one device.
	Shared bool
	// Virtual says that a hypervisor made the device (vGPU) of a share of a real
	// one; such devices are Shared too, and MemoryGB is that of the share.
	Virtual bool
}

// IsWhole reports whether a GPU of the node is a device of its own: neither a MIG
// slice nor shared.
func (p Product) IsWhole() bool { return p.Profile == "" && !p.Shared }

// ParseProduct reads a value of the label nvidia.com/gpu.product, or of the label
// in which another vendor names the product. A product that is not in the table
// keeps Label and how it is shared only; it is no error, since new products appear
// before tables do.
//
// GPU Feature Discovery makes the value from the device name with spaces
// turned into "-", then appends "-MIG-<profile>" (strategy single) and
// "-SHARED" (replicas without renaming), in that order:
// github.com/NVIDIA/k8s-device-plugin, README of GPU Feature Discovery.
func ParseProduct(label string) Product {
	p := Product{Label: label}
	name, shared := cutSuffixFold(label, "-SHARED")
	name, p.Profile = cutProfile(name)
	name, share := cutVirtual(name)
	p.Virtual = share > 0
	p.Shared = shared || p.Virtual
	if row, ok := productRows[productKey(name)]; ok {
		p.Family, p.MemoryGB, p.FormFactor, p.Board = row.family, row.memoryGB, row.form, row.board
	}
	if p.Virtual {
		p.MemoryGB, p.Board, p.FormFactor = share, "", ""
	}
	return p
}

// cutProfile splits a MIG profile, or the style of AMD's partitions, off a name.
func cutProfile(name string) (rest, profile string) {
	if i := strings.LastIndex(strings.ToUpper(name), "-MIG-"); i >= 0 && isASCII(name) {
		return name[:i], canonicalProfile(name[i+len("-MIG-"):])
	}
	if i := len(name) - len("-cpx_nps4"); i >= 0 && (name[i] == '-' || name[i] == '_') {
		style := strings.ReplaceAll(strings.ToLower(name[i+1:]), "-", "_")
		if matchesPattern("*px_nps*", style) {
			return name[:i], style
		}
	}
	return name, ""
}

// cutVirtual splits the type of a virtual GPU off a name and returns its memory
// in GB: "10C" of "GRID-A100-10C", "1-5CME" of "NVIDIA-A100-1-5CME". The letter
// is the series: Q, C, B or A (NVIDIA vGPU software documentation, virtual GPU
// types). On boards with several sizes a letter may follow the board's name.
func cutVirtual(name string) (rest string, memoryGB int) {
	i := strings.LastIndexByte(name, '-')
	kind, _ := cutSuffixFold(name[i+1:], "ME")
	if i < 0 || len(kind) < 2 || !strings.ContainsRune("QCBAqcba", rune(kind[len(kind)-1])) {
		return name, 0
	}
	gb, err := strconv.Atoi(kind[:len(kind)-1])
	if err != nil || gb < 1 || gb > maxVirtualGB {
		return name, 0
	}
	rest = name[:i]
	if j := strings.LastIndexByte(rest, '-'); j >= 0 && j == len(rest)-2 && rest[j+1] >= '1' && rest[j+1] <= '9' {
		rest = rest[:j] // the compute slices of an instance that backs it
	}
	return rest, gb
}

// maxVirtualGB is more memory than any virtual GPU has; "Ascend-910B" is none.
const maxVirtualGB = 512

// MatchesProduct reports whether a node with the given product satisfies one entry of a
// list of models. An entry that is a product label with the maker's name stands for
// that product alone ("NVIDIA-H200" is not an H200 NVL), and so does the type of a
// virtual GPU. Any other is a family ("H100", "NVIDIA A100"), which may be narrowed
// by form, memory and words of the label in any order ("H100-NVL",
// "A100-SXM-80GB", "H100-HBM3"), or some whole words of the label in order ("A6000",
// "MI300X" of "AMD-Instinct-MI300X-OAM"). "-MIG-<profile>" and "-SHARED" behind
// either ask for just that ("A100-MIG-3g.20gb", or "MIG-1g.10gb" on any device). An
// entry without them leaves open whether the node's GPUs are whole, see
// Product.IsWhole. Case does not matter.
func MatchesProduct(want string, p Product) bool {
	asked := parseModelEntry(want)
	if asked.Profile != "" && asked.Profile != p.Profile || asked.Shared && !p.Shared || asked.Virtual && !p.Virtual {
		return false
	}
	base := deviceName(asked.Label)
	key, device := productKey(base), productKey(deviceName(p.Label))
	if asked.Virtual {
		key, device = productKey(asked.Label), productKey(p.Label)
	}
	switch {
	case key == "":
		return !asked.IsWhole()
	case device == "":
		return false
	case key == device:
		return true
	case asked.Virtual || isExactLabel(base):
		return false
	}
	return matchesFamily(key, p) || hasWords(device, key)
}

// isExactLabel reports whether an entry is a whole product label of NVIDIA's, which
// tells forms apart that share a family.
func isExactLabel(name string) bool {
	row, known := productRows[productKey(name)]
	return known && hasMaker(name) && row.source != gkeName
}

// hasWords reports whether a key is some whole words of a device's key, in order.
// A word that makes another board of the same number must be asked for: a "3090" is
// no 3090 Ti.
func hasWords(device, key string) bool {
	_, rest, found := strings.Cut("-"+device+"-", "-"+key+"-")
	next, _, _ := strings.Cut(rest, "-")
	return found && next != "TI" && next != "SUPER" && next != "D"
}

// matchesFamily reports whether a key is the family of p, narrowed only by
// qualifiers that are true of p.
func matchesFamily(key string, p Product) bool {
	if p.Family == "" {
		return false
	}
	rest, found := strings.CutPrefix(key, productKey(p.Family))
	if !found || (rest != "" && rest[0] != '-') {
		return false
	}
	for token := range strings.FieldsFuncSeq(rest, isSeparator) {
		if !matchesQualifier(token, p) {
			return false
		}
	}
	return true
}

// parseModelEntry reads one entry of a list of models; its device may be left out.
func parseModelEntry(want string) Product {
	want = strings.TrimSpace(want)
	if strings.HasPrefix(strings.ToUpper(want), "MIG-") {
		want = "-" + want
	}
	return ParseProduct(want)
}

// hasMaker reports whether a name starts as the driver's device names do.
func hasMaker(name string) bool {
	upper := strings.ToUpper(strings.TrimSpace(name))
	return strings.HasPrefix(upper, "NVIDIA") || strings.HasPrefix(upper, "TESLA")
}

// sxmNumber is the number of the SXM sockets by family, for labels that leave it
// out (NVIDIA data sheets).
var sxmNumber = map[string]string{
	"A100": "SXM4", "A800": "SXM4", "H100": "SXM5", "H800": "SXM5", "H20": "SXM5", "H200": "SXM5", "B200": "SXM6", "B300": "SXM6",
}

// matchesQualifier reports whether one word behind a family name is true of p.
func matchesQualifier(token string, p Product) bool {
	if token == strings.ToUpper(string(p.FormFactor)) || hasWords(productKey(deviceName(p.Label)), token) {
		return true
	}
	if p.FormFactor == SXM && token == sxmNumber[p.Family] {
		return !strings.Contains(strings.ToUpper(p.Label), "SXM") || strings.Contains(strings.ToUpper(p.Label), token)
	}
	digits, _ := cutSuffixFold(token, "B")
	digits, _ = cutSuffixFold(digits, "G")
	gb, err := strconv.Atoi(digits)
	return err == nil && gb == p.MemoryGB
}

func isSeparator(r rune) bool { return r == '-' || r == '_' || r == ' ' || r == '/' }

// deviceName is a label without the suffixes that say how devices are shared.
func deviceName(label string) string {
	name, _ := cutSuffixFold(label, "-SHARED")
	name, _ = cutProfile(name)
	name, _ = cutVirtual(name)
	return name
}

// makers are the words before a product's name that some labels and many users
// leave out: old drivers "NVIDIA", all of them "Tesla" since the T4, vGPUs "GRID".
var makers = []string{"NVIDIA-", "TESLA-", "GRID-", "AMD-", "INSTINCT-", "INTEL-", "HUAWEI-", "ASCEND-", "ASCEND"}

// productKey is the form in which names are compared: upper case, "-" between
// words, without the maker's name.
func productKey(name string) string {
	key := strings.ToUpper(strings.Join(strings.FieldsFunc(name, isSeparator), "-"))
	for _, maker := range makers {
		if rest, found := strings.CutPrefix(key, maker); found && rest != "" {
			key = rest
		}
	}
	return key
}

// cutSuffixFold is strings.CutSuffix without regard to case.
func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// isASCII guards the use of an index into the upper-case form of a string:
// outside ASCII the two may differ in length.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
