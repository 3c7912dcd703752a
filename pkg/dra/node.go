// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Node is the devices of one node, and what is taken of them.
type Node struct {
	name string
	// slices are in the order in which the allocator goes through them: drivers and
	// pools by name, and the slices of a pool by name.
	slices []*resourceapi.ResourceSlice
	// published are the slices as they were last listed.
	published []*resourceapi.ResourceSlice
	// devices are those of all slices, in order, fixed is the fingerprint of what every
	// expression may see of the slices.
	devices []device
	fixed   [16]byte
	// served are the extended resources that a device plugin serves here though a class
	// maps them, joined.
	served string
	taken  taken
	// version tells the states of the node apart.
	version uint64

	// assumed is taken whatever the claims say.
	assumed taken
	// next is what is taken as it is being read, for the reading of number mark.
	next taken
	mark uint64
}

// Version differs from one moment to another if the devices changed between them.
func (n *Node) Version() uint64 { return n.version }

// device is what the fingerprint of a node needs of one device.
type device struct {
	id         structured.DeviceID
	attributes []attribute
}

// attribute is the number of its name and a hash of name and value.
type attribute struct {
	name uint32
	hash uint64
}

// taken is which devices are taken: a bit for each, and what is consumed of those that
// several claims may share, by their number.
type taken struct {
	bits   []uint64
	shares []share
}

// share is what is consumed of one device that several claims share.
type share struct {
	device   int
	consumed map[resourceapi.QualifiedName]resource.Quantity
}

func (t *taken) set(device int) {
	for len(t.bits) <= device/64 {
		t.bits = append(t.bits, 0)
	}
	t.bits[device/64] |= 1 << (device % 64)
}

func (t *taken) has(device int) bool {
	return device/64 < len(t.bits) && t.bits[device/64]>>(device%64)&1 == 1
}

// touches reports whether a device is taken, in whole or in part.
func (t *taken) touches(device int) bool {
	return t.has(device) || slices.ContainsFunc(t.shares, func(s share) bool { return s.device == device })
}

// consume adds to what is consumed of a device.
func (t *taken) consume(device int, more map[resourceapi.QualifiedName]resource.Quantity) {
	at, found := slices.BinarySearchFunc(t.shares, device, func(s share, d int) int { return cmp.Compare(s.device, d) })
	if !found {
		t.shares = slices.Insert(t.shares, at, share{device: device, consumed: map[resourceapi.QualifiedName]resource.Quantity{}})
	}
	for name, quantity := range more {
		sum := t.shares[at].consumed[name]
		sum.Add(quantity)
		t.shares[at].consumed[name] = sum
	}
}

// clone returns a copy that can be changed.
func (t *taken) clone() taken {
	c := taken{bits: slices.Clone(t.bits), shares: slices.Clone(t.shares)}
	for i := range c.shares {
		consumed := make(map[resourceapi.QualifiedName]resource.Quantity, len(t.shares[i].consumed))
		for name, quantity := range t.shares[i].consumed {
			consumed[name] = quantity.DeepCopy()
		}
		c.shares[i].consumed = consumed
	}
	return c
}

// join takes what is taken in other, too.
func (t *taken) join(other *taken) {
	for i, word := range other.bits {
		if i < len(t.bits) {
			t.bits[i] |= word
		} else {
			t.bits = append(t.bits, word)
		}
	}
	if len(other.shares) > 0 {
		t.shares = other.shares
	}
}

// reset makes nothing taken.
func (t *taken) reset() { t.bits, t.shares = t.bits[:0], nil }

// key returns the first bits, and the rest as a text; equal for what is taken equally.
func (t *taken) key() (first uint64, rest string) {
	bits := t.bits
	for len(bits) > 0 && bits[len(bits)-1] == 0 {
		bits = bits[:len(bits)-1]
	}
	if len(bits) > 0 {
		first = bits[0]
	}
	if len(bits) < 2 && len(t.shares) == 0 {
		return first, ""
	}
	var text []byte
	for _, word := range bits[min(1, len(bits)):] {
		text = binary.LittleEndian.AppendUint64(text, word)
	}
	for _, s := range t.shares {
		text = append(text, 0xff)
		text = binary.LittleEndian.AppendUint32(text, uint32(s.device))
		text = appendQuantities(text, s.consumed)
	}
	return first, string(text)
}

// appendQuantities appends names and amounts in the order of the names.
func appendQuantities(text []byte, amounts map[resourceapi.QualifiedName]resource.Quantity) []byte {
	names := make([]resourceapi.QualifiedName, 0, len(amounts))
	for name := range amounts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		quantity := amounts[name]
		text = append(append(append(append(text, name...), '='), quantity.String()...), ';')
	}
	return text
}

// sameTaken reports whether the same is taken.
func sameTaken(a, b *taken) bool {
	aFirst, aRest := a.key()
	bFirst, bRest := b.key()
	return aFirst == bFirst && aRest == bRest
}

// attributeNames numbers the names of attributes that slices use.
type attributeNames map[resourceapi.QualifiedName]uint32

func (a attributeNames) number(name resourceapi.QualifiedName) uint32 {
	n, ok := a[name]
	if !ok {
		n = uint32(len(a))
		a[name] = n
	}
	return n
}

// mattering returns, by number, which of the names are among those without a domain.
func (a attributeNames) mattering(bare []string) []bool {
	matters := make([]bool, len(a))
	for name, number := range a {
		matters[number] = slices.Contains(bare, bareName(string(name)))
	}
	return matters
}

