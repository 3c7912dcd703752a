// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/gpuslices"
)

// config is what nodes publish that count alike, by the example of one of them.
type config struct {
	name    string // of the node
	served  string
	slices  []*resourceapi.ResourceSlice
	devices []device
	index   map[structured.DeviceID]int
	// counters says that some device takes from counters that others take from too.
	counters bool
}

// node returns the node as far as the devices of its own matter.
func (c *config) node() *v1.Node { return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.name}} }

// state is a config and what is taken of it. Equal ones are the same object.
type state struct {
	config *config
	taken  taken
}

// stateKey tells states apart.
type stateKey struct {
	config *config
	first  uint64
	rest   string
}

// configOf returns the config of a node.
func (v *Inventory) configOf(n *Node, w *view) *config {
	key := n.fingerprint(w.matters, w.all)
	known, ok := v.configs.get(key)
	if ok {
		return known
	}
	c := &config{name: n.name, served: n.served, slices: n.slices, devices: append([]device(nil), n.devices...), index: make(map[structured.DeviceID]int, len(n.devices))}
	for i := range c.devices {
		c.index[c.devices[i].id] = i
	}
	for _, s := range c.slices {
		c.counters = c.counters || len(s.Spec.SharedCounters) > 0
	}
	v.configs.put(key, c)
	return c
}

// stateOf returns the state of a config of which something is taken.
func (v *Inventory) stateOf(c *config, t *taken) *state {
	key := stateKey{config: c}
	key.first, key.rest = t.key()
	known, ok := v.states.get(key)
	if !ok {
		known = &state{c, t.clone()}
		v.states.put(key, known)
	}
	return known
}

// question is how many members with these claims fit in a state.
type question struct {
	state  *state
	claims *Claims
}

// chain is the answer: the states after one member, after two, and so on.
type chain struct {
	after []*state
	// cost is that of each member, and of finding that no more fit.
	cost []int
	// ended says that no more fit; else there were no more members to count.
	ended bool
	// free says that the members need no device here, unknown that it took too many
	// steps, and note what the allocator would not do.
	free, unknown bool
	note          string
}

// members returns how many fit.
func (c *chain) members() int {
	if c.free {
		return maxMembers * maxMembers
	}
	return len(c.after)
}

// steps returns the cost of all members but the first ones.
func (c *chain) steps(first int) int {
	sum := 1
	for _, cost := range c.cost[min(first, len(c.cost)):] {
		sum += cost
	}
	return sum
}

// rest returns the answer for the state after some members.
func (c *chain) rest(members int) *chain {
	return &chain{after: c.after[members:], cost: c.cost[min(members, len(c.cost)):], ended: c.ended, unknown: c.unknown, note: c.note}
}

// remember keeps an answer, and those that follow from it.
func (v *Inventory) remember(q question, answer *chain) {
	v.answers.put(q, answer)
	for i, after := range answer.after {
		if answer.ended {
			v.answers.put(question{after, q.claims}, answer.rest(i+1))
		}
	}
}

// What the steps of an allocator cost, in steps of the planner: an allocator for one
// node, one device that is looked at, one expression that is evaluated. maxCalls
// bounds how many ways one allocation tries.
const (
	allocatorSteps = 2500
	deviceSteps    = 60
	selectorSteps  = 1500
	maxCalls       = 2000
)

