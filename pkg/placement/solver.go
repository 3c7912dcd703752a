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

// solver is one gang on its way to a plan. Its buffers are used again for the
// next gang.
type solver struct {
	planner *Planner
	gang    *gang.Gang
	tree    *topology.Tree

	roles            []roleState
	roleOrder        []int             // the roles in the order in which they are placed
	sizeOrder        []int             // another order to try, empty if there is none
	products         []int             // the GPU products to try, in order
	boundNodes       []topology.NodeID // the nodes of the bound members that are known
	minToPlace       int               // waiting members that must be placed
	touchedNodes     []topology.NodeID // nodes on which something is taken, maybe twice
	shareStack       []childShare      // the stack of assign
	searchSteps      int               // steps left to search
	placementSteps   int               // members that may still be placed in vain
	domainsEvaluated int               // domains whose room was looked at
	failedDomain     topology.DomainID // where the last job that found no room was to go
	spreadSteps      int               // spreadSteps left to spread the minimum over the roles

	runs            []memberRun
	memberBuffer    []int32 // backing of jobs[].members
	candidates      []candidate
	innerCandidates []candidate // backing of fitNarrowerDomain
	sorter          boxSorter
}

// roleState is one role of the gang at hand.
type roleState struct {
	*gang.Role
	modelApplies      bool          // the choice of a GPU model applies
	sliceLayers       []gang.Slice  // the slices to keep, the whole role first
	headroom          *headroom     // for layers
	preferredHeadroom *headroom     // also for the preferred slices, while soft
	unslicedHeadroom  *headroom     // without slices, where parts of them are bound or missing
	minToPlace        int           // members that must be placed, at least
	maxToPlace        int           // members that may fit in the domain at hand, at most
	toPlace           int           // members to place: the first ones in rank order
	boundMembers      []boundMember // boundMembers members of known rank, by rank
	waitingRanks      []int32       // rank of each waiting member
	hasRankHoles      bool          // the ranks of the waiting members are not 0, 1, 2, ...
	assigned          []topology.NodeID
}

// boundMember is a bound member of known rank; its node may be unknown.
type boundMember struct {
	rank int32
	node topology.NodeID
}

// readGang reads the gang, and refuses what needs no look at the room.
func (s *solver) readGang(p *Planner, g *gang.Gang) *Refusal {
	s.planner, s.gang, s.tree = p, g, p.usage.Tree
	s.searchSteps, s.placementSteps, s.domainsEvaluated = maxSearchSteps, maxPlacementSteps, 0
	s.touchedNodes = s.touchedNodes[:0]
	s.boundNodes = s.boundNodes[:0]
	s.minToPlace = 0
	s.roles = s.roles[:0]
	if err := s.validateGang(); err != nil {
		return &Refusal{Reason: InvalidGangSpec, Gang: g.Name, Needed: g.MinCount, Detail: err.Error()}
	}
	s.minToPlace = max(g.MinCount-len(g.Bound), min(1, g.WaitingCount()))
	if s.minToPlace > g.WaitingCount() {
		return &Refusal{Reason: GangIncomplete, Gang: g.Name, Needed: g.MinCount, Bound: len(g.Bound), Room: g.MemberCount()}
	}
	s.readRoles()
	s.readBound()
	for r := range s.roles {
		if role := &s.roles[r]; role.minToPlace > role.Count {
			return &Refusal{
				Reason: GangIncomplete, Gang: g.Name, Role: role.Name,
				Needed: role.MinCount, Bound: g.BoundCount(r), Room: role.Count + g.BoundCount(r),
			}
		}
	}
	if refusal := s.findDrift(); refusal != nil {
		return refusal
	}
	return s.readProducts()
}

func (s *solver) validateGang() error {
	if err := s.gang.Validate(len(s.tree.Levels), len(s.planner.usage.Resources)); err != nil {
		return err
	}
	for r := range s.gang.Roles {
		if f := s.gang.Roles[r].Filter; f != nil && len(f.Exclusions) != len(s.tree.Nodes) {
			return fmt.Errorf("role %d %s: the filter is for %d nodes, the cluster has %d", r, s.gang.Roles[r].Name, len(f.Exclusions), len(s.tree.Nodes))
		}
	}
	return nil
}

