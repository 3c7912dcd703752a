// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// attempt is one gang on its way to a plan. Its buffers are used again for the
// next gang.
type attempt struct {
	p *Planner
	g *gang.Gang
	t *topology.Tree

	roles    []role
	order    []int             // the roles in the order in which they are placed
	bySize   []int             // another order to try, empty if there is none
	products []int             // the GPU products to try, in order
	bound    []topology.NodeID // the nodes of the bound members that are known
	want     int               // waiting members that must be placed
	soft     bool              // preferred slices are given up where they do not fit
	touched  []topology.NodeID // nodes on which something is taken, maybe twice
	shares   []share           // the stack of assign
	budget   int               // steps left to search
	effort   int               // members that may still be placed in vain
	looked   int               // domains whose room was looked at
	blocked  topology.DomainID // where the last job that found no room was to go
	ways     int               // ways left to spread the minimum over the roles
	job      *job              // the job at hand
	next     []int32           // the members of it that wait

	jobs       []job
	members    []int32 // backing of jobs[].members
	candidates []candidate
	inner      []candidate // backing of fitNarrower
	sorted     sorter
}

// role is one role of the gang at hand.
type role struct {
	*gang.Role
	modelled bool         // the choice of a GPU model applies
	layers   []gang.Slice // the slices to keep, the whole role first
	rooms    *rooms       // for layers
	wished   *rooms       // also for the preferred slices, while soft
	plain    *rooms       // without slices, where parts of them are bound or missing
	need     int          // members that must be placed, at least
	limit    int          // members that may fit in the domain at hand, at most
	count    int          // members to place: the first ones in rank order
	bound    []standing   // bound members of known rank, by rank
	ranks    []int32      // rank of each waiting member
	gaps     bool         // the ranks of the waiting members are not 0, 1, 2, ...
	out      []topology.NodeID
}

// standing is a bound member of known rank; its node may be unknown.
type standing struct {
	rank int32
	node topology.NodeID
}

// begin reads the gang, and refuses what needs no look at the room.
func (a *attempt) begin(p *Planner, g *gang.Gang) *Refusal {
	a.p, a.g, a.t = p, g, p.u.Tree
	a.budget, a.effort, a.looked = searchBudget, maxEffort, 0
	a.touched = a.touched[:0]
	a.bound = a.bound[:0]
	a.want = 0
	a.roles = a.roles[:0]
	if err := a.validate(); err != nil {
		return &Refusal{Reason: InvalidGangSpec, Gang: g.Name, Want: g.MinCount, Detail: err.Error()}
	}
	a.want = max(g.MinCount-len(g.Bound), min(1, g.WaitingCount()))
	if a.want > g.WaitingCount() {
		return &Refusal{Reason: GangIncomplete, Gang: g.Name, Want: g.MinCount, Bound: len(g.Bound), Room: g.MemberCount()}
	}
	a.readRoles()
	a.readBound()
	for r := range a.roles {
		if role := &a.roles[r]; role.need > role.Count {
			return &Refusal{
				Reason: GangIncomplete, Gang: g.Name, Role: role.Name,
				Want: role.MinCount, Bound: g.BoundCount(r), Room: role.Count + g.BoundCount(r),
			}
		}
	}
	if refusal := a.drifted(); refusal != nil {
		return refusal
	}
	return a.readProducts()
}

func (a *attempt) validate() error {
	if err := a.g.Validate(len(a.t.Levels), len(a.p.u.Resources)); err != nil {
		return err
	}
	for r := range a.g.Roles {
		if f := a.g.Roles[r].Filter; f != nil && len(f.Exclusions) != len(a.t.Nodes) {
			return fmt.Errorf("role %d %s: the filter is for %d nodes, the cluster has %d", r, a.g.Roles[r].Name, len(f.Exclusions), len(a.t.Nodes))
		}
	}
	return nil
}

// readRoles fills in the roles but for what depends on slices and models.
func (a *attempt) readRoles() {
	u := a.p.u
	anyGPU := false
	a.roles = resizeKeep(a.roles, len(a.g.Roles))
	for r := range a.roles {
		role := &a.roles[r]
		role.Role = &a.g.Roles[r]
		role.out = resize(role.out, role.Count)
		role.need = max(0, role.MinCount-a.g.BoundCount(r))
		role.modelled = false
		for c, q := range role.Request {
			role.modelled = role.modelled || q > 0 && topology.IsGPU(u.Resources[c])
		}
		anyGPU = anyGPU || role.modelled
	}
	for r := range a.roles { // GPUs asked for in another way than by amount
		a.roles[r].modelled = a.roles[r].modelled || !anyGPU
	}
}

// readBound sorts the bound members into their roles and gives the waiting
// ones the ranks that are left.
func (a *attempt) readBound() {
	for r := range a.roles {
		a.roles[r].bound = a.roles[r].bound[:0]
	}
	for _, b := range a.g.Bound {
		known := b.Node >= 0 && int(b.Node) < len(a.t.Nodes)
		if known {
			a.bound = append(a.bound, b.Node)
		} else {
			b.Node = NoNode
		}
		if b.Rank >= 0 {
			role := &a.roles[b.Role]
			role.bound = append(role.bound, standing{int32(min(b.Rank, wholeRole)), b.Node})
		}
	}
	for r := range a.roles {
		role := &a.roles[r]
		slices.SortStableFunc(role.bound, func(x, y standing) int { return cmp.Compare(x.rank, y.rank) })
		role.ranks = role.ranks[:0]
		for _, rank := range role.Ranks {
			role.ranks = append(role.ranks, int32(rank))
		}
		if role.Ranks == nil {
			role.ranks = freeRanks(role.ranks, role.bound, role.Count)
		}
		role.gaps = role.Count > 0 && int(role.ranks[role.Count-1]) != role.Count-1
	}
}