// count lets one member after the other allocate what it claims, until one fails.
func (v *Inventory) count(q question, m *matching) *chain {
	answer := &chain{}
	if len(m.claims) == 0 {
		return &chain{free: true, ended: true}
	}
	s := q.state
	var order gpuslices.DeviceOrder
	for len(answer.after) < q.claims.most {
		slices, listed := m.slicesFor(s)
		if s.config.counters { // which instances are taken decides which are left
			slices = order.OrderSlices(slices, []*v1.Node{s.config.node()}, s.allocated().AllocatedDevices, 0)
		}
		bound := &boundedContext{left: maxCalls}
		results, err := v.allocate(bound, s, slices, m)
		tried := maxCalls - bound.left
		cost := allocatorSteps + (tried+1)*(deviceSteps*listed+deviceSteps)
		if !m.stripped {
			cost += selectorSteps * listed * m.requests
		}
		answer.cost = append(answer.cost, cost)
		switch {
		case errors.Is(err, errTooManySteps):
			answer.after, answer.unknown = nil, true
			return answer
		case err != nil:
			answer.ended, answer.note = true, err.Error()
			return answer
		case results == nil:
			answer.ended = true
			return answer
		}
		s = v.stateAfter(s, results)
		answer.after = append(answer.after, s)
	}
	return answer
}

// allocate asks the allocator for the claims of one member. A new one each time: it
// keeps counters that are out of date after an allocation.
func (v *Inventory) allocate(ctx context.Context, s *state, slices []*resourceapi.ResourceSlice, m *matching) ([]resourceapi.AllocationResult, error) {
	allocator, err := structured.NewAllocator(ctx, v.features, s.allocated(), m.classes, slices, v.cel)
	if err != nil {
		return nil, err
	}
	return allocator.Allocate(ctx, s.config.node(), m.claims)
}

// allocated is what is taken in a state, as the allocator wants it.
func (s *state) allocated() structured.AllocatedState {
	out := structured.AllocatedState{
		AllocatedDevices: sets.Set[structured.DeviceID]{}, AllocatedSharedDeviceIDs: sets.Set[structured.SharedDeviceID]{},
		AggregatedCapacity: structured.NewConsumedCapacityCollection(),
	}
	for i := range s.config.devices {
		if s.taken.has(i) {
			out.AllocatedDevices.Insert(s.config.devices[i].id)
		}
	}
	for _, shared := range s.taken.shares {
		id, one := s.config.devices[shared.device].id, types.UID("taken")
		out.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, &one))
		if len(shared.consumed) > 0 {
			out.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, shared.consumed))
		}
	}
	return out
}

// stateAfter returns the state after an allocation. Administrators take nothing.
func (v *Inventory) stateAfter(s *state, results []resourceapi.AllocationResult) *state {
	after := s.taken.clone()
	for i := range results {
		for _, r := range results[i].Devices.Results {
			device, ok := s.config.index[structured.MakeDeviceID(r.Driver, r.Pool, r.Device)]
			switch {
			case !ok || r.AdminAccess != nil && *r.AdminAccess:
			case r.ShareID != nil:
				after.consume(device, r.ConsumedCapacity)
			default:
				after.set(device)
			}
		}
	}
	return v.stateOf(s.config, &after)
}

func valuesOf(consumed map[resourceapi.QualifiedName]*resource.Quantity) map[resourceapi.QualifiedName]resource.Quantity {
	values := make(map[resourceapi.QualifiedName]resource.Quantity, len(consumed))
	for name, quantity := range consumed {
		values[name] = *quantity
	}
	return values
}

// errTooManySteps ends an allocation that tries too many ways.
var errTooManySteps = errors.New("too many steps")

// boundedContext is done after so many questions whether it is: an allocator asks before
// each step. It bounds the steps of an allocation whatever the clock says.
type boundedContext struct{ left int }

