// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// takes gives a pod host ports.
func takes(p *v1.Pod, ports ...v1.ContainerPort) *v1.Pod {
	p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, ports...)
	return p
}

// sidecarTakes has a native sidecar of a pod take a host port.
func sidecarTakes(p *v1.Pod, number int32) *v1.Pod {
	p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{
		Name: "log", RestartPolicy: new(v1.ContainerRestartPolicyAlways), Ports: []v1.ContainerPort{{HostPort: number}},
	})
	return p
}

// initTakes has an init container, which ends before the others start, take a port.
func initTakes(p *v1.Pod, number int32) *v1.Pod {
	p.Spec.InitContainers = append(p.Spec.InitContainers, v1.Container{Name: "prepare", Ports: []v1.ContainerPort{{HostPort: number}}})
	return p
}

// planned returns the nodes that waiting pods get on nodes, "" and why if they get none.
func planned(t *testing.T, c *Cluster, waiting []*v1.Pod, on ...*v1.Node) ([]string, *placement.Refusal, *Members) {
	t.Helper()
	m, err := c.ReadGang(&Spec{Name: "train", MinCount: len(waiting), Required: topology.NoLevel, Preferred: topology.NoLevel}, waiting, nil, infos(on...))
	require.NoError(t, err)
	return solved(t, c, m)
}

func solved(t *testing.T, c *Cluster, m *Members) ([]string, *placement.Refusal, *Members) {
	t.Helper()
	require.Nil(t, m.Invalid)
	plan := c.Solve(placement.NewPlanner(c.Usage()), m)
	require.NoError(t, placement.Check(c.Usage(), &m.Gang, plan))
	var names []string
	for _, pods := range plan.Nodes {
		for _, n := range pods {
			names = append(names, c.Usage().Tree.Nodes[n].Name)
		}
	}
	return names, plan.Refusal, m
}

func TestHostPorts_OfOneRoleAreOnOneNodeEach(t *testing.T) {
	port := v1.ContainerPort{HostPort: 80}
	for _, test := range []struct {
		name  string
		pods  func(int) *v1.Pod
		hosts int
	}{
		{"none", func(i int) *v1.Pod { return pod(fmt.Sprint("p-", i), 1) }, 1},
		{"a port", func(i int) *v1.Pod { return takes(pod(fmt.Sprint("p-", i), 1), port) }, 3},
		{"a port of a sidecar", func(i int) *v1.Pod { return sidecarTakes(pod(fmt.Sprint("p-", i), 1), 80) }, 3},
		{"a port of a container that ends first", func(i int) *v1.Pod { return initTakes(pod(fmt.Sprint("p-", i), 1), 80) }, 1},
		{"a port of the pod alone", func(i int) *v1.Pod { return takes(pod(fmt.Sprint("p-", i), 1), v1.ContainerPort{ContainerPort: 80}) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			names, refusal, m := planned(t, NewCluster(DefaultLevels()), []*v1.Pod{test.pods(0), test.pods(1), test.pods(2)},
				node("n1", "r1", 8), node("n2", "r1", 8), node("n3", "r1", 8))
			require.Nil(t, refusal)
			assert.Empty(t, m.Unmodelled)
			hosts := map[string]bool{}
			for _, name := range names {
				hosts[name] = true
			}
			assert.Len(t, hosts, test.hosts)
		})
	}
}

// The rules are those of kube-scheduler's NodePorts: 0.0.0.0 stands for every address.
func TestHostPorts_StandAgainstThoseOfPodsThatRun(t *testing.T) {
	for _, test := range []struct {
		name        string
		runs, waits v1.ContainerPort
		free        bool
	}{
		{"the same port", v1.ContainerPort{HostPort: 80}, v1.ContainerPort{HostPort: 80}, false},
		{"another port", v1.ContainerPort{HostPort: 81}, v1.ContainerPort{HostPort: 80}, true},
		{"another protocol", v1.ContainerPort{HostPort: 80, Protocol: v1.ProtocolUDP}, v1.ContainerPort{HostPort: 80}, true},
		{"the default protocol, spelled out", v1.ContainerPort{HostPort: 80, Protocol: v1.ProtocolTCP}, v1.ContainerPort{HostPort: 80}, false},
		{"one address against all", v1.ContainerPort{HostPort: 80, HostIP: "127.0.0.1"}, v1.ContainerPort{HostPort: 80}, false},
		{"all against one address", v1.ContainerPort{HostPort: 80, HostIP: "0.0.0.0"}, v1.ContainerPort{HostPort: 80, HostIP: "127.0.0.1"}, false},
		{"two addresses", v1.ContainerPort{HostPort: 80, HostIP: "127.0.0.1"}, v1.ContainerPort{HostPort: 80, HostIP: "10.0.0.1"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, nodes := NewCluster(DefaultLevels()), infos(node("n1", "r1", 8))
			place(t, nodes[0], takes(pod("runs", 0), test.runs))
			m, err := c.ReadGang(&Spec{Name: "train", MinCount: 1, Required: topology.NoLevel, Preferred: topology.NoLevel},
				[]*v1.Pod{takes(pod("p-0", 1), test.waits)}, nil, nodes)
			require.NoError(t, err)
			_, refusal, _ := solved(t, c, m)
			assert.Equal(t, test.free, refusal == nil)
			if refusal != nil {
				assert.Equal(t, placement.NoFittingDomain, refusal.Reason, "it may be free again")
				assert.Regexp(t, `short of host port (127.0.0.1:)?80`, refusal.Error())
			}
		})
	}
}

