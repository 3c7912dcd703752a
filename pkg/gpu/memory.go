// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"strconv"
	"strings"
)

// MemoryFloor is the least memory that a pod asks of each GPU, in GB as makers
// count them. The zero value asks for nothing.
type MemoryFloor int

// InvalidMemoryFloor is returned for a memory floor that cannot be read.
type InvalidMemoryFloor struct {
	// Text is what was found.
	Text string
}

// Error implements error.
func (e *InvalidMemoryFloor) Error() string {
	return fmt.Sprintf("GPU memory floor %q cannot be read: write it as \">=80Gi\"", e.Text)
}

// maxFloorGB bounds a floor so that a slip of the pen is an error, not a pod
// that waits for ever.
const maxFloorGB = 4096

// ParseMemoryFloor reads the annotation muster.sh/gpu-memory, such as ">=80Gi".
// The sign may be left out; the unit is Gi, G, GB or GiB, or Mi. An 80 GB
// device satisfies ">=80Gi" although its driver reports 79.6 GiB: the number
// means the size that the device is sold as.
func ParseMemoryFloor(text string) (MemoryFloor, error) {
	s := strings.TrimSpace(text)
	s = strings.TrimSpace(strings.TrimPrefix(s, ">="))
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end <= 0 {
		return 0, &InvalidMemoryFloor{Text: text}
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0, &InvalidMemoryFloor{Text: text}
	}
	switch strings.TrimSpace(s[end:]) {
	case "Gi", "G", "GB", "GiB":
	case "Mi", "MiB":
		n = n/1024 + min(n%1024, 1)
	default:
		return 0, &InvalidMemoryFloor{Text: text}
	}
	if n < 1 || n > maxFloorGB {
		return 0, &InvalidMemoryFloor{Text: text}
	}
	return MemoryFloor(n), nil
}

// String writes the floor as ParseMemoryFloor reads it.
func (f MemoryFloor) String() string { return fmt.Sprintf(">=%dGi", int(f)) }

// IsSatisfiedBy reports whether one GPU of a node has the memory asked for. Where the
// node advertises slices, the slice counts. A product that is not in the table
// is judged by labelMiB, what a label such as nvidia.com/gpu.memory says in MiB (0 if
// it is missing): drivers report up to 7 % less than a device is sold as (a 24 GB A10
// reports 23028 MiB, a 16 GB T4 15360), so that much is forgiven. A label that
// contradicts a known product counts, as the product may be that of another
// device of the node. A node of which nothing is known does not satisfy a floor.
func (f MemoryFloor) IsSatisfiedBy(p Product, labelMiB int) bool {
	if f <= 0 {
		return true
	}
	have := p.MemoryGB
	if p.Profile != "" {
		have = p.partMemoryGB()
	}
	if have > 0 && !labelContradicts(p, labelMiB) {
		return have >= int(f)
	}
	const forgiven = 1.07
	return float64(labelMiB)*forgiven >= float64(f)*1024
}

// partMemoryGB returns the memory of one of the parts into which a device is cut, 0
// if it is not known: of a MIG instance what the profile's name says, whatever the
// board, of AMD's partitions an equal share of the device.
func (p Product) partMemoryGB() int {
	if parts := styleParts[p.Profile[:min(3, len(p.Profile))]]; parts > 0 {
		return p.MemoryGB / parts
	}
	_, size, _ := strings.Cut(p.Profile, "g.")
	digits, _, found := strings.Cut(size, "gb")
	gb, err := strconv.Atoi(digits)
	if !found || err != nil || gb < 0 {
		return 0
	}
	return gb
}

// styleParts is the number of partitions that AMD's compute partition styles make of
// an MI300X (ROCm documentation, GPU partitioning; the three of an MI300A in "tpx").
var styleParts = map[string]int{"spx": 1, "dpx": 2, "tpx": 3, "qpx": 4, "cpx": 8}

// parseMemoryMiB reads a label that tells the memory of a device: a number counts
// MiB, as NVIDIA's does, and "192G" and "64GB" are what AMD and others write. It
// returns 0 for what it cannot read.
func parseMemoryMiB(text string) int {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	n, err := strconv.Atoi(text[:end])
	if err != nil || n > maxFloorGB*1024 {
		return 0
	}
	switch strings.ToUpper(strings.TrimSpace(text[end:])) {
	case "", "M", "MB", "MI", "MIB":
		return n
	case "G", "GB", "GI", "GIB":
		return n * 1024
	}
	return 0
}

// labelContradicts reports whether the label of the memory is less than any
// driver reports of the product, or far more, as on boards that are sold in two
// sizes under one name: a 24 GB P40 with error correction, 7 % short, is the
// furthest off that was seen.
func labelContradicts(p Product, labelMiB int) bool {
	sold := p.MemoryGB * 1024
	return p.IsWhole() && sold > 0 && labelMiB > 0 && (labelMiB*10 < sold*9 || labelMiB*10 > sold*12)
}