// freeRanks gives count members the lowest ranks that no bound member has.
func freeRanks(ranks []int32, bound []standing, count int) []int32 {
	for rank := int32(0); len(ranks) < count; rank++ {
		for len(bound) > 0 && bound[0].rank < rank {
			bound = bound[1:]
		}
		if len(bound) == 0 || bound[0].rank > rank {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

// readProducts lists the GPU products to try. Bound members have chosen.
func (a *attempt) readProducts() *Refusal {
	a.products = a.products[:0]
	if len(a.g.Models) == 0 {
		a.products = append(a.products, anyProduct)
		return nil
	}
	for _, b := range a.g.Bound {
		if b.Node < 0 || int(b.Node) >= len(a.t.Nodes) || !a.roles[b.Role].modelled {
			continue
		}
		product := a.t.ProductIndex(b.Node)
		switch {
		case product < 0:
		case len(a.products) == 0:
			a.products = append(a.products, product)
		case a.products[0] != product:
			return a.drift(fmt.Sprintf("its running pods use both %s and %s", a.t.Products[a.products[0]], a.t.Products[product]))
		}
	}
	if len(a.products) > 0 {
		return nil
	}
	for _, want := range a.g.Models {
		for product, name := range a.t.Products {
			if gpu.MatchesLabel(want, name) && !slices.Contains(a.products, product) {
				a.products = append(a.products, product)
			}
		}
	}
	if len(a.products) == 0 {
		a.products = append(a.products, noProduct)
	}
	return nil
}

// wishes says in which order preferred slices are kept (false) and given up
// (true).
func (a *attempt) wishes() []bool {
	for r := range a.roles {
		for _, s := range a.g.SlicesOf(r) {
			if s.Preferred {
				return keepThenGiveUp
			}
		}
	}
	return keepThenGiveUp[:1]
}

var keepThenGiveUp = []bool{false, true}

// count counts the room of every role on nodes of one product, with its
// preferred slices kept or given up.
func (a *attempt) count(product int, soft bool) {
	a.soft = soft
	for r := range a.roles {
		role := &a.roles[r]
		p := product
		if !role.modelled {
			p = anyProduct
		}
		role.layers = a.layersOf(role.layers[:0], r, true)
		role.wished = nil
		if soft {
			role.wished = a.p.rooms(role.Request, role.Filter, p, role.layers)
			role.layers = a.layersOf(role.layers[:0], r, false)
		}
		role.rooms = a.p.rooms(role.Request, role.Filter, p, role.layers)
		role.plain = nil
		if len(role.layers) > 0 && (role.gaps || a.g.BoundCount(r) > 0) {
			role.plain = a.p.rooms(role.Request, role.Filter, p, nil)
		}
	}
	a.orderRoles()
}

// layersOf appends the layers of slices of role r, with the preferred ones or
// without. A role that is to share one domain is one slice of any size there,
// and at the level of every slice that is no narrower.
func (a *attempt) layersOf(layers []gang.Slice, r int, preferred bool) []gang.Slice {
	own := a.g.Roles[r].Required
	asked := a.g.SlicesOf(r)
	for len(asked) > 0 && asked[0].Level <= own {
		if !asked[0].Preferred && asked[0].Level < own {
			layers = append(layers, gang.Slice{Size: wholeRole, Level: asked[0].Level})
		}
		asked = asked[1:]
	}
	if own >= 0 {
		layers = append(layers, gang.Slice{Size: wholeRole, Level: own})
	}
	for _, s := range asked {
		if preferred || !s.Preferred {
			layers = append(layers, gang.Slice{Size: s.Size, Level: s.Level})
		}
	}
	return layers
}

// orderRoles puts the roles with the least to spare first, a role that stands
// with another after it. The second order, for when the first one fails, puts
// the largest members first.
func (a *attempt) orderRoles() {
	a.order, a.bySize = a.order[:0], a.bySize[:0]
	for r := range a.roles {
		a.order = append(a.order, r)
	}
	if len(a.order) < 2 {
		return
	}
	a.bySize = append(a.bySize, a.order...)
	slices.SortStableFunc(a.order, func(x, y int) int {
		rx, ry := &a.roles[x], &a.roles[y]
		if c := cmp.Compare(a.follows(x), a.follows(y)); c != 0 {
			return c
		}
		// room per member to place, compared without a division
		return cmp.Compare(rx.rooms.dom[0]*int64(max(ry.Count, 1)), ry.rooms.dom[0]*int64(max(rx.Count, 1)))
	})
	slices.SortStableFunc(a.bySize, func(x, y int) int { return a.compareSize(&a.roles[x], &a.roles[y]) })
	if slices.Equal(a.order, a.bySize) {
		a.bySize = a.bySize[:0]
	}
}

// compareSize orders roles by falling size of their members: by what both ask
// for first, GPUs before the rest.
func (a *attempt) compareSize(x, y *role) int {
	for _, gpus := range []bool{true, false} {
		for c, q := range x.Request {
			if q != y.Request[c] && topology.IsGPU(a.p.u.Resources[c]) == gpus {
				return cmp.Compare(y.Request[c], q)
			}
		}
	}
	return 0
}

// follows is 1 for a role that stands with another.
func (a *attempt) follows(r int) int {
	if with := a.roles[r].NearRole; with >= 0 && with != r {
		return 1
	}
	return 0
}

// resizeKeep makes s n long and keeps the buffers inside its elements.
func resizeKeep[T any](s []T, n int) []T {
	for cap(s) < n {
		s = append(s[:cap(s)], *new(T))
	}
	return s[:n]
}
