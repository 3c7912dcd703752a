// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// NoNode marks a member that the plan leaves without a node.
const NoNode topology.NodeID = -1

// Plan is the answer for one gang: a node for each member, or a refusal.
type Plan struct {
	// Domain holds every member of the gang; 0 (the cluster) where nothing
	// narrower was asked for or found. It is one of Gang.Tree.
	Domain topology.DomainID
	// Model is the GPU product that was chosen; empty when none was asked for.
	Model string
	// Nodes is the node of each waiting member: Nodes[r][i] for member i of
	// role r. NoNode marks a member beyond MinCount without room.
	Nodes [][]topology.NodeID
	// Refusal is set, and Nodes nil, when the gang cannot be placed.
	Refusal *Refusal
}

// Reason is the stable name of a refusal.
type Reason string

// The reasons that the engine itself can give.
const (
	// NoFittingDomain: no domain has room for the gang now.
	NoFittingDomain Reason = "NoFittingDomain"
	// GangTooLarge: no domain could hold the gang even if it were empty.
	GangTooLarge Reason = "GangTooLarge"
	// TopologyLevelUnused: no usable node carries the required level.
	TopologyLevelUnused Reason = "TopologyLevelUnused"
	// TopologyDrift: the bound members are no longer placed as the gang asks for:
	// in two domains of the required level, on nodes that miss it or that are
	// gone, or on two GPU models.
	TopologyDrift Reason = "TopologyDrift"
	// GangIncomplete: the gang has fewer members than it must start with.
	GangIncomplete Reason = "GangIncomplete"
	// GangTooComplex: the steps that one plan may take are spent, and it is not known
	// whether the gang fits; Detail says what is complex.
	GangTooComplex Reason = "GangTooComplex"
	// InvalidGangSpec: what is asked for makes no sense; Detail says why.
	InvalidGangSpec Reason = "InvalidGangSpec"
)

// Refusal is why a gang cannot be placed: what it asked for, and how near the best
// domain came. It holds the facts; Error makes a sentence of them.
type Refusal struct {
	Reason Reason
	// Gang is the name of the gang.
	Gang string
	// Role is the name of a role of which RoleConstraint members must be placed and
	// cannot, although Want members of all roles could.
	Role       string
	RoleNeeded int
	// Needed is the number of members that must be placed together; Bound of
	// them have a node already.
	Needed, Bound int
	// Level is the name of the level that must hold them, "cluster" if none.
	Level string
	// Slices are the required slices, widest first.
	Slices []SliceConstraint
	// Together are the roles that ask for one domain of a narrower level.
	Together []RoleConstraint
	// Pinned says that the bound members leave no choice but Best, in which
	// BoundThere of them stand: the domain of the gang, or of a slice that
	// lost a member.
	Pinned     bool
	BoundThere int
	// Recoverable names nodes of Best that would be enough if they were not
	// excluded; else Missing is how much more of Short must be free there. Both are
	// set for a Pinned gang only.
	Recoverable []RecoverableNode
	Missing     int64
	// Best is the name of the domain with the most room, its path where the
	// name is not enough; empty if no domain has any. Domain is that domain, 0
	// (the cluster) if none. Room is the number of members that fit there now,
	// bound ones included; at least so many do if RoomAtLeast is set, because the steps
	// that one plan may take are spent.
	Best        string
	Domain      topology.DomainID
	Room        int
	RoomAtLeast bool
	// Excluded counts the nodes of Best that are excluded, by reason; those of the
	// whole cluster if Best is empty. For a gang that is too large only permanent
	// reasons count.
	Excluded [gang.NumExclusions]int
	// Short names the resource that runs out first on the usable nodes of
	// Best, such as "nvidia.com/gpu"; empty when nodes are just left out.
	Short string
	// Beyond says what a member asks for that no node has, of a gang that is too large.
	Beyond string
	// Models is the list that was asked for, if any; NoModel says that no node
	// has any of them.
	Models  []string
	NoModel bool
	// Unlabelled says, beside NoModel, that no node with such devices tells its
	// model.
	Unlabelled bool
	// Detail is the rest of the sentence for the reasons that are not about
	// room: InvalidGangSpec, GangTooComplex and TopologyDrift; and for those that are
	// where no one domain is to blame.
	Detail string
}

// RoleConstraint is a role that one domain of a level must hold, in a refusal.
type RoleConstraint struct{ Role, Level string }

// SliceConstraint is a required layer of slices in a refusal.
type SliceConstraint struct {
	// Size is the number of members of a slice, Level the level whose domains
	// hold one.
	Size  int
	Level string
}

// RecoverableNode is a node that is excluded for a reason that passes.
type RecoverableNode struct {
	Node      string
	Exclusion gang.Exclusion
}

// DomainNodes returns the nodes that a plan allows for the members of a gang, of whom
// other constraints may ask for other nodes than those of the plan: those of its domain,
// and of the domain of the level that is required.
func DomainNodes(t *topology.Tree, g *gang.Gang, p Plan) []topology.NodeID {
	required := topology.DomainID(0)
	for _, nodes := range p.Nodes {
		for _, n := range nodes {
			if n != NoNode && g.Required >= 0 {
				required, _ = t.DomainAt(n, g.Required)
			}
		}
	}
	var all []topology.NodeID
	for n := range t.NodesOf(p.Domain) {
		if t.ContainsNode(required, n) {
			all = append(all, n)
		}
	}
	return all
}