// read reads the slices of a node.
func (n *Node) read(all []*resourceapi.ResourceSlice, names attributeNames) {
	n.slices, n.devices = latestSlices(all), n.devices[:0]
	slices.SortFunc(n.slices, func(a, b *resourceapi.ResourceSlice) int {
		return cmp.Or(strings.Compare(a.Spec.Driver, b.Spec.Driver), strings.Compare(a.Spec.Pool.Name, b.Spec.Pool.Name), strings.Compare(a.Name, b.Name))
	})
	fixed := sha256.New()
	var text []byte
	pool, pools := "", byte(0)
	for _, s := range n.slices {
		if name := s.Spec.Driver + " " + s.Spec.Pool.Name; name != pool {
			pool, pools = name, pools+1
		}
		// The name of a pool is that of the node, as a rule.
		text = append(append(text[:0], 's', pools), s.Spec.Driver...)
		text = binary.LittleEndian.AppendUint64(text, uint64(s.Spec.Pool.ResourceSliceCount))
		if len(s.Spec.SharedCounters) > 0 {
			counters, _ := json.Marshal(s.Spec.SharedCounters) // what came as JSON goes as JSON
			text = append(text, counters...)
		}
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			text = appendFixed(append(text, 'd'), d)
			n.devices = append(n.devices, readDevice(s, d, names))
		}
		_, _ = fixed.Write(text) // never fails
	}
	copy(n.fixed[:], fixed.Sum(nil))
}

// latestSlices returns the slices of the latest generation of each pool: the others are
// about to go, and the allocator passes them over.
func latestSlices(all []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	type pool struct{ driver, name string }
	latest := map[pool]int64{}
	for _, s := range all {
		at := pool{s.Spec.Driver, s.Spec.Pool.Name}
		latest[at] = max(latest[at], s.Spec.Pool.Generation)
	}
	var kept []*resourceapi.ResourceSlice
	for _, s := range all {
		if s.Spec.Pool.Generation == latest[pool{s.Spec.Driver, s.Spec.Pool.Name}] {
			kept = append(kept, s)
		}
	}
	return kept
}

// appendFixed appends what expressions may see of a device, or the allocator reads, but
// for its attributes.
func appendFixed(text []byte, d *resourceapi.Device) []byte {
	rest := *d
	rest.Name, rest.Attributes = "", nil
	plain := map[resourceapi.QualifiedName]resource.Quantity{}
	for name, capacity := range d.Capacity {
		if capacity.RequestPolicy == nil {
			plain[name] = capacity.Value
		}
	}
	if len(plain) == len(d.Capacity) {
		rest.Capacity = nil
	}
	text = appendQuantities(text, plain)
	if rest.ConsumesCounters == nil && rest.Taints == nil && rest.Capacity == nil && rest.AllowMultipleAllocations == nil &&
		rest.NodeName == nil && rest.NodeSelector == nil && rest.AllNodes == nil && rest.BindsToNode == nil &&
		rest.BindingConditions == nil && rest.BindingFailureConditions == nil && rest.NodeAllocatableResources == nil {
		return text
	}
	for i := range rest.Taints {
		if i == 0 {
			rest.Taints = slices.Clone(rest.Taints)
		}
		rest.Taints[i].TimeAdded = nil
	}
	more, _ := json.Marshal(rest) // what came as JSON goes as JSON
	return append(text, more...)
}

// readDevice reads what fingerprints need.
func readDevice(s *resourceapi.ResourceSlice, d *resourceapi.Device, names attributeNames) device {
	out := device{
		id:         structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name),
		attributes: make([]attribute, 0, len(d.Attributes)),
	}
	hash := fnv.New64a()
	for name, value := range d.Attributes {
		hash.Reset()
		_, _ = hash.Write([]byte(name)) // never fails
		_, _ = hash.Write(appendValue([]byte{0}, &value))
		out.attributes = append(out.attributes, attribute{names.number(name), hash.Sum64()})
	}
	return out
}

// appendValue appends the value of an attribute.
func appendValue(text []byte, a *resourceapi.DeviceAttribute) []byte {
	switch {
	case a.StringValue != nil:
		return append(append(text, 's'), *a.StringValue...)
	case a.IntValue != nil:
		return binary.LittleEndian.AppendUint64(append(text, 'i'), uint64(*a.IntValue))
	case a.VersionValue != nil:
		return append(append(text, 'v'), *a.VersionValue...)
	}
	more, _ := json.Marshal(a) // what came as JSON goes as JSON
	return append(append(text, 'j'), more...)
}

// fingerprint returns the same for nodes whose devices count alike for a gang for which
// the named attributes matter.
func (n *Node) fingerprint(matters []bool, all bool) [16]byte {
	text := make([]byte, 0, 64+8*len(n.devices)+len(n.served))
	text = append(text, n.fixed[:]...)
	for i := range n.devices {
		sum := uint64(0)
		for _, a := range n.devices[i].attributes {
			if all || int(a.name) < len(matters) && matters[a.name] {
				sum += a.hash // in no order: attributes have none
			}
		}
		text = binary.LittleEndian.AppendUint64(text, sum)
	}
	digest := sha256.Sum256(append(text, n.served...))
	return [16]byte(digest[:16])
}

func compareText(a, b string) int { return strings.Compare(a, b) }
