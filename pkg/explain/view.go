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
	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/topology"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// ClusterView is a cluster at one moment as the scheduler sees it. It is not
// safe for concurrent use: each question reuses the memory of the one before.
type ClusterView struct {
	// Gangs are in the order of namespace and name.
	Gangs []*Gang

	levels  kube.Levels
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
	// Place is the gang's place in the queue, 1 for the first; 0 for one that
	// does not wait. See queue.Key; the order of arrival within one second is
	// known to the scheduler only.
	Place int
	// Bound members have a node. Waiting ones have none, and Gated ones may
	// not be scheduled before someone removes their scheduling gates.
	Bound, Waiting, Gated []*v1.Pod
	// Later members wait until another run under the gang's name has ended.
	Later []*v1.Pod
	// Terminating pods are no members any more; those with a node still hold
	// what they asked for.
	Terminating []*v1.Pod
}

// Config is what a picture depends on of the scheduler's configuration.
type Config struct {
	// Levels are the topology levels, widest first; none for the default.
	Levels kube.Levels
	// Sharing is the policy for plain requests for GPUs.
	Sharing kube.Sharing
	// Devices are those that drivers publish; nil where nothing is known of them, so
	// that what pods claim is left to the scheduler.
	Devices dra.Source
}

// ConfigOf takes what a picture depends on out of the settings of a scheduler.
func ConfigOf(s config.Settings) Config { return Config{Levels: s.Levels, Sharing: s.Sharing} }

