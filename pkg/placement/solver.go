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

// solver finds the plan of one gang. It is read from top to bottom: readGang turns
// the gang into roles, countHeadroom counts for one product and pass, chooseDomain
// tries domains, and the roles then hold the answer. All of it is reset by the next
// readGang; only the buffers live on, so that a plan allocates next to nothing.
type solver struct {
	// What is to be solved.
	planner *Planner
	gang    *gang.Gang
	tree    *topology.Tree

	// What readGang made of the gang.
	roles []roleState
	// products are the GPU products to try, in order.
	products []int
	// boundNodes are the nodes of the bound members, where the node is known.
	boundNodes []topology.NodeID
	// minToPlace is the number of waiting members that must be placed.
	minToPlace int

	// within is the domain in which the plan has to stay, 0 for the cluster.
	within topology.DomainID

	// What countHeadroom decided for the pass at hand.
	//
	// roleOrder is the order in which roles are placed.
	roleOrder []int
	// sizeOrder is a second order to try; empty if it would be the same.
	sizeOrder []int

	// What one try has done so far.
	//
	// touchedNodes are the nodes on which something is taken, some of them twice.
	touchedNodes []topology.NodeID
	// failedDomain is where the last run that found no room was to go.
	failedDomain topology.DomainID

	// What is left of the limits of one Solve, and what it cost.
	//
	// stepsLeft is what is left of the budget, stepsKept what is kept of it for the
	// explanation, and stepsGiven the whole: see stepBudget.
	stepsLeft, stepsKept, stepsGiven int
	// searchSteps is the number of nodes that searchDomain may still try.
	searchSteps int
	// spreadSteps is the number of ways left to spread the minimum over the roles
	// of one domain.
	spreadSteps int
	// domainsEvaluated is the number of domains whose headroom was compared.
	domainsEvaluated int

	// Buffers, empty between uses.
	runs            []memberRun
	memberBuffer    []int32 // the members of runs
	shareStack      []childShare
	candidates      []candidate
	innerCandidates []candidate // of fitNarrowerDomain, while candidates is in use
	aroundBuffer    []topology.DomainID
	totals          []int64
	sorter          boxSorter
}

// roleState is one role of the gang and its part of the plan.
type roleState struct {
	*gang.Role

	// modelApplies says that the choice of a GPU model binds the role.
	modelApplies bool
	// boundMembers are the bound members of known rank, by rank.
	boundMembers []boundMember
	// waitingRanks is the rank of each waiting member, rising.
	waitingRanks []int32
	// hasRankHoles says that waitingRanks is not 0, 1, 2 and so on.
	hasRankHoles bool

	// sliceLayers are the slices to keep whole in this pass, the whole role first.
	sliceLayers []gang.Slice
	// headroom is counted for sliceLayers.
	headroom *headroom
	// preferredHeadroom is counted for the preferred slices too. It is nil in a
	// strict pass, whose headroom has them already.
	preferredHeadroom *headroom
	// unslicedHeadroom is counted without slices, where some slice has bound
	// members or a hole, so that less than a whole slice has to fit; else nil.
	unslicedHeadroom *headroom

	// minToPlace is the number of members that must be placed.
	minToPlace int
	// maxToPlace is the number of members that may fit in the domain at hand.
	maxToPlace int
	// toPlace is the number of members that this try places: the first ones in
	// rank order. minToPlace <= toPlace <= maxToPlace.
	toPlace int
	// assigned is the node of each waiting member, NoNode from toPlace on.
	assigned []topology.NodeID
}

// boundMember is a bound member of known rank. Its node is NoNode where the node
// has left the cluster.
type boundMember struct {
	rank int32
	node topology.NodeID
}