// The port of a role keeps another one off its node only where both ask for the same.
func TestHostPorts_OfTwoRolesShareANodeWhereTheyDiffer(t *testing.T) {
	first, second := func(port int32) *v1.Pod { return takes(pod("a-0", 1), v1.ContainerPort{HostPort: port}) }, takes(pod("b-0", 2), v1.ContainerPort{HostPort: 80})
	n := node("n1", "r1", 8)
	_, refusal, _ := planned(t, NewCluster(DefaultLevels()), []*v1.Pod{first(81), second}, n)
	assert.Nil(t, refusal)
	_, refusal, _ = planned(t, NewCluster(DefaultLevels()), []*v1.Pod{first(80), second}, n)
	assert.NotNil(t, refusal)
}

func TestHostPorts_AreLeftToTheSchedulerWherePodsOfOneRoleDiffer(t *testing.T) {
	differing := []*v1.Pod{takes(pod("p-0", 1), v1.ContainerPort{HostPort: 80}), takes(pod("p-1", 1), v1.ContainerPort{HostPort: 81})}
	_, refusal, m := planned(t, NewCluster(DefaultLevels()), differing, node("n1", "r1", 8))
	assert.Nil(t, refusal)
	assert.Equal(t, "host ports", m.Unmodelled)

	many := pod("p-0", 1)
	for i := range int32(maxHostPorts + 1) {
		takes(many, v1.ContainerPort{HostPort: 80 + i})
	}
	_, refusal, m = planned(t, NewCluster(DefaultLevels()), []*v1.Pod{many}, node("n1", "r1", 8))
	assert.Nil(t, refusal)
	assert.Equal(t, "host ports", m.Unmodelled)
}

func TestHostPorts_TellClassesApart(t *testing.T) {
	class := func(port int32) string {
		_, _, m := planned(t, NewCluster(DefaultLevels()), []*v1.Pod{takes(pod("p-0", 1), v1.ContainerPort{HostPort: port})}, node("n1", "r1", 8))
		return m.EquivalenceClass()
	}
	assert.Equal(t, class(80), class(80))
	assert.NotEqual(t, class(80), class(81))
}

// A role without GPUs takes a port on any node, whatever model the gang asks for.
func TestHostPorts_BindNoModel(t *testing.T) {
	assert.False(t, topology.BindsModel(nil))
	assert.False(t, topology.BindsModel(&portClaims{}))
	assert.True(t, topology.BindsModel(&portClaims{others: &dra.Claims{}}), "devices have a model")
	assert.True(t, topology.BindsModel(&dra.Claims{}))
}

// twoEach are devices of which each node has two, and each member takes one.
type twoEach struct{}

func (twoEach) StateOf(topology.NodeID) topology.DeviceState      { return 2 }
func (twoEach) EmptyStateOf(topology.NodeID) topology.DeviceState { return 2 }
func (twoEach) Fit(s topology.DeviceState, _ topology.Claims) (members, steps int) {
	return s.(int), 1
}
func (twoEach) Take(s topology.DeviceState, _ topology.Claims, members int) (topology.DeviceState, bool) {
	return s.(int) - members, s.(int) >= members
}

func TestHostPorts_StandBesideDevices(t *testing.T) {
	d := &nodePorts{others: twoEach{}, taken: []uint64{0, 1}}
	plain, ported := &dra.Claims{}, &portClaims{others: &dra.Claims{}, ports: []hostPort{{"0.0.0.0", "TCP", 80}}, asks: 1, blocks: 1}
	fit := func(s topology.DeviceState, c topology.Claims) int {
		members, _ := d.Fit(s, c)
		return members
	}
	assert.Equal(t, 2, fit(d.StateOf(0), plain))
	assert.Equal(t, 1, fit(d.StateOf(0), ported), "one port")
	assert.Equal(t, 2, fit(d.StateOf(1), plain), "who takes no port does not mind")
	assert.Equal(t, 0, fit(d.StateOf(1), ported))
	assert.Equal(t, 1, fit(d.EmptyStateOf(1), ported))

	after, ok := d.Take(d.StateOf(0), ported, 1)
	require.True(t, ok)
	assert.Equal(t, 0, fit(after, ported))
	assert.Equal(t, 1, fit(after, plain), "a device is left")
	_, ok = d.Take(after, ported, 1)
	assert.False(t, ok)
	_, ok = d.Take(after, plain, 2)
	assert.False(t, ok)
}
