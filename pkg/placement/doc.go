// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placement is the engine: a gang and a cluster go in, and a node for
// every member comes out, or the reason why not. It reads nothing else, neither
// clock nor chance: the same input gives the same plan. Solve keeps nothing from one
// gang to the next; a Planner keeps what it counted, which changes the time that a
// plan takes and nothing else. The scheduler, the what-ifs of the command line and
// the simulator all call one of the two.
//
// # Three steps
//
// Count (count.go) finds, bottom up, how many members fit on each node and
// under each domain. With slices the room of a domain is the longest run of
// members, in rank order, that it holds; one number per domain says it exactly.
//
// Choose (choose.go, fit.go) picks the domain. Levels are tried from the
// preferred one to the required one, or to the cluster where none is required.
// Where members are bound already, theirs is the only domain of a level.
//
// Assign (runs.go, assign.go, split.go) goes top down: a run of members goes
// into the narrowest box that holds it, a node if possible, and else over the
// fewest boxes right below, in the order of the tree, so that neighbours in
// rank are neighbours in the fabric.
//
// # What is best
//
// Preferred slices are given up only where no GPU model and no level can keep
// them; a model later in the list is used only where no level of an earlier
// one holds the gang; a wider level only where no domain of a narrower one
// does. Among the domains of one level the order is:
//
//  1. the most members placed: all of them, where that is possible;
//  2. not the largest: a domain with the most room of its level is taken only
//     where no smaller one holds the gang, so that the largest gang that this
//     level can hold now it can hold afterwards;
//  3. the better domain around it, by these rules 2 to 5 again; at the widest
//     level of several domains, the one with the least loss of large gangs (see
//     below), and then the first in the order of the tree, so that load gathers
//     at one end and the domains at the other end stay whole;
//  4. the tightest fit: the least room left;
//  5. the order of the tree.
//
// Room is counted in members of the scarcest role, the one with the least room
// in the cluster for each of its members.
//
// The loss of large gangs: a domain with room x that takes n members loses a
// gang of s if x/s - (x-n)/s > n/s in whole numbers, that is if it holds fewer
// gangs of s afterwards than the members themselves account for. Its loss is
// the largest such s among the powers of two that no narrower domain could hold
// (the nodes of the largest one times the room of the roomiest node), or 0. Of
// blocks of racks of 16 nodes, one with 100 free nodes loses a gang of 32 when 8
// go, one with 110 nothing, and one with 64 loses a gang of 64.
//
// A fixed order of the widest domains was measured to keep more of them whole
// than the tightest fit does (benchmarks, section Quality): which of two wide
// domains is fuller changes with every gang that ends, and following it breaks
// both. It is first fit in the order of addresses, which keeps memory in one
// piece too (Wilson et al., Dynamic Storage Allocation: A Survey and Critical
// Review, 1995). Among the domains inside one of them the tightest is better.
//
// Inside the domain the same rules 2 to 5 choose each box, after the least room
// on the node where a node holds the whole run. A run that no box
// holds is split over the fewest boxes, of those sets the one with the least
// room to spare; domains then share it evenly, in steps of whole nodes, and
// nodes are filled one after the other, so that whole nodes stay free. Taking
// more boxes, smaller ones, was measured to leave fewer whole domains, not more.
//
// # What is exact
//
// For a gang of one role the answer is exact: it is refused if and only if no
// plan keeps every rule, slices and bound members included; where several of its
// slices have lost members, within the steps of the search below. Roles of several
// shapes that share nodes make a packing problem: the role with the least to
// spare goes first; where that fails the role of the largest members does, and
// where that fails too comes a search that is exact within a fixed number of
// steps. Beyond that a gang may be refused that a cleverer packing would place.
// Check is the list of rules and shares no code with Solve.
//
// Roles that share a domain with one another (rolegroup.go) are placed as gangs of their
// own, group by group, in each domain that may hold the whole gang: in the order of
// their size, and again with the group first that found no room. A gang may be refused
// whose groups fit in another order or beside other choices of domains.
//
// # Cost
//
// A count from scratch costs a pass over the nodes and one over the domains for each
// shape of members; a Planner that has counted a shape before pays for the nodes
// that changed since. Choosing compares numbers of domains, and assigning reads the
// boxes that the gang is spread over. What goes beyond that is bounded by constants:
// maxSpreadSteps, maxSearchSteps and maxInnerCandidates, and all of it together by
// stepBudget: a gang whose budget is spent is GangTooComplex.
//
// # Repair
//
// Bound members count towards the minimum and tie the rest: the gang to the
// domain of its required level, each of their slices to its domain, all to
// their GPU model. A member that comes back takes the free node nearest to its
// neighbours in rank. A member that has ended leaves a gap in the ranks, and the
// others stay in their slices. If the bound members break these rules themselves, the
// refusal is TopologyDrift.
package placement
