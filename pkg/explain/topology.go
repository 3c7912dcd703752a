// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// Fabric is the tree of domains with what is free of one resource.
type Fabric struct {
	Resource string   `json:"resource"`
	Levels   []string `json:"levels"`
	// Domains are in depth-first order, the cluster first.
	Domains []Domain `json:"domains"`
}

// Domain is one box of the tree, or one node.
type Domain struct {
	// Level is "cluster", the name of a level, or "node"; Depth is how deep
	// the domain stands in the tree.
	Level string `json:"level"`
	Name  string `json:"name"`
	Path  string `json:"path"`
	Depth int    `json:"depth"`
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

// Fabric lists the domains of the cluster, and the nodes if they are wanted.
// An empty resource stands for the GPUs of which there are most.
func (p *Picture) Fabric(resource string, nodes bool) (*Fabric, error) {
	u := p.Usage()
	if resource == "" {
		resource = commonest(u)
	}
	column, ok := u.ResourceIndex(resource)
	if !ok {
		return nil, fmt.Errorf("no node has the resource %q; the resources are %s", resource, join(u.Resources))
	}
	f := &Fabric{Resource: resource, Levels: p.ladder.Names()}
	t := u.Tree
	for d := range t.Domains {
		if id := topology.DomainID(d); !p.standsForNode(id) {
			f.addDomain(p, id, column)
		}
		if !nodes {
			continue
		}
		for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
			if p.box(n) == topology.DomainID(d) {
				f.addNode(p, n, column)
			}
		}
	}
	return f, nil
}

// standsForNode reports whether a domain is nothing but a node under its own
// name, as the domains of the host level are.
func (p *Picture) standsForNode(d topology.DomainID) bool {
	t := p.cluster.Usage().Tree
	domain := t.Domains[d]
	return domain.End == domain.First+1 && d != 0 && domain.Name == t.Nodes[domain.First].Name
}

// box is the narrowest domain around a node that does not just stand for it.
func (p *Picture) box(n topology.NodeID) topology.DomainID {
	t := p.cluster.Usage().Tree
	d := t.LeafDomain(n)
	for p.standsForNode(d) {
		d = t.Domains[d].Parent
	}
	return d
}

func (p *Picture) depth(d topology.DomainID) int {
	depth := 0
	for t := p.cluster.Usage().Tree; d != 0; d = t.Domains[d].Parent {
		depth++
	}
	return depth
}

func (f *Fabric) addDomain(p *Picture, d topology.DomainID, column int) {
	t := p.cluster.Usage().Tree
	out := Domain{Level: t.LevelName(t.Domains[d].Level), Name: t.Domains[d].Name, Path: t.DomainPath(d), Depth: p.depth(d)}
	for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
		out.add(p, n, column)
	}
	f.Domains = append(f.Domains, out)
}

func (f *Fabric) addNode(p *Picture, n topology.NodeID, column int) {
	node := p.Node(n)
	box := p.box(n)
	t := p.cluster.Usage().Tree
	out := Domain{
		Level: NodeLevel, Name: node.Name, Path: node.Name, Depth: p.depth(box) + 1,
		Model: t.Nodes[n].Model, State: state(node),
	}
	if box != 0 {
		out.Path = t.DomainPath(box) + "/" + node.Name
	}
	out.add(p, n, column)
	f.Domains = append(f.Domains, out)
}

func (d *Domain) add(p *Picture, n topology.NodeID, column int) {
	u := p.cluster.Usage()
	free, total := u.FreeRow(n)[column], u.CapacityRow(n)[column]
	d.Nodes++
	d.Total += total
	switch {
	case state(p.Node(n)) != "":
		d.Out++
	default:
		d.Free += max(0, free)
		if free == total && total > 0 {
			d.Empty++
		}
	}
}

// state is why a node takes no new pods, "" if it does.
func state(node *v1.Node) string {
	switch {
	case unready(node):
		return "not ready"
	case cordoned(node):
		return "cordoned"
	}
	return ""
}

// commonest is the GPU resource of which there is most, else cpu.
func commonest(u *topology.Usage) string {
	best, most := string(v1.ResourceCPU), int64(0)
	for c, name := range u.Resources {
		if !topology.IsGPU(name) {
			continue
		}
		sum := int64(0)
		for n := range u.Tree.Nodes {
			sum += u.CapacityRow(topology.NodeID(n))[c]
		}
		if sum > most {
			best, most = name, sum
		}
	}
	return best
}
