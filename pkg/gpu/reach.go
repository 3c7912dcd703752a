// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "math/bits"

// DeviceSet is a set of devices of one node: bit i stands for device i.
type DeviceSet uint32

// AllDevices is the set of the first count devices.
func AllDevices(count int) DeviceSet { return DeviceSet(1)<<count - 1 }

// LinkQuality is how well a pod's GPUs on one node reach each other.
type LinkQuality struct {
	// Link is the slowest link on the best path: over links at least this
	// fast, every GPU of the pod is connected to every other, if need be
	// through a third one of them. NoLink for a single GPU.
	Link Link
	// Direct is the slowest link between any two of them.
	Direct Link
	// Score goes from 0 to 100, which stands for NVLink between every two.
	Score int
	// Exact says that this is what the pod gets if the best devices are picked.
	// Otherwise the free devices were counted only and it depends on which
	// they are: Link and Direct are those of the middle case, and Score is the
	// mean over all cases.
	Exact bool
	// Devices is the best set where the free devices were known, else empty.
	Devices DeviceSet
}

// pathScore is the score of a set by the slowest link on the best path. The
// steps follow the order of the links; NVLink is set apart since it is several
// times as fast as PCIe.
func pathScore(path, direct Link) int {
	switch {
	case direct.IsNVLink():
		return 100
	case path.IsNVLink():
		return 85
	default:
		return [...]int{NoLink: 0, SYS: 10, NODE: 25, PHB: 30, PXB: 40, PIX: 50}[min(path, PIX)]
	}
}

// BestDevices finds the count devices among the free ones that reach each other best,
// and reports whether there are so many. In this order it looks for the fastest
// link that connects them all, the fastest slowest pair, the most bandwidth
// among them, the most bandwidth left among the devices that stay free, and the
// lowest numbers: one GPU is taken from a broken pair before a whole one.
func (l *Links) BestDevices(free DeviceSet, count int) (LinkQuality, bool) {
	free &= AllDevices(l.count)
	if count < 1 || bits.OnesCount32(uint32(free)) < count {
		return LinkQuality{}, false
	}
	if link, alike := l.uniformLink(); alike && count > 1 {
		set := free
		for bits.OnesCount32(uint32(set)) > count {
			set &^= 1 << (bits.Len32(uint32(set)) - 1)
		}
		return LinkQuality{Link: link, Direct: link, Score: pathScore(link, link), Exact: true, Devices: set}, true
	}
	var best ratedSet
	for set := free; set != 0; set = (set - 1) & free {
		if bits.OnesCount32(uint32(set)) != count {
			continue
		}
		if c := l.rateSet(set, free); best.set == 0 || c.isBetterThan(best) {
			best = c
		}
	}
	r := LinkQuality{Link: best.path, Direct: best.direct, Score: 100, Exact: true, Devices: best.set}
	if count > 1 {
		r.Score = pathScore(best.path, best.direct)
	}
	return r, true
}

type ratedSet struct {
	set               DeviceSet
	path, direct      Link
	inside, remaining int
}

func (c ratedSet) isBetterThan(o ratedSet) bool {
	switch {
	case c.path != o.path:
		return c.path > o.path
	case c.direct != o.direct:
		return c.direct > o.direct
	case c.inside != o.inside:
		return c.inside > o.inside
	case c.remaining != o.remaining:
		return c.remaining > o.remaining
	default:
		return bits.Reverse32(uint32(c.set)) > bits.Reverse32(uint32(o.set))
	}
}

func (l *Links) rateSet(set, free DeviceSet) ratedSet {
	c := ratedSet{set: set, inside: l.totalBandwidth(set), remaining: l.totalBandwidth(free &^ set)}
	if bits.OnesCount32(uint32(set)) < 2 {
		return c
	}
	c.direct = nvlink0 + maxNVLinks
	for a := range l.count {
		for b := range a {
			if set&(1<<a) != 0 && set&(1<<b) != 0 {
				c.direct = min(c.direct, l.LinkBetween(a, b))
			}
		}
	}
	c.path = l.connectingLink(set)
	return c
}

// totalBandwidth adds up the links among the devices of a set. NVLinks count one by
// one; a PCIe path counts for less than one NVLink, the shorter the more.
func (l *Links) totalBandwidth(set DeviceSet) int {
	const perNVLink = 8
	sum := 0
	for a := range l.count {
		for b := range a {
			if set&(1<<a) == 0 || set&(1<<b) == 0 {
				continue
			}
			link := l.LinkBetween(a, b)
			if link.IsNVLink() {
				sum += int(link-nvlink0) * perNVLink
			} else {
				sum += int(link)
			}
		}
	}
	return sum
}

// connectingLink is the slowest link of the widest spanning tree of the set: it
// grows a tree from one device, always over the fastest link out of it.
func (l *Links) connectingLink(set DeviceSet) Link {
	tree := set & -set
	slowest := nvlink0 + maxNVLinks
	for tree != set {
		next, fastest := -1, NoLink
		for a := range l.count {
			for b := range l.count {
				out := tree&(1<<a) != 0 && set&^tree&(1<<b) != 0
				if out && (next < 0 || l.LinkBetween(a, b) > fastest) {
					next, fastest = b, l.LinkBetween(a, b)
				}
			}
		}
		tree |= 1 << next
		slowest = min(slowest, fastest)
	}
	return slowest
}

// maxCases bounds the free sets that Expect looks at on nodes with many
// devices; up to 8 devices it looks at all of them.
const maxCases = 128

// EstimateQuality estimates what Best would find when only the number of free devices is
// known, as it is where the device plugin counts GPUs and the kubelet picks
// them: it looks at the possible sets of free devices, each as likely as the
// others.
func (l *Links) EstimateQuality(free, count int) (LinkQuality, bool) {
	free = min(free, l.count)
	if count < 1 || free < count {
		return LinkQuality{}, false
	}
	if free == l.count {
		return l.BestDevices(AllDevices(free), count)
	}
	if _, alike := l.uniformLink(); alike { // which devices are free makes no difference
		r, found := l.BestDevices(AllDevices(free), count)
		r.Devices = 0
		return r, found
	}
	cases := deviceSubsets(l.count, free)
	step := (len(cases) + maxCases - 1) / maxCases
	var seen []LinkQuality
	sum := 0
	for i := 0; i < len(cases); i += step {
		r, _ := l.BestDevices(cases[i], count)
		seen = append(seen, r)
		sum += r.Score
	}
	middle := medianQuality(seen)
	return LinkQuality{Link: middle.Link, Direct: middle.Direct, Score: (sum + len(seen)/2) / len(seen)}, true
}

// deviceSubsets lists the sets of size devices out of count, in rising order.
func deviceSubsets(count, size int) []DeviceSet {
	var all []DeviceSet
	for set := DeviceSet(1); set <= AllDevices(count); set++ {
		if bits.OnesCount32(uint32(set)) == size {
			all = append(all, set)
		}
	}
	return all
}

func medianQuality(seen []LinkQuality) LinkQuality {
	for _, r := range seen {
		below, above := 0, 0
		for _, o := range seen {
			switch {
			case o.Link < r.Link || o.Link == r.Link && o.Direct < r.Direct:
				below++
			case o.Link != r.Link || o.Direct != r.Direct:
				above++
			}
		}
		if 2*below <= len(seen) && 2*above <= len(seen) {
			return r
		}
	}
	return seen[0]
}
