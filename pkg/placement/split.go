// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"
	"sort"
)

// split spreads a run of n members over boxes, none of which holds it alone,
// in whole units (slices, or single members) and at most one short rest. It
// takes the fewest boxes that do, among those sets the one with the least room
// to spare, and balances domains: 24 nodes go 12 and 12 into two racks of 18,
// not 18 and 6. The boxes that get nothing keep an amount of 0; the box with
// the short rest comes last.
func (a *attempt) split(shares []share, n, unit int64) {
	q, rest := n/unit, n%unit
	order := a.sorted.byRoom(shares, unit)
	chosen := a.fewest(shares, order, q, unit)
	a.allot(shares, chosen, q, unit)
	if rest > 0 {
		giveRest(shares, rest)
	}
}

// fewest picks the fewest boxes that hold q units, with little to spare. The
// order is by falling room, and so are the chosen ones.
func (a *attempt) fewest(shares []share, order []int32, q, unit int64) []int32 {
	units := func(i int32) int64 { return shares[i].room / unit }
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
	firstOfEqual(order, first, k, units)
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

// firstOfEqual makes the window of k boxes from first on use the first ones, in
// the order of the tree, among the boxes that are as large as its largest.
func firstOfEqual(order []int32, first, k int, units func(int32) int64) {
	size := units(order[first])
	start := sort.Search(first, func(i int) bool { return units(order[i]) == size })
	end := first
	for end < first+k && units(order[end]) == size {
		end++
	}
	copy(order[first:end], order[start:])
}

// allot gives q units to the chosen boxes. Domains share evenly, in steps of
// whole empty nodes so that balance does not break into more nodes; nodes are
// filled one after the other.
func (a *attempt) allot(shares []share, chosen []int32, q, unit int64) {
	step := max(1, int64(a.job.rooms.most)/unit)
	slices.SortFunc(chosen, func(x, y int32) int {
		if c := int(shares[x].room/unit - shares[y].room/unit); c != 0 {
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
		u := min(q, shares[i].room/unit)
		if even {
			boxes := int64(len(chosen) - left)
			fair := (q + boxes - 1) / boxes
			u = min(u, (fair+step-1)/step*step)
		}
		shares[i].amount = u * unit
		q -= u
	}
}

// giveRest gives the short rest of a run to the box where it wastes least, one
// that is in use already if possible, and moves that box to the end: the rest
// is the last in rank order.
func giveRest(shares []share, rest int64) {
	best := -1
	better := func(x, y share) bool {
		if used := x.amount > 0; used != (y.amount > 0) {
			return used
		}
		return x.room-x.amount < y.room-y.amount
	}
	for i, s := range shares {
		if s.room-s.amount >= rest && (best < 0 || better(s, shares[best])) {
			best = i
		}
	}
	s := shares[best]
	s.amount += rest
	copy(shares[best:], shares[best+1:])
	shares[len(shares)-1] = s
}

// sorter sorts boxes by falling room, equal ones in the order of the tree.
type sorter struct {
	order []int32
	ends  []int32
}

// byRoom lists the indexes of shares by falling number of units. It counts
// instead of comparing where the rooms are small, as on nodes.
func (s *sorter) byRoom(shares []share, unit int64) []int32 {
	s.order = resize(s.order, len(shares))
	most := int64(0)
	for i := range shares {
		most = max(most, shares[i].room/unit)
	}
	if most > int64(2*len(shares)+64) {
		for i := range s.order {
			s.order[i] = int32(i)
		}
		slices.SortFunc(s.order, func(x, y int32) int {
			if c := shares[y].room/unit - shares[x].room/unit; c != 0 {
				return int(c)
			}
			return int(x - y)
		})
		return s.order
	}
	s.ends = resize(s.ends, int(most)+1)
	clear(s.ends)
	for i := range shares {
		s.ends[shares[i].room/unit]++
	}
	at := int32(0)
	for u := most; u >= 0; u-- {
		at, s.ends[u] = at+s.ends[u], at
	}
	for i := range shares {
		u := shares[i].room / unit
		s.order[s.ends[u]] = int32(i)
		s.ends[u]++
	}
	return s.order
}