// Deadline returns that there is none.
func (*boundedContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done returns nil.
func (*boundedContext) Done() <-chan struct{} { return nil }

// Value returns a logger that writes nothing.
func (*boundedContext) Value(key any) any { return quietContext.Value(key) }

// Err counts the steps.
func (b *boundedContext) Err() error {
	if b.left--; b.left < 0 {
		return errTooManySteps
	}
	return nil
}

var quietContext = klog.NewContext(context.Background(), klog.Logger{})

// matching is the claims of a role as they are allocated from one config: with the
// devices left out that no selector matches, and without the selectors where all the
// others match.
type matching struct {
	claims  []*resourceapi.ResourceClaim
	classes classList
	// matched is nil where no device can be left out.
	matched  []bool
	stripped bool
	requests int
	// steps is what it took.
	steps int
}

// matchKey tells matchings apart.
type matchKey struct {
	config *config
	claims *Claims
}

// matchingOf evaluates the selectors of a role's claims on the devices of a config.
func (v *Inventory) matchingOf(c *config, claims *Claims) *matching {
	key := matchKey{c, claims}
	known, ok := v.matchings.get(key)
	if !ok {
		known = v.newMatching(c, claims)
		v.matchings.put(key, known)
	}
	return known
}

// newMatching does the work of matchingOf.
func (v *Inventory) newMatching(c *config, claims *Claims) *matching {
	m := &matching{claims: claims.toAllocate(c.served), classes: claims.classes}
	var requests []deviceRequest
	for _, claim := range m.claims {
		requests = append(requests, requestsOf(&claim.Spec)...)
	}
	m.requests = len(requests)
	matched, every := make([]bool, len(c.devices)), true
	byRequest := make([][]bool, len(requests))
	for i, r := range requests {
		class := m.classes[r.class]
		if class == nil {
			return m
		}
		byRequest[i] = make([]bool, len(c.devices))
		selectors := append(append([]resourceapi.DeviceSelector(nil), class.Spec.Selectors...), *r.selectors...)
		m.steps += selectorSteps * len(selectors) * len(c.devices)
		if !v.matchDevices(c, selectors, byRequest[i]) {
			return m // the allocator will say what is wrong
		}
		for d, match := range byRequest[i] {
			matched[d] = matched[d] || match
		}
	}
	for i, r := range requests {
		every = every && r.counted
		for d, match := range byRequest[i] {
			every = every && (match || !matched[d])
		}
	}
	m.matched = matched
	if every {
		m.stripSelectors()
	}
	return m
}

// stripSelectors takes away the selectors of all requests.
func (m *matching) stripSelectors() {
	m.stripped = true
	bare := classList{}
	for name, class := range m.classes {
		copied := class.DeepCopy()
		copied.Spec.Selectors, copied.Spec.Config = nil, nil
		bare[name] = copied
	}
	m.classes = bare
	for i, claim := range m.claims {
		m.claims[i] = claim.DeepCopy()
		m.claims[i].Spec.Devices.Config = nil
		for _, r := range requestsOf(&m.claims[i].Spec) {
			*r.selectors = nil
		}
	}
}

// matchDevices evaluates selectors on all devices of a config. It returns false where
// one cannot be evaluated.
func (v *Inventory) matchDevices(c *config, selectors []resourceapi.DeviceSelector, matched []bool) bool {
	d := 0
	for _, s := range c.slices {
		for i := range s.Spec.Devices {
			match, err := v.matchDevice(s, &s.Spec.Devices[i], selectors)
			if err != nil {
				return false
			}
			matched[d] = match
			d++
		}
	}
	return true
}

// matchDevice reports whether a device matches all selectors.
func (v *Inventory) matchDevice(s *resourceapi.ResourceSlice, d *resourceapi.Device, selectors []resourceapi.DeviceSelector) (bool, error) {
	for _, selector := range selectors {
		if selector.CEL == nil {
			return false, errors.New("unknown selector")
		}
		expression := v.cel.GetOrCompile(selector.CEL.Expression)
		if expression.Error != nil {
			return false, fmt.Errorf("compiling a selector: %s", expression.Error.Detail)
		}
		match, _, err := expression.DeviceMatches(quietContext, cel.Device{
			Driver: s.Spec.Driver, AllowMultipleAllocations: d.AllowMultipleAllocations, Attributes: d.Attributes, Capacity: d.Capacity,
		})
		if err != nil || !match {
			return false, err
		}
	}
	return true, nil
}

// slicesFor returns the slices of a state's config with the devices that match, or are
// taken and use up counters, and the number of those.
func (m *matching) slicesFor(s *state) ([]*resourceapi.ResourceSlice, int) {
	c := s.config
	if m.matched == nil {
		return c.slices, len(c.devices)
	}
	kept := make([]*resourceapi.ResourceSlice, len(c.slices))
	d, listed := 0, 0
	for i, from := range c.slices {
		keep := make([]resourceapi.Device, 0, len(from.Spec.Devices))
		for j := range from.Spec.Devices {
			if m.matched[d] || c.counters && s.taken.touches(d) {
				keep = append(keep, from.Spec.Devices[j])
			}
			d++
		}
		listed += len(keep)
		if len(keep) == len(from.Spec.Devices) {
			kept[i] = from
			continue
		}
		slice := *from
		slice.Spec.Devices = keep
		kept[i] = &slice
	}
	return kept, listed
}

// maxLooseDevices bounds how many devices that are not of one node are looked at.
const maxLooseDevices = 1024

// isLoose reports whether claims may take devices that are not of one node: these do not
// add up by nodes.
func (v *Inventory) isLoose(claims *Claims) bool {
	key := looseKey{v.looseN, claims}
	if known, ok := v.looseOf.get(key); ok {
		return known
	}
	loose := v.matchesLoose(claims)
	v.looseOf.put(key, loose)
	return loose
}

// looseKey is a list of loose slices and claims.
type looseKey struct {
	list   uint64
	claims *Claims
}

// matchesLoose does the work of isLoose.
func (v *Inventory) matchesLoose(claims *Claims) bool {
	left := maxLooseDevices
	for _, s := range v.loose {
		if left -= len(s.Spec.Devices); left < 0 {
			return true
		}
		for _, claim := range claims.toAllocate("") {
			for _, r := range requestsOf(&claim.Spec) {
				class := claims.classes[r.class]
				if class == nil {
					continue
				}
				selectors := append(append([]resourceapi.DeviceSelector(nil), class.Spec.Selectors...), *r.selectors...)
				for i := range s.Spec.Devices {
					if match, err := v.matchDevice(s, &s.Spec.Devices[i], selectors); match || err != nil {
						return true
					}
				}
			}
		}
	}
	return false
}

// FreeOf returns how many devices of the class behind an extended resource a node has,
// and how many of them are free: as many as members find one each.
func (v *Inventory) FreeOf(n *Node, name v1.ResourceName) (free, all int64) {
	if len(n.devices) == 0 {
		return 0, 0
	}
	one := v.single[name]
	if one == nil {
		class := v.source.ClassOf(name)
		if class == nil {
			return 0, 0
		}
		p := &PodClaims{extended: []extendedRequest{{name, 1}}}
		p.text = fmt.Sprintf("|%s 1 %s %s", name, class.Name, selectorText(class.Spec.Selectors))
		one = &singleDevice{claims: v.ClaimsOf(p, maxMembers)}
		v.single[name] = one
	}
	if len(one.view.matters) != len(v.names) {
		one.view.all = one.claims.all
		one.view.matters = v.names.mattering(one.claims.attributes)
	}
	config := v.configOf(n, &one.view)
	now, empty := v.answer(question{v.stateOf(config, &n.taken), one.claims}), v.answer(question{v.stateOf(config, &taken{}), one.claims})
	if now.free {
		return 0, 0
	}
	return int64(now.members()), int64(empty.members())
}

// singleDevice is a claim for one device of a class.
type singleDevice struct {
	claims *Claims
	view   view
}

// answer returns an answer, from memory if it is there.
func (v *Inventory) answer(q question) *chain {
	answer, known := v.answers.get(q)
	if !known {
		answer = v.count(q, v.matchingOf(q.state.config, q.claims))
		v.remember(q, answer)
	}
	return answer
}
