// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/shim"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// Clients read a live cluster. They need to list nodes, pods and pod groups of
// all namespaces: whoever holds a node decides what fits on it.
type Clients struct {
	Typed   kubernetes.Interface
	Dynamic dynamic.Interface
	// AutoGangNamespaces are those whose pods are gangs of their workloads
	// without being asked to. Workloads are read only where gangs need them.
	AutoGangNamespaces []string
}

// NewClients returns clients that call themselves agent.
func NewClients(cfg *rest.Config, agent string) (Clients, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.UserAgent = -1, agent
	untyped, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return Clients{}, err
	}
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	typed, err := kubernetes.NewForConfig(cfg)
	return Clients{Typed: typed, Dynamic: untyped}, err
}

// ReadCluster takes a snapshot of a live cluster. Lists are read side by side;
// workloads last, since the pods say which are needed.
func ReadCluster(ctx context.Context, c Clients) (*Snapshot, error) {
	absent, err := c.absentKinds()
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Header: Header{Taken: metav1.Time{Time: time.Now().Truncate(time.Second)}, Absent: absent}}
	tasks, together := errgroup.WithContext(ctx)
	tasks.Go(func() error { return s.readNodes(together, c) })
	tasks.Go(func() error { return s.readPods(together, c) })
	tasks.Go(func() error { return s.readDevices(together, c) })
	var mu sync.Mutex // guards the groups
	for _, kind := range dialect.Kinds() {
		if !slices.Contains(absent, kind.GroupVersion().String()) {
			tasks.Go(func() error { return s.readGroups(together, c, kind, &mu) })
		}
	}
	if err := tasks.Wait(); err != nil {
		return nil, err
	}
	workloads, err := c.workloadKinds(s.allPods(), nil)
	if err != nil {
		return nil, err
	}
	for _, kind := range workloads {
		if err := s.readGroups(ctx, c, kind, &mu); err != nil {
			return nil, err
		}
	}
	s.sortObjects()
	return s, nil
}

// workloadKinds returns the kinds of workload behind gangs of these pods, as
// far as they are served and not known already.
func (c Clients) workloadKinds(pods []*v1.Pod, known map[schema.GroupVersionResource]bool) ([]schema.GroupVersionResource, error) {
	var all []schema.GroupVersionResource
	for _, kind := range c.members(pods).Workloads() {
		if known[kind] {
			continue
		}
		served, err := shim.Serves(c.Typed.Discovery(), kind)
		if err != nil {
			return nil, fmt.Errorf("asking the API server whether it serves %s: %w", kind.GroupResource(), err)
		}
		if served {
			all = append(all, kind)
		}
	}
	return all, nil
}

// readNodes reads all nodes.
func (s *Snapshot) readNodes(ctx context.Context, c Clients) error {
	nodes, err := c.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return describeListError("nodes", err)
	}
	for i := range nodes.Items {
		s.Nodes = append(s.Nodes, StripNode(&nodes.Items[i]))
	}
	return nil
}

// readPods reads the pods of all namespaces that have not ended: pods of every
// namespace hold resources. Those that have finished count in their gangs.
func (s *Snapshot) readPods(ctx context.Context, c Clients) error {
	pods, err := c.Typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: kube.SelectNotEnded})
	if err != nil {
		return describeListError("pods", err)
	}
	for i := range pods.Items {
		s.Pods = append(s.Pods, StripPod(&pods.Items[i]))
	}
	return s.readFinished(ctx, c)
}

// readGroups reads one kind of group. mu guards Groups, since kinds are read
// side by side.
func (s *Snapshot) readGroups(ctx context.Context, c Clients, kind schema.GroupVersionResource, mu *sync.Mutex) error {
	groups, err := c.Dynamic.Resource(kind).List(ctx, metav1.ListOptions{})
	if err != nil {
		return describeListError(kind.GroupResource().String(), err)
	}
	return groups.EachListItem(func(o runtime.Object) error {
		group := StripGroup(o.(*unstructured.Unstructured))
		mu.Lock()
		defer mu.Unlock()
		s.Groups = append(s.Groups, group)
		return nil
	})
}

// absentKinds returns the kinds of pod group that the API server does not
// serve.
func (c Clients) absentKinds() ([]string, error) {
	var absent []string
	for _, kind := range dialect.Kinds() {
		served, err := shim.Serves(c.Typed.Discovery(), kind)
		if err != nil {
			return nil, fmt.Errorf("asking the API server which pod groups it serves: %w", err)
		}
		if !served {
			absent = append(absent, kind.GroupVersion().String())
		}
	}
	return absent, nil
}

// describeListError adds to an error what to do about a list that is refused.
func describeListError(what string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("listing the %s of all namespaces is not allowed; ask for the ClusterRole in docs/cli.md, or for a snapshot: %w", what, err)
	}
	return fmt.Errorf("listing %s: %w", what, err)
}
