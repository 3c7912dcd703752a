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
	// Profile is set on a node whose MIG strategy is "single": every GPU that
	// it advertises is a slice of this profile, not a device.
	Profile string
	// Shared says that one device is advertised several times (time-slicing or
	// MPS): two GPUs of the node may be one device.
	Shared bool
}

// IsWhole reports whether a GPU of the node is a device of its own: neither a MIG
// slice nor shared.
func (p Product) IsWhole() bool { return p.Profile == "" && !p.Shared }

// ParseProduct reads a value of the label nvidia.com/gpu.product. A product
// that is not in the table keeps Label, Profile and Shared only; it is no
// error, since new products appear before tables do.
//
// GPU Feature Discovery makes the value from the device name with spaces
// turned into "-", then appends "-MIG-<profile>" (strategy single) and
// "-SHARED" (replicas without renaming), in that order:
// github.com/NVIDIA/k8s-device-plugin, README of GPU Feature Discovery.
func ParseProduct(label string) Product {
	p := Product{Label: label}
	name, shared := cutSuffixFold(label, "-SHARED")
	p.Shared = shared
	if i := strings.LastIndex(strings.ToUpper(name), "-MIG-"); i >= 0 && isASCII(name) {
		p.Profile = canonicalProfile(name[i+len("-MIG-"):])
		name = name[:i]
	}
	row, ok := productRows[productKey(name)]
	if ok {
		p.Family, p.MemoryGB, p.FormFactor, p.Board = row.family, row.memoryGB, row.form, row.board
	}
	return p
}

// MatchesProduct reports whether a node with the given product satisfies one entry of a
// list of models. An entry with the maker's name is a product label and stands
// for that product alone ("NVIDIA-H200" is not an H200 NVL). Without it, it is
// a family ("H100"), which may be narrowed by form and memory in any order
// ("H100-NVL", "A100-SXM-80GB"); of a product that is not in the table, such as
// one of another maker, the entry must be some whole words in order ("MI300X"
// of "AMD-Instinct-MI300X-OAM"). "-MIG-<profile>" and "-SHARED" behind either
// ask for just that ("A100-MIG-3g.20gb", or "MIG-1g.10gb" on any device). An
// entry without them leaves open whether the node's GPUs are whole, see
// Product.IsWhole. Case does not matter.
func MatchesProduct(want string, p Product) bool {
	asked := parseModelEntry(want)
	if asked.Profile != "" && asked.Profile != p.Profile || asked.Shared && !p.Shared {
		return false
	}
	base := deviceName(asked.Label)
	key, device := productKey(base), productKey(deviceName(p.Label))
	if key == "" {
		return !asked.IsWhole()
	}
	if key == device || hasMaker(base) {
		return key == device
	}
	if p.Family == "" {
		return device != "" && strings.Contains("-"+device+"-", "-"+key+"-")
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

// matchesQualifier reports whether one word behind a family name is true of p.
func matchesQualifier(token string, p Product) bool {
	if token == strings.ToUpper(string(p.FormFactor)) {
		return true
	}
	if p.FormFactor == SXM && len(token) == 4 && strings.HasPrefix(token, "SXM") {
		return strings.Contains(strings.ToUpper(p.Label), token)
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
	if i := strings.LastIndex(strings.ToUpper(name), "-MIG-"); i >= 0 && isASCII(name) {
		name = name[:i]
	}
	return name
}

// productKey is the form in which names are compared: upper case, "-" between
// words, without the maker's name, which older drivers leave out.
func productKey(name string) string {
	key := strings.ToUpper(strings.Join(strings.FieldsFunc(name, isSeparator), "-"))
	key = strings.TrimPrefix(key, "NVIDIA-")
	return strings.TrimPrefix(key, "TESLA-")
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