// readGang resets the solver to a gang. It returns a refusal where no headroom has
// to be counted for one: the gang is not valid, not complete, or has drifted.
func (s *solver) readGang(p *Planner, g *gang.Gang) *Refusal {
	s.planner, s.gang, s.tree = p, g, p.usage.Tree
	s.searchSteps, s.domainsEvaluated = maxSearchSteps, 0
	s.startBudget(len(s.tree.Nodes), g)
	s.touchedNodes = s.touchedNodes[:0]
	s.boundNodes = s.boundNodes[:0]
	s.minToPlace, s.within = 0, 0
	s.roles = s.roles[:0]
	if err := validateOn(s.tree, p.usage, g); err != nil {
		return &Refusal{Reason: InvalidGangSpec, Gang: g.Name, Needed: g.MinCount, Detail: err.Error()}
	}
	s.minToPlace = neededOf(g)
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

// readRoles fills in the roles but for what depends on bound members, slices and
// products. The model binds the roles that ask for GPUs or claim devices; where none
// does, GPUs may be asked for in a way that is not known here, and it binds all.
func (s *solver) readRoles() {
	u := s.planner.usage
	anyGPU := false
	s.roles = resizeKeep(s.roles, len(s.gang.Roles))
	for r := range s.roles {
		role := &s.roles[r]
		role.Role = &s.gang.Roles[r]
		role.assigned = resize(role.assigned, role.Count)
		role.minToPlace = max(0, role.MinCount-s.gang.BoundCount(r))
		role.modelApplies = topology.BindsModel(role.Claims)
		for c, q := range role.Request {
			role.modelApplies = role.modelApplies || q > 0 && topology.IsGPU(u.Resources[c])
		}
		anyGPU = anyGPU || role.modelApplies
	}
	for r := range s.roles {
		s.roles[r].modelApplies = s.roles[r].modelApplies || !anyGPU
	}
}

// readBound sorts the bound members into their roles and gives the waiting ones
// their ranks: those of the gang, or else the lowest that are free.
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
		if b.Rank >= 0 { // one of unknown rank belongs to no slice
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

// freeRanks appends the lowest count ranks that no bound member has. The bound
// members are in rank order, so that one pass over both is enough.
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

// readProducts lists the GPU products to try, in the order of the gang's choice of
// models; where bound members have a product, that one alone.
func (s *solver) readProducts() *Refusal {
	s.products = s.products[:0]
	if len(s.gang.Models) == 0 {
		s.products = append(s.products, anyProduct)
		return nil
	}
	if refusal := s.readBoundProduct(); refusal != nil || len(s.products) > 0 {
		return refusal
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

// readBoundProduct makes the product of the bound members the only one to try: a
// gang does not mix models. Members on nodes that are gone, or without a product,
// have no say. Two products are a drift.
func (s *solver) readBoundProduct() *Refusal {
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
	return nil
}

// relaxations returns the passes to try: strict alone if no slice is preferred, else
// strict and then relaxed, in which preferred slices may be split.
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

// strictThenRelaxed are the values of countHeadroom's relaxed, in order.
var strictThenRelaxed = []bool{false, true}

// countHeadroom counts the headroom of every role on nodes of one product. In a
// relaxed pass the preferred slices may be split, and are counted apart.
func (s *solver) countHeadroom(product int, relaxed bool) {
	for r := range s.roles {
		role := &s.roles[r]
		p := product
		if !role.modelApplies {
			p = anyProduct
		}
		role.sliceLayers = s.sliceLayers(role.sliceLayers[:0], r, true)
		role.preferredHeadroom = nil
		if relaxed {
			role.preferredHeadroom = s.planner.headroomFor(role.Role, p, role.sliceLayers)
			role.sliceLayers = s.sliceLayers(role.sliceLayers[:0], r, false)
		}
		role.headroom = s.planner.headroomFor(role.Role, p, role.sliceLayers)
		role.unslicedHeadroom = nil
		if len(role.sliceLayers) > 0 && (role.hasRankHoles || s.gang.BoundCount(r) > 0) {
			role.unslicedHeadroom = s.planner.headroomFor(role.Role, p, nil)
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

// orderRoles puts the roles with the least to spare first, and a role that is to be
// near another behind those that are not. The second order, for when the first one fails, puts
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
		// Headroom of the cluster per member to place, compared without a division.
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

// nearRank sorts roles by whether they follow another: 1 for a role that is to be
// near another one, else 0.
func (s *solver) nearRank(r int) int {
	if with := s.roles[r].NearRole; with >= 0 && with != r {
		return 1
	}
	return 0
}

// resizeKeep makes s n long and, unlike resize, keeps what its elements hold: each
// has buffers of its own.
func resizeKeep[T any](s []T, n int) []T {
	for cap(s) < n {
		s = append(s[:cap(s)], *new(T))
	}
	return s[:n]
}
