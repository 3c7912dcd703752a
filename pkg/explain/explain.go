// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Explanation is all there is to say about one gang.
type Explanation struct {
	Status
	Asks Asks `json:"asks"`
	// Levels are how near the gang comes at each level in use, widest first.
	Levels []Level `json:"levels,omitempty"`
	// Nearest is the domain that comes nearest to hold the gang, where it
	// waits for room.
	Nearest string `json:"nearest,omitempty"`
	// Nodes says what stands in the way, in Nearest and in the whole cluster.
	Nodes []Block `json:"nodes,omitempty"`
	// Changes are what would let the gang in, each on its own.
	Changes []Change `json:"changes,omitempty"`
	// Stands is where the bound members are, by level, and On their nodes.
	Stands []Stand `json:"stands,omitempty"`
	On     []Host  `json:"hosts,omitempty"`
	// Notes are what else one should know.
	Notes []string `json:"notes,omitempty"`
}

// Asks is what the gang asks for.
type Asks struct {
	Required  string   `json:"topologyRequired,omitempty"`
	Preferred string   `json:"topologyPreferred,omitempty"`
	Slices    []Slice  `json:"slices,omitempty"`
	Models    []string `json:"gpuModels,omitempty"`
	Memory    string   `json:"gpuMemory,omitempty"`
	Roles     []Role   `json:"roles,omitempty"`
}

// Slice is a layer of sub-blocks.
type Slice struct {
	Size  int    `json:"size"`
	Level string `json:"level"`
	// Preferred makes it a wish.
	Preferred bool `json:"preferred,omitempty"`
}

// Role is the members of one shape.
type Role struct {
	Name     string            `json:"name,omitempty"`
	Pods     int               `json:"pods"`
	Requests map[string]string `json:"requests"`
	// MinCount of them must start together, 0 for what the gang says. Required
	// and Slices are what these pods ask for beyond the gang.
	MinCount int     `json:"minCount,omitempty"`
	Required string  `json:"topologyRequired,omitempty"`
	Slices   []Slice `json:"slices,omitempty"`
}

// Stand is where a gang stands at one level.
type Stand struct {
	Level   string  `json:"level"`
	Domains []Share `json:"domains"`
}

// Share is a domain and the number of members that it holds.
type Share struct {
	Path string `json:"path"`
	Pods int    `json:"pods"`
}

// Host is a node and the members on it.
type Host struct {
	Node string   `json:"node"`
	Pods []string `json:"pods"`
	// Links are those of the first of the pods with several GPUs.
	Links *Links `json:"links,omitempty"`
}

// Explain says all there is to say about a gang. now is the moment of the
// picture.
func (p *Picture) Explain(g *Gang, now time.Time) (*Explanation, error) {
	status, err := p.Status(g, now)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Status: status, Notes: g.notes()}
	e.Stands, e.On = p.stands(g.Bound)
	if g.Invalid != nil || len(g.Members()) == 0 {
		return e, nil
	}
	e.Asks = p.asks(g)
	if len(g.Waiting) == 0 || e.Phase == Invalid {
		return e, nil
	}
	x := &explainer{p: p, g: g}
	if err := x.begin(); err != nil {
		return nil, err
	}
	if e.Reason == kube.GangIncomplete {
		e.Changes, err = x.fewer()
		return e, err
	}
	if e.Levels, err = x.levels(); err != nil {
		return nil, err
	}
	if x.refusal == nil {
		return e, nil
	}
	e.Nearest, e.Nodes = x.blocks()
	e.Notes = append(e.Notes, x.oddities()...)
	e.Changes, err = x.changes()
	return e, err
}

// explainer works out one explanation.
type explainer struct {
	p *Picture
	g *Gang
	// members and usage are the gang and the cluster as they are. refusal is
	// why the gang has no room, or nil.
	members *kube.Members
	usage   *topology.Usage
	refusal *placement.Refusal
	// scarce is the role whose room is counted, the one with the largest
	// request for GPUs, and want the number of its members that must be placed.
	scarce int
	want   int
}

func (x *explainer) begin() error {
	members, plan, err := x.p.solve(x.g.trial())
	if err != nil {
		return err
	}
	x.usage = x.p.cluster.Usage().Clone()
	x.members, x.refusal = keep(members), plan.Refusal
	most := int64(-1)
	for r := range members.Roles {
		gpus := int64(0)
		for c, q := range members.Roles[r].Request {
			if topology.IsGPU(x.usage.Resources[c]) {
				gpus += q
			}
		}
		if members.Roles[r].Count > 0 && gpus > most {
			x.scarce, most = r, gpus
		}
	}
	x.want = members.Roles[x.scarce].Count
	if len(members.Roles) == 1 {
		x.want = max(min(1, x.want), x.g.Spec.MinCount-len(members.Bound))
	}
	return nil
}

// keep copies what the next question to the cluster would overwrite.
func keep(m *kube.Members) *kube.Members {
	kept := *m
	kept.Roles = append(kept.Roles[:0:0], m.Roles...)
	for r := range kept.Roles {
		if f := kept.Roles[r].Filter; f != nil {
			kept.Roles[r].Filter = &gang.Filter{Exclusions: slices.Clone(f.Exclusions)}
		}
	}
	return &kept
}

// notes are what a user may have overlooked.
func (g *Gang) notes() []string {
	notes := slices.Clone(g.Declaration.Ignored)
	if n := len(g.Members()) - len(g.Bound); g.Invalid == nil && n > 0 && len(g.Members()) > g.Spec.MinCount && len(g.Bound) == 0 {
		notes = append(notes, pods(len(g.Members()))+" exist, of which "+pods(g.Spec.MinCount)+" must start together; the others follow as room allows")
	}
	for _, pod := range g.Bound {
		if pod.DeletionTimestamp != nil {
			notes = append(notes, "pod "+pod.Name+" is being deleted; its node is free once it is gone")
			break
		}
	}
	return notes
}

// asks is what the gang asks for, in words.
func (p *Picture) asks(g *Gang) Asks {
	a := Asks{Models: g.Spec.Models}
	names := p.ladder.Names()
	if g.Spec.Required >= 0 {
		a.Required = names[g.Spec.Required]
	}
	if g.Spec.Preferred >= 0 {
		a.Preferred = names[g.Spec.Preferred]
	}
	if g.Spec.Memory > 0 {
		a.Memory = g.Spec.Memory.String()
	}
	for _, s := range g.Spec.Slices {
		a.Slices = append(a.Slices, Slice{Size: s.Size, Level: names[s.Level], Preferred: s.Preferred})
	}
	members, err := p.members(g.trial())
	if err != nil {
		return a
	}
	for r := range members.Roles {
		a.Roles = append(a.Roles, p.role(&members.Roles[r], members.BoundCount(r)))
	}
	return a
}

// role is what the members of one role ask for, in words.
func (p *Picture) role(r *gang.Role, bound int) Role {
	role := Role{Name: r.Name, Pods: r.Count + bound, Requests: map[string]string{}, MinCount: r.MinCount}
	names := p.ladder.Names()
	if r.Required >= 0 {
		role.Required = names[r.Required]
	}
	for _, s := range r.Slices {
		role.Slices = append(role.Slices, Slice{Size: s.Size, Level: names[s.Level], Preferred: s.Preferred})
	}
	for c, q := range r.Request {
		if name := p.cluster.Usage().Resources[c]; q > 0 && name != string(v1.ResourcePods) {
			role.Requests[name] = Amount(name, q)
		}
	}
	return role
}
