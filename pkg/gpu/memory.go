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
// is judged by labelMiB, the label nvidia.com/gpu.memory in MiB (0 if it is
// missing): drivers report up to 7 % less than a device is sold as (a 24 GB A10
// reports 23028 MiB, a 16 GB T4 15360), so that much is forgiven. A label that
// contradicts a known product counts, as the product may be that of another
// device of the node. A node of which nothing is known does not satisfy a floor.
func (f MemoryFloor) IsSatisfiedBy(p Product, labelMiB int) bool {
	if f <= 0 {
		return true
	}
	have := p.MemoryGB
	if p.Profile != "" {
		have = 0
		if board, ok := FindBoard(p.Board); ok {
			if profile, err := board.FindProfile(p.Profile); err == nil {
				have = profile.MemoryGB
			}
		}
	}
	if have > 0 && !labelContradicts(p, labelMiB) {
		return have >= int(f)
	}
	const forgiven = 1.07
	return float64(labelMiB)*forgiven >= float64(f)*1024
}

// labelContradicts reports whether the label nvidia.com/gpu.memory is less than any
// driver reports of the product: a 24 GB P40 with error correction, 7 % short, is
// the furthest off that was seen.
func labelContradicts(p Product, labelMiB int) bool {
	return p.IsWhole() && p.MemoryGB > 0 && labelMiB > 0 && labelMiB*10 < p.MemoryGB*1024*9
}