// readRoles fills in the roles but for what depends on slices and models.
func (s *solver) readRoles() {
	u := s.planner.usage
	anyGPU := false
	s.roles = resizeKeep(s.roles, len(s.gang.Roles))
	for r := range s.roles {
		role := &s.roles[r]
		role.Role = &s.gang.Roles[r]
		role.assigned = resize(role.assigned, role.Count)
		role.minToPlace = max(0, role.MinCount-s.gang.BoundCount(r))
		role.modelApplies = false
		for c, q := range role.Request {
			role.modelApplies = role.modelApplies || q > 0 && topology.IsGPU(u.Resources[c])
		}
		anyGPU = anyGPU || role.modelApplies
	}
	for r := range s.roles { // GPUs asked for in another way than by amount
		s.roles[r].modelApplies = s.roles[r].modelApplies || !anyGPU
	}
}

// readBound sorts the bound members into their roles and gives the waiting
// ones the ranks that are left.
func (s *solver) readBound() {
	for r := range s.roles {
		s.roles[r].boundMembers = s.roles[r].boundMembers[:0]
	}
	for _, b := range s.gang.Bound {
		known := b.Node >= 0 && int(b.Node) < len(s.tree.Nodes)
		if known {
			s.boundNodes = append(s.boundNodes, b.Node)
		} else {
			b.Node = NoNode
		}
		if b.Rank >= 0 {
			role := &s.roles[b.Role]
			role.boundMembers = append(role.boundMembers, boundMember{int32(min(b.Rank, wholeRole)), b.Node})
		}
	}
	for r := range s.roles {
		role := &s.roles[r]
		slices.SortStableFunc(role.boundMembers, func(x, y boundMember) int { return cmp.Compare(x.rank, y.rank) })
		role.waitingRanks = role.waitingRanks[:0]
		for _, rank := range role.Ranks {
			role.waitingRanks = append(role.waitingRanks, int32(rank))
		}
		if role.Ranks == nil {
			role.waitingRanks = freeRanks(role.waitingRanks, role.boundMembers, role.Count)
		}
		role.hasRankHoles = role.Count > 0 && int(role.waitingRanks[role.Count-1]) != role.Count-1
	}
}

