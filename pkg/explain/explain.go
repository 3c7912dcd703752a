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

// Explanation is the result of `muster explain`: status, request, fit per
// level, excluded nodes, and verified changes.
type Explanation struct {
	Status
	Asks GangRequest `json:"asks"`
	// Levels are the fit at each level in use, widest first.
	Levels []Level `json:"levels,omitempty"`
	// Nearest is the domain that lacks least to hold the gang, where the gang
	// waits for room.
	Nearest string `json:"nearest,omitempty"`
	// Nodes are grouped by what excludes them, in Nearest and in the whole
	// cluster.
	Nodes []NodeGroup `json:"nodes,omitempty"`
	// PassedBy are the gangs behind it in the queue that started while it waited
	// with all of its members, the first to start first.
	PassedBy []LaterGang `json:"passedBy,omitempty"`
	// Changes are what would let the gang in, each on its own.
	Changes []Change `json:"changes,omitempty"`
	// Preemption is who would make way for it, or why nobody does; nil where no pod of
	// lower priority runs.
	Preemption *Preemption `json:"preemption,omitempty"`
	// Placements are the domains of the bound members, by level, and Hosts their
	// nodes.
	Placements []LevelPlacement `json:"stands,omitempty"`
	Hosts      []NodePlacement  `json:"hosts,omitempty"`
	// Notes are what a user may have overlooked.
	Notes []string `json:"notes,omitempty"`
}

// GangRequest is the constraints and requests of a gang, in words.
type GangRequest struct {
	Required  string   `json:"topologyRequired,omitempty"`
	Preferred string   `json:"topologyPreferred,omitempty"`
	Slices    []Slice  `json:"slices,omitempty"`
	Models    []string `json:"gpuModels,omitempty"`
	Memory    string   `json:"gpuMemory,omitempty"`
	Roles     []Role   `json:"roles,omitempty"`
}

// Slice is a division of the members into groups of one size, each in one
// domain of the level.
type Slice struct {
	Size  int    `json:"size"`
	Level string `json:"level"`
	// Preferred slices are given up where they do not fit.
	Preferred bool `json:"preferred,omitempty"`
}

// Role is the members with equal requests.
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

// LevelPlacement is the domains of one level that hold members of a gang.
type LevelPlacement struct {
	Level   string       `json:"level"`
	Domains []DomainPods `json:"domains"`
}

// DomainPods is a domain and the number of members that it holds.
type DomainPods struct {
	Path string `json:"path"`
	Pods int    `json:"pods"`
}

// NodePlacement is a node and the members on it.
type NodePlacement struct {
	Node string   `json:"node"`
	Pods []string `json:"pods"`
	// Links are those of the first of the pods with several GPUs.
	Links *Links `json:"links,omitempty"`
}

// Explain returns the explanation of a gang. now is the time at which the view
// was taken.
func (v *ClusterView) Explain(g *Gang, now time.Time) (*Explanation, error) {
	status, err := v.Status(g, now)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Status: status, Notes: g.userNotes(), PassedBy: v.laterGangs(g)}
	e.Placements, e.Hosts = v.locatePods(g.Bound)
	if g.Invalid != nil || len(g.Members()) == 0 {
		return e, nil
	}
	e.Asks = v.describeRequest(g)
	if len(g.Waiting) == 0 {
		return e, nil
	}
	x := &explainer{view: v, gang: g}
	if err := x.solveCurrent(); err != nil {
		return nil, err
	}
	if x.members.Invalid != nil {
		return e, nil
	}
	if e.Reason == kube.GangIncomplete {
		e.Changes, err = x.proposeFewerPods()
		return e, err
	}
	if e.Levels, err = x.fitPerLevel(); err != nil {
		return nil, err
	}
	if x.refusal == nil {
		return e, nil
	}
	e.Nearest, e.Nodes = x.nodeGroups()
	e.Notes = append(e.Notes, x.gpuWarnings()...)
	if e.Reason == kube.NoFittingDomain {
		e.Preemption = x.preemption(now)
	}
	e.Changes, err = x.proposeChanges()
	return e, err
}