// NewClusterView returns the view of a cluster with its nodes, all its pods that
// have not ended, and its gangs.
func NewClusterView(cfg Config, nodes []*v1.Node, pods []*v1.Pod, gangs []dialect.Gang) (*ClusterView, error) {
	if len(cfg.Levels) == 0 {
		cfg.Levels = kube.DefaultLevels()
	}
	p := &ClusterView{
		levels: cfg.Levels, cluster: kube.NewCluster(cfg.Levels),
		index: make(map[string]int, len(nodes)), gangOf: map[types.UID]*Gang{},
	}
	p.cluster.Sharing = cfg.Sharing
	if cfg.Devices != nil {
		p.cluster.CountDevices(cfg.Devices)
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
	if err := p.cluster.UpdateNodes(p.infos); err != nil {
		return nil, fmt.Errorf("reading the nodes: %w", err)
	}
	p.updatePlanner()
	for _, g := range gangs {
		p.Gangs = append(p.Gangs, p.readGang(g))
	}
	slices.SortStableFunc(p.Gangs, func(a, b *Gang) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	p.numberPlaces()
	return p, nil
}

// readGang reads the declaration of a gang and sorts its pods by state.
func (v *ClusterView) readGang(d dialect.Gang) *Gang {
	g := &Gang{Namespace: d.Group.Namespace, Group: d.Group, Declaration: d.Declaration}
	g.Dialect, g.Name = kube.SplitGroupName(d.Group.Name)
	g.Spec, g.Invalid = kube.ReadSpec(d.Group, d.Declaration, v.levels)
	for _, pod := range d.Pods {
		if pod.Spec.NodeName != "" {
			v.gangOf[pod.UID] = g
		}
		switch kube.MemberStateOf(pod) {
		case kube.MemberTerminating:
			g.Terminating = append(g.Terminating, pod)
		case kube.MemberBound:
			g.Bound = append(g.Bound, pod)
		case kube.MemberGated:
			g.Gated = append(g.Gated, pod)
		case kube.MemberWaiting:
			if d.Declaration.Runs.IsLater(pod) {
				g.Later = append(g.Later, pod)
			} else {
				g.Waiting = append(g.Waiting, pod)
			}
		case kube.MemberFinished, kube.MemberFailed: // its minimum leaves them out
		}
	}
	return g
}

// FindGangs returns the gangs that a user may mean by a name in a namespace:
// those of that name, which may be the name of a workload, else those with pods
// of a workload of that name, else the gang of the pod of that name.
func (v *ClusterView) FindGangs(namespace, name string) []*Gang {
	var named, ofWorkload, ofPod []*Gang
	for _, g := range v.Gangs {
		if g.Namespace != namespace {
			continue
		}
		if g.Name == name && g.Dialect != kube.DialectConflict || g.FullName() == name ||
			g.Dialect == kube.DialectAuto && strings.HasSuffix(g.Name, "/"+name) {
			named = append(named, g)
		} else if slices.ContainsFunc(g.allPods(), func(pod *v1.Pod) bool { return isOfWorkload(pod, name) || kube.ChildGroupOf(pod) == name }) {
			ofWorkload = append(ofWorkload, g)
		}
		if slices.ContainsFunc(g.allPods(), func(pod *v1.Pod) bool { return pod.Name == name }) {
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

// FullName returns a name that no gang declared in another way has.
func (g *Gang) FullName() string {
	if g.Dialect == kube.DialectNative {
		return string(kube.DialectNative) + "~" + g.Name
	}
	return g.Group.Name
}

// isOfWorkload reports whether a pod belongs to the workload of that name,
// which may follow its kind and a slash, whatever its gang is called.
func isOfWorkload(pod *v1.Pod, name string) bool {
	ref, problem := workload.RefOf(pod)
	return problem == "" && (ref.Workload == name || ref.Kind.DisplayName()+"/"+ref.Workload == name)
}

// Usage returns the free resources of the cluster. It is valid until the next
// call of a method.
func (v *ClusterView) Usage() *topology.Usage {
	_ = v.cluster.UpdateNodes(v.infos) // the same nodes were taken before
	v.updatePlanner()
	return v.cluster.Usage()
}

// Node returns a node of the cluster.
func (v *ClusterView) Node(id topology.NodeID) *v1.Node {
	return v.infos[v.index[v.cluster.Usage().Tree.Nodes[id].Name]].Node()
}

// Members returns all members of the gang.
func (g *Gang) Members() []*v1.Pod { return slices.Concat(g.Bound, g.Waiting, g.Gated, g.Later) }

// allPods are the members, and the pods of the gang that terminate.
func (g *Gang) allPods() []*v1.Pod { return slices.Concat(g.Members(), g.Terminating) }

// Key returns a name that is unique across namespaces.
func (g *Gang) Key() string { return g.Namespace + "/" + g.Name }

// MinCount returns the number of members that start together, 0 when that
// cannot be read.
func (g *Gang) MinCount() int {
	if g.Spec == nil {
		return 0
	}
	return g.Spec.MinCount
}

// scenario is a gang and a cluster that differ from the view in what is set.
type scenario struct {
	// nodes replace nodes of the cluster, and deleted pods are taken off it.
	nodes   []*v1.Node
	deleted []*v1.Pod
	// spec, waiting and bound are what the gang asks for and who it is.
	spec           *kube.Spec
	waiting, bound []*v1.Pod
}

// currentScenario returns the gang as it is.
func (g *Gang) currentScenario() scenario {
	return scenario{spec: g.Spec, waiting: g.Waiting, bound: g.Bound}
}

// solveScenario asks the engine about a scenario. Numbers of nodes in the plan
// hold for the tree of the view. Where members.Invalid is set, the plan refuses
// with it.
func (v *ClusterView) solveScenario(t scenario) (*kube.Members, placement.Plan, error) {
	members, err := v.scenarioMembers(t)
	if err != nil {
		return nil, placement.Plan{}, err
	}
	if bad := members.Invalid; bad != nil {
		return members, placement.Plan{Refusal: &placement.Refusal{Reason: placement.InvalidGangSpec, Gang: t.spec.Name, Detail: bad.Message}}, nil
	}
	return members, v.cluster.Solve(v.planner, members), nil
}

// updatePlanner tells the planner what the last update of the cluster changed,
// so that the next answer costs no more than that.
func (v *ClusterView) updatePlanner() {
	touched, rebuilt := v.cluster.TouchedNodes()
	if v.planner == nil || rebuilt {
		v.planner = placement.NewPlanner(v.cluster.Usage())
		return
	}
	for _, n := range touched {
		v.planner.MarkChanged(n)
	}
}

// scenarioMembers brings the cluster to the state of a scenario and reads the
// gang. Nodes that change are copied first, so that the view stays as it is.
func (v *ClusterView) scenarioMembers(t scenario) (*kube.Members, error) {
	infos := v.infos
	if len(t.nodes)+len(t.deleted) > 0 {
		infos = slices.Clone(v.infos)
	}
	fresh := map[int]*framework.NodeInfo{}
	change := func(i int) *framework.NodeInfo {
		if fresh[i] == nil {
			fresh[i] = v.infos[i].Snapshot().(*framework.NodeInfo)
			infos[i] = fresh[i]
		}
		return fresh[i]
	}
	for _, node := range t.nodes {
		change(v.index[node.Name]).SetNode(node)
	}
	for _, pod := range t.deleted {
		if i, ok := v.index[pod.Spec.NodeName]; ok {
			if err := change(i).RemovePod(logger, pod); err != nil {
				return nil, err
			}
		}
	}
	members, err := v.cluster.ReadGang(t.spec, t.waiting, t.bound, infos)
	if err == nil {
		v.updatePlanner()
	}
	return members, err
}

// logger takes what the scheduler's own types log on the way; nobody reads it.
var logger = klog.Logger{}
