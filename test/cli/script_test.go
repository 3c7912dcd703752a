// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli_test runs the command muster as a user types it. Each page of
// testdata/script holds the files, the commands and what they print. The
// clusters on a page are drawn as package topology reads them; the commands
// below turn a drawing into a snapshot.
package cli_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/cmd/muster/cli"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/manifest"
	"github.com/muster-scheduler/muster/pkg/snapshot"
	"github.com/muster-scheduler/muster/pkg/topology"
	"github.com/muster-scheduler/muster/test/process"
)

var update = flag.Bool("update", false, "write what the commands print into the pages")

func TestMain(m *testing.M) {
	process.Main(func() int {
		run := func() { os.Exit(cli.Run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr)) }
		testscript.Main(m, map[string]func(){"muster": run, "kubectl-muster": run, "kubectl_complete-muster": run})
		return 0 // testscript has ended the process
	})
}

func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("KUBECONFIG", filepath.Join(env.WorkDir, "no-such-kubeconfig"))
			env.Setenv("REPO", repo)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster": drawCluster, "run": runWorkload, "queue": queueWorkload, "taint": taintNode,
		},
	})
}

// taken is the moment of every snapshot on a page.
var taken = metav1.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// drawCluster: cluster DIR DRAWING writes a snapshot of a drawn cluster. GPUs
// that are not free are held by a pod called busy-NODE.
func drawCluster(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: cluster DIR DRAWING")
	}
	tree, usage, err := topology.ParseUsage(ts.ReadFile(args[1]))
	ts.Check(err)
	s := &snapshot.Snapshot{Header: snapshot.Header{Taken: taken}}
	for i := range tree.Nodes {
		node, busy := drawn(usage, topology.NodeID(i))
		s.Nodes = append(s.Nodes, node)
		if busy != nil {
			s.Pods = append(s.Pods, busy)
		}
	}
	ts.Check(s.Write(ts.MkAbs(args[0])))
}

// drawn makes the node and the pod that holds what is taken of it.
func drawn(u *topology.Usage, n topology.NodeID) (*v1.Node, *v1.Pod) {
	known := u.Tree.Nodes[n]
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: known.Name, Labels: map[string]string{v1.LabelHostname: known.Name}}}
	if known.Model != "" {
		node.Labels[kube.LabelGPUProduct] = known.Model
	}
	for l, domain := range known.Domains {
		level, err := kube.DefaultLevels().FindLevel(u.Tree.Levels[l])
		if err != nil {
			panic(err)
		}
		if domain != "" {
			node.Labels[kube.DefaultLevels()[level].Keys[0]] = domain
		}
	}
	offers := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("128"), v1.ResourceMemory: resource.MustParse("1Ti"), v1.ResourcePods: resource.MustParse("110"),
	}
	taken := v1.ResourceList{}
	for c, name := range u.Resources {
		offers[v1.ResourceName(name)] = *resource.NewQuantity(u.CapacityRow(n)[c], resource.DecimalSI)
		if used := u.CapacityRow(n)[c] - u.FreeRow(n)[c]; used > 0 {
			taken[v1.ResourceName(name)] = *resource.NewQuantity(used, resource.DecimalSI)
		}
	}
	node.Status = v1.NodeStatus{Capacity: offers, Allocatable: offers}
	node.Spec.Unschedulable = u.Cordoned != nil && u.Cordoned[n]
	if len(taken) == 0 {
		return node, nil
	}
	busy := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "busy-" + known.Name, Namespace: "other", UID: snapshot.SyntheticUID("other", known.Name)},
		Spec:       v1.PodSpec{NodeName: known.Name, Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: taken}}}},
		Status:     v1.PodStatus{Phase: v1.PodRunning},
	}
	return node, busy
}

// runWorkload: run DIR MANIFEST... starts workloads an hour before the snapshot,
// where Muster would place them.
func runWorkload(ts *testscript.TestScript, _ bool, args []string) {
	addWorkload(ts, args, func(s *snapshot.Snapshot, m *manifest.Manifest) {
		seats := map[string]string{}
		p, err := explain.NewClusterView(explain.Config{}, s.Nodes, s.Pods, s.Gangs("muster"))
		ts.Check(err)
		for _, pod := range m.Pods {
			if _, ok := seats[pod.Name]; ok {
				continue
			}
			o, err := p.PreviewPlacement(pod)
			ts.Check(err)
			if !o.Fits {
				ts.Fatalf("run: %s", o.Message)
			}
			for _, seat := range o.Pods {
				seats[seat.Pod] = seat.Node
			}
		}
		for _, pod := range m.Pods {
			pod.CreationTimestamp = metav1.Time{Time: taken.Add(-time.Hour)}
			pod.Spec.NodeName = seats[pod.Name]
			pod.Status.Conditions = []v1.PodCondition{{
				Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: metav1.Time{Time: taken.Add(-59 * time.Minute)},
			}}
			if pod.Spec.NodeName != "" {
				pod.Status.Phase = v1.PodRunning
			}
		}
	})
}

// queueWorkload: queue DIR MANIFEST... creates workloads five minutes before
// the snapshot and leaves them waiting.
func queueWorkload(ts *testscript.TestScript, _ bool, args []string) {
	addWorkload(ts, args, func(_ *snapshot.Snapshot, m *manifest.Manifest) {
		for _, pod := range m.Pods {
			pod.CreationTimestamp = metav1.Time{Time: taken.Add(-5 * time.Minute)}
		}
	})
}

func addWorkload(ts *testscript.TestScript, args []string, change func(*snapshot.Snapshot, *manifest.Manifest)) {
	if len(args) < 2 {
		ts.Fatalf("usage: run|queue DIR MANIFEST...")
	}
	dir := ts.MkAbs(args[0])
	for _, file := range args[1:] {
		s, err := snapshot.LoadFolder(dir)
		ts.Check(err)
		m, err := manifest.Parse([]byte(ts.ReadFile(file)), "default", nil)
		ts.Check(err)
		s.Pods, s.Groups = append(s.Pods, m.Pods...), append(s.Groups, m.Groups...)
		change(s, m)
		ts.Check(s.Write(dir))
	}
}

// taintNode: taint DIR NODE KEY=VALUE:EFFECT taints a node.
func taintNode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: taint DIR NODE KEY=VALUE:EFFECT")
	}
	s, err := snapshot.LoadFolder(ts.MkAbs(args[0]))
	ts.Check(err)
	what, effect, _ := strings.Cut(args[2], ":")
	key, value, _ := strings.Cut(what, "=")
	for _, node := range s.Nodes {
		if node.Name == args[1] {
			node.Spec.Taints = append(node.Spec.Taints, v1.Taint{Key: key, Value: value, Effect: v1.TaintEffect(effect)})
		}
	}
	ts.Check(s.Write(ts.MkAbs(args[0])))
}
