// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"cmp"
	"slices"
	"sync"
)

// OrderDevices returns the devices of a node in an order from which a first fit
// takes those that count GPUs reach each other best on: first the set that
// BestDevices finds, then the other free ones, then the rest, each by number.
func (l *Links) OrderDevices(free DeviceSet, count int) []int {
	best, _ := l.BestDevices(free, count) // none where there are not so many
	rank := func(device int) int {
		switch bit := DeviceSet(1) << device; {
		case best.Devices&bit != 0:
			return 0
		case free&bit != 0:
			return 1
		}
		return 2
	}
	order := make([]int, l.count)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return order
}

// PublishedInstance is a place for a MIG instance that a driver publishes as a
// device of its own.
type PublishedInstance struct {
	// Device is the GPU that it is cut from.
	Device int
	// Units are those that it takes up there.
	Units UnitSet
}

// OrderInstances returns the instances, as their places in the list, in an order
// from which a first fit among those of one profile takes the one that leaves the
// most remaining value. used are the units of each GPU that are taken; what needs
// one of them comes last. Equal ones keep their order.
func (k *Packer) OrderInstances(used []UnitSet, instances []PublishedInstance) []int {
	order := make([]int, len(instances))
	losses := make([]float64, len(instances))
	for i, p := range instances {
		order[i] = i
		losses[i] = k.valueLoss(used[p.Device], p.Units)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		taken := func(i int) int { return min(1, int(used[instances[i].Device]&instances[i].Units)) }
		return cmp.Or(cmp.Compare(taken(a), taken(b)), cmp.Compare(losses[a], losses[b]))
	})
	return order
}

// valueLoss is the remaining value that a device with used units loses with some
// more.
func (k *Packer) valueLoss(used, units UnitSet) float64 {
	all := UnitSet(len(k.remainingValue) - 1)
	return k.remainingValue[used&all] - k.remainingValue[(used|units)&all]
}

// evenPackers are packers that count every profile of a board alike, by board.
var evenPackers sync.Map

// EvenPacker returns the packer of a board that counts every profile alike. It is
// made once.
func EvenPacker(board *Board) *Packer {
	if known, ok := evenPackers.Load(board); ok {
		return known.(*Packer)
	}
	made, _ := evenPackers.LoadOrStore(board, NewPacker(board, nil))
	return made.(*Packer)
}

// LinksOfPlaces returns the links of devices that are known by their places only:
// under one PCIe root they cross host bridges at most (PHB), in one NUMA node they
// cross root complexes (NODE), and else the processors (SYS). An empty root and a
// negative number stand for what is not known; nil where nothing is.
func LinksOfPlaces(roots []string, numaNodes []int) *Links {
	count := len(roots)
	if count < 2 || count > MaxDevices || count != len(numaNodes) {
		return nil
	}
	l, told := UniformLinks(count, SYS), false
	for a := range count {
		told = told || roots[a] != "" || numaNodes[a] >= 0
		for b := range a {
			switch {
			case roots[a] != "" && roots[a] == roots[b]:
				l.pairLinks[a*(a-1)/2+b] = PHB
			case numaNodes[a] >= 0 && numaNodes[a] == numaNodes[b]:
				l.pairLinks[a*(a-1)/2+b] = NODE
			}
		}
	}
	if !told {
		return nil
	}
	return l
}
