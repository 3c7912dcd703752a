// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"
	"sort"
)

// splitRun spreads a run of n members over boxes, none of which holds it alone,
// in whole units (slices, or single members) and at most one short rest. It
// takes the fewest boxes that do, among those sets the one with the least room
// to spare, and balances domains: 24 nodes go 12 and 12 into two racks of 18,
// not 18 and 6. The boxes that get nothing keep an amount of 0; the box with
// the short rest comes last.
func (p *runPlacer) splitRun(shares []childShare, n, unit int64) {
	q, rest := n/unit, n%unit
	order := p.sorter.orderByHeadroom(shares, unit)
	chosen := p.fewestBoxes(shares, order, q, unit)
	p.allotUnits(shares, chosen, q, unit)
	if rest > 0 {
		assignRemainder(shares, rest)
	}
}

// fewestBoxes picks the fewest boxes that hold q units, with little to spare. The
// order is by falling room, and so are the chosen ones.
func (p *runPlacer) fewestBoxes(shares []childShare, order []int32, q, unit int64) []int32 {
	units := func(i int32) int64 { return shares[i].headroom / unit }
	k, sum := 0, int64(0)
	for sum < q {
		sum += units(order[k])
		k++
	}
	if k == 0 {
		return nil
	}
	first := 0 // slide the window towards the small boxes
	for first+k < len(order) {
		less := sum - units(order[first]) + units(order[first+k])
		if less < q {
			break
		}
		sum = less
		first++
	}
	chosen := order[first : first+k]
	preferTreeOrder(order, first, k, units)
	smaller := order[first+k:]
	for i := 0; i < k && sum > q; i++ { // swap single boxes for smaller ones
		least := units(chosen[i]) - (sum - q)
		at := sort.Search(len(smaller), func(j int) bool { return units(smaller[j]) < least }) - 1
		if at < 0 || units(smaller[at]) == units(chosen[i]) {
			continue
		}
		sum += units(smaller[at]) - units(chosen[i])
		chosen[i] = smaller[at]
		smaller = slices.Delete(smaller, at, at+1)
	}
	return chosen
}

// preferTreeOrder makes the window of k boxes from first on use the first ones, in
// the order of the tree, among the boxes that are as large as its largest.
func preferTreeOrder(order []int32, first, k int, units func(int32) int64) {
	size := units(order[first])
	start := sort.Search(first, func(i int) bool { return units(order[i]) == size })
	end := first
	for end < first+k && units(order[end]) == size {
		end++
	}
	copy(order[first:end], order[start:])
}

// allotUnits gives q units to the chosen boxes. Domains share evenly, in steps of
// whole empty nodes so that balance does not break into more nodes; nodes are
// filled one after the other.
func (p *runPlacer) allotUnits(shares []childShare, chosen []int32, q, unit int64) {
	step := max(1, int64(p.headroom.nodeMax)/unit)
	slices.SortFunc(chosen, func(x, y int32) int {
		if c := int(shares[x].headroom/unit - shares[y].headroom/unit); c != 0 {
			return c
		}
		return int(x - y)
	})
	even := true
	for _, i := range chosen {
		even = even && shares[i].domain >= 0
	}
	if !even {
		slices.Sort(chosen)
	}
	for left, i := range chosen {
		u := min(q, shares[i].headroom/unit)
		if even {
			boxes := int64(len(chosen) - left)
			fair := (q + boxes - 1) / boxes
			u = min(u, (fair+step-1)/step*step)
		}
		shares[i].amount = u * unit
		q -= u
	}
}

// assignRemainder gives the short rest of a run to the box where it wastes least, one
// that is in use already if possible, and moves that box to the end: the rest
// is the last in rank order.
func assignRemainder(shares []childShare, rest int64) {
	best := -1
	better := func(x, y childShare) bool {
		if used := x.amount > 0; used != (y.amount > 0) {
			return used
		}
		return x.headroom-x.amount < y.headroom-y.amount
	}
	for i, child := range shares {
		if child.headroom-child.amount >= rest && (best < 0 || better(child, shares[best])) {
			best = i
		}
	}
	child := shares[best]
	child.amount += rest
	copy(shares[best:], shares[best+1:])
	shares[len(shares)-1] = child
}

// boxSorter sorts boxes by falling room, equal ones in the order of the tree.
type boxSorter struct {
	order []int32
	ends  []int32
}

// orderByHeadroom lists the indexes of shares by falling number of units. It counts
// instead of comparing where the rooms are small, as on nodes.
func (s *boxSorter) orderByHeadroom(shares []childShare, unit int64) []int32 {
	s.order = resize(s.order, len(shares))
	most := int64(0)
	for i := range shares {
		most = max(most, shares[i].headroom/unit)
	}
	if most > int64(2*len(shares)+64) {
		for i := range s.order {
			s.order[i] = int32(i)
		}
		slices.SortFunc(s.order, func(x, y int32) int {
			if c := shares[y].headroom/unit - shares[x].headroom/unit; c != 0 {
				return int(c)
			}
			return int(x - y)
		})
		return s.order
	}
	s.ends = resize(s.ends, int(most)+1)
	clear(s.ends)
	for i := range shares {
		s.ends[shares[i].headroom/unit]++
	}
	at := int32(0)
	for u := most; u >= 0; u-- {
		at, s.ends[u] = at+s.ends[u], at
	}
	for i := range shares {
		u := shares[i].headroom / unit
		s.order[s.ends[u]] = int32(i)
		s.ends[u]++
	}
	return s.order
}
