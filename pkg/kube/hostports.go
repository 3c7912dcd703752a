// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// unmodelledPorts is the constraint of pods whose host ports are left to the scheduler's
// own plugin: those of one role differ, or there are too many of them.
const unmodelledPorts = "host ports"

// maxHostPorts is the number of distinct host ports of one gang that are planned.
const maxHostPorts = 64

// hostPort is a port that a pod takes of its node.
type hostPort struct {
	ip, protocol string
	number       int32
}

// hostPortsOf returns the host ports of a pod, sidecars included, each once and in order.
func hostPortsOf(pod *v1.Pod) []hostPort {
	var all []hostPort
	for _, p := range schedutil.GetHostPorts(pod) {
		all = append(all, hostPort{cmp.Or(p.HostIP, fwk.DefaultBindAllHostIP), string(cmp.Or(p.Protocol, v1.ProtocolTCP)), p.HostPort})
	}
	slices.SortFunc(all, func(a, b hostPort) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.ip, b.ip))
	})
	return slices.Compact(all)
}

// conflictsWith reports whether two pods with these ports cannot share a node. The
// address 0.0.0.0 stands for all.
func (p hostPort) conflictsWith(o hostPort) bool {
	sameAddress := p.ip == o.ip || p.ip == fwk.DefaultBindAllHostIP || o.ip == fwk.DefaultBindAllHostIP
	return sameAddress && p.protocol == o.protocol && p.number == o.number
}

// String returns the port as a refusal names it.
func (p hostPort) String() string {
	text := fmt.Sprint(p.number)
	if p.ip != fwk.DefaultBindAllHostIP {
		text = p.ip + ":" + text
	}
	if p.protocol != string(v1.ProtocolTCP) {
		text += "/" + p.protocol
	}
	return text
}

// readPorts notes the host ports of each role, or that they are left to another plugin.
func (m *Members) readPorts() {
	m.ports = make([][]hostPort, len(m.Roles))
	distinct := map[hostPort]bool{}
	for r, pods := range m.Pods {
		for i, pod := range pods {
			ports := hostPortsOf(pod)
			if i > 0 && !slices.Equal(ports, m.ports[r]) {
				m.leavePorts()
				return
			}
			m.ports[r] = ports
		}
		for _, p := range m.ports[r] {
			distinct[p] = true
		}
	}
	m.TakesHostPorts = len(distinct) > 0
	if len(distinct) > maxHostPorts {
		m.leavePorts()
	}
}

func (m *Members) leavePorts() {
	m.ports, m.TakesHostPorts = nil, true
	m.Unmodelled = cmp.Or(m.Unmodelled, unmodelledPorts)
}

// addPorts gives the roles the host ports that their members take, beside the devices
// that they claim.
func (c *Cluster) addPorts(m *Members) {
	var distinct []hostPort
	for _, ports := range m.ports {
		for _, p := range ports {
			if !slices.Contains(distinct, p) {
				distinct = append(distinct, p)
			}
		}
	}
	if len(distinct) == 0 {
		return
	}
	taken := make([]uint64, len(c.nodes))
	for id := range c.nodes {
		used := c.nodes[id].info.GetUsedPorts()
		if len(used) == 0 {
			continue
		}
		for bit, p := range distinct {
			if used.CheckConflict(p.ip, p.protocol, p.number) {
				taken[id] |= 1 << bit
			}
		}
	}
	c.usage.Devices = &nodePorts{others: c.usage.Devices, taken: taken}
	for r, ports := range m.ports {
		if len(ports) == 0 {
			continue
		}
		claims := &portClaims{others: m.Roles[r].Claims, ports: ports}
		for bit, known := range distinct {
			if slices.Contains(ports, known) {
				claims.asks |= 1 << bit
			}
			if slices.ContainsFunc(ports, known.conflictsWith) {
				claims.blocks |= 1 << bit
			}
		}
		m.Roles[r].Claims = claims
	}
}

// nodePorts are the host ports that a gang asks for, each of which one pod of a node has,
// and the other devices that it claims.
type nodePorts struct {
	others topology.Devices // nil for none
	// taken are, by NodeID, those of the gang's ports that a pod there stands against.
	taken []uint64
}

// portState is the ports and the other devices of a node that are taken.
type portState struct {
	taken  uint64
	others topology.DeviceState
}

// portClaims is what one member takes: ports of its node, and other devices.
type portClaims struct {
	others topology.Claims // nil for none
	ports  []hostPort
	// asks are its ports, blocks those that nobody else can have beside it.
	asks, blocks uint64
}

// String returns what is asked for as a refusal names it.
func (c *portClaims) String() string {
	names := make([]string, len(c.ports))
	for i, p := range c.ports {
		names[i] = p.String()
	}
	text := "host port " + names[0]
	if len(names) > 1 {
		text = "host ports " + strings.Join(names, ", ")
	}
	if c.others != nil {
		text = c.others.String() + " or " + text
	}
	return text
}

// BindsModel reports whether the choice of a GPU model binds the member: ports have none.
func (c *portClaims) BindsModel() bool { return c.others != nil }

// withPorts reads claims that may name no port.
func withPorts(c topology.Claims) *portClaims {
	if p, ok := c.(*portClaims); ok {
		return p
	}
	return &portClaims{others: c}
}

// withoutPorts returns what claims name besides ports.
func withoutPorts(c topology.Claims) (claims *dra.Claims, ok bool) {
	if p, isPorts := c.(*portClaims); isPorts {
		c = p.others
	}
	claims, ok = c.(*dra.Claims)
	return claims, ok
}

// StateOf returns what is taken on node n.
func (d *nodePorts) StateOf(n topology.NodeID) topology.DeviceState {
	if d.others == nil {
		return portState{taken: d.taken[n]}
	}
	return portState{d.taken[n], d.others.StateOf(n)}
}

// EmptyStateOf returns the state of node n without pods.
func (d *nodePorts) EmptyStateOf(n topology.NodeID) topology.DeviceState {
	if d.others == nil {
		return portState{}
	}
	return portState{others: d.others.EmptyStateOf(n)}
}

// Fit returns how many more members find what they claim: no more than one where they
// take a port.
func (d *nodePorts) Fit(s topology.DeviceState, c topology.Claims) (members, steps int) {
	state, claims := s.(portState), withPorts(c)
	members = math.MaxInt32
	switch {
	case state.taken&claims.asks != 0:
		return 0, 0
	case claims.asks != 0:
		members = 1
	}
	if claims.others == nil {
		return members, 0
	}
	fitting, steps := d.others.Fit(state.others, claims.others)
	return min(members, fitting), steps
}

// Take returns the state after so many members took what they claim.
func (d *nodePorts) Take(s topology.DeviceState, c topology.Claims, members int) (after topology.DeviceState, ok bool) {
	state, claims := s.(portState), withPorts(c)
	if members > 0 && claims.asks != 0 {
		if members > 1 || state.taken&claims.asks != 0 {
			return nil, false
		}
		state.taken |= claims.blocks
	}
	if claims.others != nil {
		if state.others, ok = d.others.Take(state.others, claims.others, members); !ok {
			return nil, false
		}
	}
	return state, true
}
