// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// Picture is a cluster at one moment, as the scheduler sees it. It is not safe
// for concurrent use.
type Picture struct {
	// Gangs are in the order of namespace and name.
	Gangs []*Gang

	ladder  kube.Ladder
	cluster *kube.Cluster
	infos   []fwk.NodeInfo
	index   map[string]int // node name to infos
	pods    []*v1.Pod      // those on a node
	gangOf  map[types.UID]*Gang
	planner *placement.Planner
}

// Gang is a gang and its members.
type Gang struct {
	Namespace, Name string
	Dialect         kube.Dialect
	Group           *schedulingapi.PodGroup
	Declaration     *kube.Declaration
	// Spec is what the gang asks for; Invalid, instead, why that cannot be read.
	Spec    *kube.Spec
	Invalid *kube.Invalid
	// Bound members have a node. Waiting ones have none, and Gated ones may
	// not be scheduled before someone removes their scheduling gates.
	Bound, Waiting, Gated []*v1.Pod
}

// NewPicture builds the picture of a cluster from its nodes, all its pods that
// have not ended, and its gangs.
func NewPicture(ladder kube.Ladder, nodes []*v1.Node, pods []*v1.Pod, gangs []dialect.Gang) (*Picture, error) {
	p := &Picture{
		ladder: ladder, cluster: kube.NewCluster(ladder),
		index: make(map[string]int, len(nodes)), gangOf: map[types.UID]*Gang{},
	}
	for i, node := range nodes {
		info := framework.NewNodeInfo()
		info.SetNode(node)
		p.infos = append(p.infos, info)
		p.index[node.Name] = i
	}
	for _, pod := range pods {
		if i, ok := p.index[pod.Spec.NodeName]; ok {
			p.infos[i].(*framework.NodeInfo).AddPod(pod)
			p.pods = append(p.pods, pod)
		}
	}
	if err := p.cluster.Update(p.infos); err != nil {
		return nil, fmt.Errorf("reading the nodes: %w", err)
	}
	p.keepUp()
	for _, g := range gangs {
		p.Gangs = append(p.Gangs, p.gang(g))
	}
	slices.SortStableFunc(p.Gangs, func(a, b *Gang) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return p, nil
}

// SetSharing gives the picture the scheduler's policy for plain requests for
// GPUs. Ask nothing before.
func (p *Picture) SetSharing(policy kube.Sharing) { p.cluster.Sharing = policy }

func (p *Picture) gang(d dialect.Gang) *Gang {
	g := &Gang{Namespace: d.Group.Namespace, Group: d.Group, Declaration: d.Declaration}
	g.Dialect, g.Name = kube.SplitGroupName(d.Group.Name)
	g.Spec, g.Invalid = kube.ReadSpec(d.Group, d.Declaration, p.ladder)
	for _, pod := range d.Pods {
		switch {
		case pod.Spec.NodeName != "":
			g.Bound = append(g.Bound, pod)
			p.gangOf[pod.UID] = g
		case pod.DeletionTimestamp != nil: // the scheduler passes over it
		case len(pod.Spec.SchedulingGates) > 0:
			g.Gated = append(g.Gated, pod)
		default:
			g.Waiting = append(g.Waiting, pod)
		}
	}
	return g
}

// Find returns the gangs that a user may mean by a name in a namespace: those
// of that name, which may be the name of a workload, else those with pods of a
// workload of that name, else the gang of the pod of that name.
func (p *Picture) Find(namespace, name string) []*Gang {
	var named, ofWorkload, ofPod []*Gang
	for _, g := range p.Gangs {
		if g.Namespace != namespace {
			continue
		}
		if g.Name == name && g.Dialect != kube.DialectConflict || g.FullName() == name ||
			g.Dialect == kube.DialectAuto && strings.HasSuffix(g.Name, "/"+name) {
			named = append(named, g)
		} else if slices.ContainsFunc(g.Members(), func(pod *v1.Pod) bool { return isOf(pod, name) }) {
			ofWorkload = append(ofWorkload, g)
		}
		if slices.ContainsFunc(g.Members(), func(pod *v1.Pod) bool { return pod.Name == name }) {
			ofPod = append(ofPod, g)
		}
	}
	for _, found := range [][]*Gang{named, ofWorkload} {
		if len(found) > 0 {
			return found
		}
	}
	return ofPod
}

// FullName tells the gang from others of its name that are declared in another
// way.
func (g *Gang) FullName() string {
	if g.Dialect == kube.DialectNative {
		return string(kube.DialectNative) + "~" + g.Name
	}
	return g.Group.Name
}

// isOf reports whether a pod belongs to the workload of that name, which may
// stand before its kind and a slash, whatever its gang is called.
func isOf(pod *v1.Pod, name string) bool {
	ref, problem := workload.RefOf(pod)
	return problem == "" && (ref.Workload == name || ref.Kind.DisplayName()+"/"+ref.Workload == name)
}

// Usage is what is free in the cluster. It is valid until the next question.
func (p *Picture) Usage() *topology.Usage {
	_ = p.cluster.Update(p.infos) // the same nodes were taken before
	p.keepUp()
	return p.cluster.Usage()
}

// Node returns a node of the cluster.
func (p *Picture) Node(id topology.NodeID) *v1.Node {
	return p.infos[p.index[p.cluster.Usage().Tree.Nodes[id].Name]].Node()
}

// Members are all members of the gang.
func (g *Gang) Members() []*v1.Pod { return slices.Concat(g.Bound, g.Waiting, g.Gated) }

// Key names a gang across namespaces.
func (g *Gang) Key() string { return g.Namespace + "/" + g.Name }

// MinCount is the number of members that start together, 0 when that cannot be
// read.
func (g *Gang) MinCount() int {
	if g.Spec == nil {
		return 0
	}
	return g.Spec.MinCount
}

// trial is a gang and a cluster that differ from the picture in what is set.
type trial struct {
	// nodes and gone replace nodes and take pods away from the cluster.
	nodes []*v1.Node
	gone  []*v1.Pod
	// spec, waiting and bound are what the gang asks for and who it is.
	spec           *kube.Spec
	waiting, bound []*v1.Pod
}

// trial is the gang as it is.
func (g *Gang) trial() trial { return trial{spec: g.Spec, waiting: g.Waiting, bound: g.Bound} }

// solve asks the engine about a trial. Numbers of nodes in the plan hold for the
// tree of the picture. Where members.Invalid is set, the plan refuses with it.
func (p *Picture) solve(t trial) (*kube.Members, placement.Plan, error) {
	members, err := p.members(t)
	if err != nil {
		return nil, placement.Plan{}, err
	}
	if bad := members.Invalid; bad != nil {
		return members, placement.Plan{Refusal: &placement.Refusal{Reason: placement.InvalidGangSpec, Gang: t.spec.Name, Detail: bad.Message}}, nil
	}
	return members, p.planner.Solve(&members.Gang), nil
}

// keepUp tells the planner what the last update of the cluster changed, so that
// the next answer costs no more than that.
func (p *Picture) keepUp() {
	touched, rebuilt := p.cluster.Touched()
	if p.planner == nil || rebuilt {
		p.planner = placement.NewPlanner(p.cluster.Usage())
		return
	}
	for _, n := range touched {
		p.planner.MarkChanged(n)
	}
}

// members brings the cluster to the state of a trial and reads the gang.
func (p *Picture) members(t trial) (*kube.Members, error) {
	infos := p.infos
	if len(t.nodes)+len(t.gone) > 0 {
		infos = slices.Clone(p.infos)
	}
	fresh := map[int]*framework.NodeInfo{}
	change := func(i int) *framework.NodeInfo {
		if fresh[i] == nil {
			fresh[i] = p.infos[i].Snapshot().(*framework.NodeInfo)
			infos[i] = fresh[i]
		}
		return fresh[i]
	}
	for _, node := range t.nodes {
		change(p.index[node.Name]).SetNode(node)
	}
	for _, pod := range t.gone {
		if i, ok := p.index[pod.Spec.NodeName]; ok {
			if err := change(i).RemovePod(logger, pod); err != nil {
				return nil, err
			}
		}
	}
	members, err := p.cluster.Gang(t.spec, t.waiting, t.bound, infos)
	if err == nil {
		p.keepUp()
	}
	return members, err
}

// logger takes what the scheduler's own types log on the way; nobody reads it.
var logger = klog.Logger{}