// explainer computes one explanation.
type explainer struct {
	view *ClusterView
	gang *Gang
	// members and usage are the gang and the cluster as they are. refusal is
	// why the gang has no room, or nil.
	members *kube.Members
	usage   *topology.Usage
	refusal *placement.Refusal
	// bottleneck is the role whose fit is counted, the one with the largest
	// request for GPUs, and needed the number of its members that must be placed.
	bottleneck int
	needed     int
}

// solveCurrent tries the gang as it is. It keeps copies of the answer, since
// later scenarios overwrite it, and chooses the bottleneck role: the one whose
// members ask for most GPUs.
func (x *explainer) solveCurrent() error {
	members, plan, err := x.view.solveScenario(x.gang.currentScenario())
	if err != nil {
		return err
	}
	x.usage = x.view.cluster.Usage().Clone()
	x.usage.Tree = members.TreeOn(x.usage.Tree)
	x.members, x.refusal = cloneMembers(members), plan.Refusal
	if members.Invalid != nil {
		return nil
	}
	most := int64(-1)
	for r := range members.Roles {
		gpus := int64(0)
		for c, q := range members.Roles[r].Request {
			if topology.IsGPU(x.usage.Resources[c]) {
				gpus += q
			}
		}
		if members.Roles[r].Count > 0 && gpus > most {
			x.bottleneck, most = r, gpus
		}
	}
	x.needed = members.Roles[x.bottleneck].Count
	if len(members.Roles) == 1 {
		x.needed = max(min(1, x.needed), x.gang.Spec.MinCount-len(members.Bound))
	}
	return nil
}

// cloneMembers copies what the next call of Cluster.Gang would overwrite.
func cloneMembers(m *kube.Members) *kube.Members {
	kept := *m
	kept.Roles = append(kept.Roles[:0:0], m.Roles...)
	for r := range kept.Roles {
		if f := kept.Roles[r].Filter; f != nil {
			kept.Roles[r].Filter = &gang.Filter{Exclusions: slices.Clone(f.Exclusions)}
		}
	}
	return &kept
}

// userNotes returns what a user may have overlooked.
func (g *Gang) userNotes() []string {
	notes := slices.Clone(g.Declaration.Ignored)
	if n := len(g.Members()) - len(g.Bound); g.Invalid == nil && n > 0 && len(g.Members()) > g.Spec.MinCount && len(g.Bound) == 0 {
		notes = append(notes, formatPodCount(len(g.Members()))+" exist, of which "+formatPodCount(g.Spec.MinCount)+" must start together; the others follow as room allows")
	}
	for _, pod := range g.Terminating {
		if pod.Spec.NodeName != "" {
			notes = append(notes, "pod "+pod.Name+" is being deleted and no member any more; its node is free once it is gone")
			break
		}
	}
	return notes
}

// describeRequest returns the request of the gang in words.
func (v *ClusterView) describeRequest(g *Gang) GangRequest {
	a := GangRequest{Models: g.Spec.Models}
	names := g.Spec.Levels.LevelNames()
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
	members, err := v.scenarioMembers(g.currentScenario())
	if err != nil {
		return a
	}
	for r := range members.Roles {
		a.Roles = append(a.Roles, v.describeRole(&members.Roles[r], members.BoundCount(r), names))
	}
	return a
}

// describeRole returns the request of one role in words.
func (v *ClusterView) describeRole(r *gang.Role, bound int, names []string) Role {
	role := Role{Name: r.Name, Pods: r.Count + bound, Requests: map[string]string{}, MinCount: r.MinCount}
	if r.Required >= 0 {
		role.Required = names[r.Required]
	}
	for _, s := range r.Slices {
		role.Slices = append(role.Slices, Slice{Size: s.Size, Level: names[s.Level], Preferred: s.Preferred})
	}
	for c, q := range r.Request {
		if name := v.cluster.Usage().Resources[c]; q > 0 && name != string(v1.ResourcePods) {
			role.Requests[name] = FormatQuantity(name, q)
		}
	}
	return role
}
