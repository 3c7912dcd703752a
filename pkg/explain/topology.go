// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Fabric is the tree of domains with the free amount of one resource in each.
type Fabric struct {
	Resource string   `json:"resource"`
	Levels   []string `json:"levels"`
	// Domains are in depth-first order, the cluster first. Behind them are those of
	// levels that cross the others, over the same nodes.
	Domains []Domain `json:"domains"`
}

// Domain is one domain of the tree, or one node.
type Domain struct {
	// Level is "cluster", the name of a level, or "node"; Depth is the
	// number of domains around it.
	Level string `json:"level"`
	Name  string `json:"name"`
	Path  string `json:"path"`
	Depth int    `json:"depth"`
	// Crossing is set for a domain whose nodes are in several of the others.
	Crossing bool `json:"crossing,omitempty"`
	// Nodes is the number of nodes, and Out of those that take no new pods:
	// cordoned or not ready. Empty is the number of the others of which
	// nothing of the resource is taken.
	Nodes int `json:"nodes"`
	Out   int `json:"out"`
	Empty int `json:"empty"`
	// Free is what nodes that take new pods have left of the resource, Total
	// what all nodes have.
	Free  int64 `json:"free"`
	Total int64 `json:"total"`
	// Model and State are set for nodes: the GPU product, and "cordoned" or
	// "not ready".
	Model string `json:"model,omitempty"`
	State string `json:"state,omitempty"`
}

// NodeLevel is the level of a single node in a Fabric.
const NodeLevel = "node"

// BuildFabric returns the domains of the cluster, and the nodes if they are
// wanted. An empty resource means the GPUs of which there are most.
func (v *ClusterView) BuildFabric(resource string, nodes bool) (*Fabric, error) {
	u := v.Usage()
	if resource == "" {
		resource = mostCommonResource(u)
	}
	column, ok := u.ResourceIndex(resource)
	if !ok {
		return nil, fmt.Errorf("no node has the resource %q; the resources are %s", resource, joinWords(u.Resources))
	}
	f := &Fabric{Resource: resource, Levels: v.levels.LevelNames()}
	t := u.Tree
	for d := range t.Domains {
		if id := topology.DomainID(d); !v.isSingleNode(id) {
			f.addDomain(v, id, column)
		}
		if !nodes || t.IsCrossing(t.Domains[d].Level) {
			continue
		}
		for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
			if v.enclosingDomain(n) == topology.DomainID(d) {
				f.addNode(v, n, column)
			}
		}
	}
	return f, nil
}

// isSingleNode reports whether a domain is nothing but a node under its own
// name, as the domains of the host level are.
func (v *ClusterView) isSingleNode(d topology.DomainID) bool {
	t := v.cluster.Usage().Tree
	domain := t.Domains[d]
	return domain.End == domain.First+1 && d != 0 && domain.Name == t.Nodes[domain.First].Name
}

// enclosingDomain returns the narrowest domain around a node that is not just
// the node itself.
func (v *ClusterView) enclosingDomain(n topology.NodeID) topology.DomainID {
	t := v.cluster.Usage().Tree
	d := t.LeafDomain(n)
	for v.isSingleNode(d) {
		d = t.Domains[d].Parent
	}
	return d
}

// domainDepth returns the number of domains around a domain.
func (v *ClusterView) domainDepth(d topology.DomainID) int {
	depth := 0
	for t := v.cluster.Usage().Tree; d != 0; d = t.Domains[d].Parent {
		depth++
	}
	return depth
}

// addDomain appends a domain with the sum of its nodes.
func (f *Fabric) addDomain(p *ClusterView, d topology.DomainID, column int) {
	t := p.cluster.Usage().Tree
	out := Domain{Level: t.LevelName(t.Domains[d].Level), Name: t.Domains[d].Name, Path: t.DomainPath(d), Depth: p.domainDepth(d)}
	out.Crossing = t.IsCrossing(t.Domains[d].Level)
	for n := range t.NodesOf(d) {
		out.addNodeUsage(p, n, column)
	}
	f.Domains = append(f.Domains, out)
}

// addNode appends a node as a domain of its own.
func (f *Fabric) addNode(p *ClusterView, n topology.NodeID, column int) {
	node := p.Node(n)
	box := p.enclosingDomain(n)
	t := p.cluster.Usage().Tree
	out := Domain{
		Level: NodeLevel, Name: node.Name, Path: node.Name, Depth: p.domainDepth(box) + 1,
		Model: t.Nodes[n].Model, State: nodeState(node),
	}
	if box != 0 {
		out.Path = t.DomainPath(box) + "/" + node.Name
	}
	out.addNodeUsage(p, n, column)
	f.Domains = append(f.Domains, out)
}

// addNodeUsage adds a node to the sums. What is free on a node that takes no
// new pods does not count as free.
func (d *Domain) addNodeUsage(p *ClusterView, n topology.NodeID, column int) {
	u := p.cluster.Usage()
	free, total := u.FreeRow(n)[column], u.CapacityRow(n)[column]
	d.Nodes++
	d.Total += total
	switch {
	case nodeState(p.Node(n)) != "":
		d.Out++
	default:
		d.Free += max(0, free)
		if free == total && total > 0 {
			d.Empty++
		}
	}
}

// nodeState returns why a node takes no new pods, "" if it does.
func nodeState(node *v1.Node) string {
	switch {
	case isNotReady(node):
		return "not ready"
	case isCordoned(node):
		return "cordoned"
	}
	return ""
}

// mostCommonResource returns the resource of which there are most devices; where
// there are none, most parts of devices; else cpu.
func mostCommonResource(u *topology.Usage) string {
	best, most := string(v1.ResourceCPU), int64(0)
	for c, name := range u.Resources {
		if !gpu.IsDevice(name) || most > 0 && gpu.KindOf(name) > gpu.KindOf(best) {
			continue
		}
		sum := int64(0)
		for n := range u.Tree.Nodes {
			sum += u.CapacityRow(topology.NodeID(n))[c]
		}
		if sum > most || sum > 0 && gpu.KindOf(name) < gpu.KindOf(best) {
			best, most = name, sum
		}
	}
	return best
}
