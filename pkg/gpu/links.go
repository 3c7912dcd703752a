// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"strconv"
	"strings"
)

// Link is how two devices of one node reach each other, slower ones first, so
// that links compare by their value. From NVLink(1) on it is a number of bonded
// NVLinks. The names are those of nvidia-smi topo -m.
type Link uint8

// The links that are not NVLink.
const (
	// NoLink is the absence of knowledge; it compares below every link.
	NoLink Link = iota
	// SYS crosses the interconnect between NUMA nodes.
	SYS
	// NODE crosses PCIe host bridges inside one NUMA node.
	NODE
	// PHB crosses one PCIe host bridge.
	PHB
	// PXB crosses several PCIe switches.
	PXB
	// PIX crosses one PCIe switch.
	PIX
	nvlink0
)

// maxNVLinks is more than any device has (18 on Hopper and Blackwell).
const maxNVLinks = 64

// NVLink is a bond of n NVLinks; n below 1 counts as 1.
func NVLink(n int) Link { return nvlink0 + Link(max(1, min(n, maxNVLinks))) }

// IsNVLink tells NVLink from PCIe.
func (l Link) IsNVLink() bool { return l > nvlink0 }

// linkNames has the names of old drivers, too: SOC, and PSB for a switch on the
// board that two devices share, which is a single switch like any other.
var linkNames = map[string]Link{"SYS": SYS, "SOC": SYS, "NODE": NODE, "PHB": PHB, "PXB": PXB, "PIX": PIX, "PSB": PIX}

// String is the name of the link in nvidia-smi topo -m.
func (l Link) String() string {
	switch l {
	case SYS:
		return "SYS"
	case NODE:
		return "NODE"
	case PHB:
		return "PHB"
	case PXB:
		return "PXB"
	case PIX:
		return "PIX"
	default:
		if l.IsNVLink() {
			return "NV" + strconv.Itoa(int(l-nvlink0))
		}
		return "?"
	}
}

func parseLink(name string) (Link, bool) {
	if l, ok := linkNames[name]; ok {
		return l, true
	}
	digits, found := strings.CutPrefix(name, "NV")
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 1 || n > maxNVLinks {
		return NoLink, false
	}
	return NVLink(n), true
}

// MaxDevices is the largest number of devices of one node that a matrix holds.
const MaxDevices = 16

// Links is the link between each two devices of one node. It does not change
// once it is made.
type Links struct {
	count int
	// pairLinks holds the pairs below the diagonal: (1,0), (2,0), (2,1), (3,0) ...
	pairLinks []Link
}

// DeviceCount returns the number of devices.
func (l *Links) DeviceCount() int { return l.count }

// LinkBetween returns the link of two different devices.
func (l *Links) LinkBetween(a, b int) Link {
	if a < b {
		a, b = b, a
	}
	return l.pairLinks[a*(a-1)/2+b]
}

// UniformLinks returns a matrix in which all devices reach each other alike.
func UniformLinks(count int, link Link) *Links {
	l := &Links{count: count, pairLinks: make([]Link, count*(count-1)/2)}
	for i := range l.pairLinks {
		l.pairLinks[i] = link
	}
	return l
}

// uniformLink returns the one link of the matrix, if there is just one.
func (l *Links) uniformLink() (Link, bool) {
	for _, link := range l.pairLinks {
		if link != l.pairLinks[0] {
			return NoLink, false
		}
	}
	if len(l.pairLinks) == 0 {
		return NoLink, false
	}
	return l.pairLinks[0], true
}

// IsUniform reports whether all devices reach each other alike.
func (l *Links) IsUniform() bool {
	_, alike := l.uniformLink()
	return alike || l.count < 2
}

// String writes the matrix as the annotation muster.sh/gpu-links has it, see
// ParseLinks.
func (l *Links) String() string {
	if link, ok := l.uniformLink(); ok {
		return fmt.Sprintf("%d*%s", l.count, link)
	}
	var s strings.Builder
	for a := 1; a < l.count; a++ {
		if a > 1 {
			s.WriteByte(';')
		}
		for b := range a {
			if b > 0 {
				s.WriteByte(',')
			}
			s.WriteString(l.LinkBetween(a, b).String())
		}
	}
	return s.String()
}

// InvalidLinks is returned for a link matrix that cannot be read.
type InvalidLinks struct {
	// Where is the place in the text, such as "row 2".
	Where string
	// Found and Want are what stands there and what should.
	Found, Want string
}

// Error implements error.
func (e *InvalidLinks) Error() string {
	return fmt.Sprintf("GPU links, %s: found %q, want %s", e.Where, e.Found, e.Want)
}

// ParseLinks reads the annotation muster.sh/gpu-links of a node. It takes two
// forms:
//
//	8*NV18                    all of 8 devices reach each other over 18 NVLinks
//	NV12;SYS,SYS;SYS,SYS,NV12 one row for each device from the second on,
//	                          with its links to all devices before it
//
// Devices are numbered as nvidia-smi does. A link is NV<n>, PIX, PXB, PHB, NODE
// or SYS. Links.String writes the form, and ParseTopo makes it from the output
// of nvidia-smi topo -m.
func ParseLinks(text string) (*Links, error) {
	text = strings.TrimSpace(text)
	if count, name, found := strings.Cut(text, "*"); found {
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || n < 2 || n > MaxDevices {
			return nil, &InvalidLinks{"the number of devices", count, fmt.Sprintf("2 to %d", MaxDevices)}
		}
		link, ok := parseLink(strings.TrimSpace(name))
		if !ok {
			return nil, &InvalidLinks{"the link", name, linkSyntax}
		}
		return UniformLinks(n, link), nil
	}
	rows := strings.Split(text, ";")
	if len(rows) >= MaxDevices {
		return nil, &InvalidLinks{"the matrix", fmt.Sprintf("%d rows", len(rows)), fmt.Sprintf("at most %d, for %d devices", MaxDevices-1, MaxDevices)}
	}
	l := &Links{count: len(rows) + 1}
	for i, row := range rows {
		where := fmt.Sprintf("row %d", i+1)
		names := strings.Split(row, ",")
		if len(names) != i+1 {
			return nil, &InvalidLinks{where, row, fmt.Sprintf("%d links", i+1)}
		}
		for _, name := range names {
			link, ok := parseLink(strings.TrimSpace(name))
			if !ok {
				return nil, &InvalidLinks{where, name, linkSyntax}
			}
			l.pairLinks = append(l.pairLinks, link)
		}
	}
	return l, nil
}

const linkSyntax = "NV<n>, PIX, PXB, PHB, NODE or SYS"