// freeRanks gives count members the lowest ranks that no bound member has.
func freeRanks(ranks []int32, bound []boundMember, count int) []int32 {
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
func (s *solver) readProducts() *Refusal {
	s.products = s.products[:0]
	if len(s.gang.Models) == 0 {
		s.products = append(s.products, anyProduct)
		return nil
	}
	for _, b := range s.gang.Bound {
		if b.Node < 0 || int(b.Node) >= len(s.tree.Nodes) || !s.roles[b.Role].modelApplies {
			continue
		}
		product := s.tree.ProductIndex(b.Node)
		switch {
		case product < 0:
		case len(s.products) == 0:
			s.products = append(s.products, product)
		case s.products[0] != product:
			return s.driftRefusal(fmt.Sprintf("its running pods use both %s and %s", s.tree.Products[s.products[0]], s.tree.Products[product]))
		}
	}
	if len(s.products) > 0 {
		return nil
	}
	for _, want := range s.gang.Models {
		for product, name := range s.tree.Products {
			if gpu.MatchesLabel(want, name) && !slices.Contains(s.products, product) {
				s.products = append(s.products, product)
			}
		}
	}
	if len(s.products) == 0 {
		s.products = append(s.products, noProduct)
	}
	return nil
}

// relaxations says in which order preferred slices are kept (false) and given up
// (true).
func (s *solver) relaxations() []bool {
	for r := range s.roles {
		for _, slice := range s.gang.SlicesOf(r) {
			if slice.Preferred {
				return strictThenRelaxed
			}
		}
	}
	return strictThenRelaxed[:1]
}

var strictThenRelaxed = []bool{false, true}

// countHeadroom counts the room of every role on nodes of one product, with its
// preferred slices kept or given up.
func (s *solver) countHeadroom(product int, soft bool) {
	for r := range s.roles {
		role := &s.roles[r]
		p := product
		if !role.modelApplies {
			p = anyProduct
		}
		role.sliceLayers = s.sliceLayers(role.sliceLayers[:0], r, true)
		role.preferredHeadroom = nil
		if soft {
			role.preferredHeadroom = s.planner.headroomFor(role.Request, role.Filter, p, role.sliceLayers)
			role.sliceLayers = s.sliceLayers(role.sliceLayers[:0], r, false)
		}
		role.headroom = s.planner.headroomFor(role.Request, role.Filter, p, role.sliceLayers)
		role.unslicedHeadroom = nil
		if len(role.sliceLayers) > 0 && (role.hasRankHoles || s.gang.BoundCount(r) > 0) {
			role.unslicedHeadroom = s.planner.headroomFor(role.Request, role.Filter, p, nil)
		}
	}
	s.orderRoles()
}

// sliceLayers appends the layers of slices of role r, with the preferred ones or
// without. A role that is to share one domain is one slice of any size there,
// and at the level of every slice that is no narrower.
func (s *solver) sliceLayers(layers []gang.Slice, r int, preferred bool) []gang.Slice {
	own := s.gang.Roles[r].Required
	asked := s.gang.SlicesOf(r)
	for len(asked) > 0 && asked[0].Level <= own {
		if !asked[0].Preferred && asked[0].Level < own {
			layers = append(layers, gang.Slice{Size: wholeRole, Level: asked[0].Level})
		}
		asked = asked[1:]
	}
	if own >= 0 {
		layers = append(layers, gang.Slice{Size: wholeRole, Level: own})
	}
	for _, slice := range asked {
		if preferred || !slice.Preferred {
			layers = append(layers, gang.Slice{Size: slice.Size, Level: slice.Level})
		}
	}
	return layers
}

// orderRoles puts the roles with the least to spare first, a role that stands
// with another after it. The second order, for when the first one fails, puts
// the largest members first.
func (s *solver) orderRoles() {
	s.roleOrder, s.sizeOrder = s.roleOrder[:0], s.sizeOrder[:0]
	for r := range s.roles {
		s.roleOrder = append(s.roleOrder, r)
	}
	if len(s.roleOrder) < 2 {
		return
	}
	s.sizeOrder = append(s.sizeOrder, s.roleOrder...)
	slices.SortStableFunc(s.roleOrder, func(x, y int) int {
		rx, ry := &s.roles[x], &s.roles[y]
		if c := cmp.Compare(s.nearRank(x), s.nearRank(y)); c != 0 {
			return c
		}
		// room per member to place, compared without a division
		return cmp.Compare(rx.headroom.perDomain[0]*int64(max(ry.Count, 1)), ry.headroom.perDomain[0]*int64(max(rx.Count, 1)))
	})
	slices.SortStableFunc(s.sizeOrder, func(x, y int) int { return s.compareMemberSize(&s.roles[x], &s.roles[y]) })
	if slices.Equal(s.roleOrder, s.sizeOrder) {
		s.sizeOrder = s.sizeOrder[:0]
	}
}

// compareMemberSize orders roles by falling size of their members: by what both ask
// for first, GPUs before the rest.
func (s *solver) compareMemberSize(x, y *roleState) int {
	for _, gpus := range []bool{true, false} {
		for c, q := range x.Request {
			if q != y.Request[c] && topology.IsGPU(s.planner.usage.Resources[c]) == gpus {
				return cmp.Compare(y.Request[c], q)
			}
		}
	}
	return 0
}

// nearRank is 1 for a role that stands with another.
func (s *solver) nearRank(r int) int {
	if with := s.roles[r].NearRole; with >= 0 && with != r {
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
