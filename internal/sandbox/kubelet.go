// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	_ "embed"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/kwok/kustomize/stage/node/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/config/resources"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
	"sigs.k8s.io/kwok/pkg/utils/informer"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
)

// RunSecondsAnnotation on a pod says how long it runs before it succeeds, in
// seconds as a decimal number, e.g. "12.5". A pod without it, or with
// something else in it, runs until it is deleted.
const RunSecondsAnnotation = "sandbox.muster.sh/run-seconds"

//go:embed stages/pod-start.yaml
var podStartStage string

//go:embed stages/pod-finish.yaml
var podFinishStage string

// playParallelism is how many status patches are in flight at once.
const playParallelism = 8

// kubelets plays every node's kubelet. kwok's controllers write what happens
// to a pod or node (their stages are in stages/); four things are our own:
//
//   - The watch. kwok's would list each new node's pods, 1,000 lists for 1,000
//     nodes, and hold a second copy of every pod. Ours feeds kwok only the
//     events that a stage can act on: kwok turns every pod that it gets
//     into JSON and queries it.
//   - Admission (admission.go). A stage sees one pod; whether it fits depends
//     on the others of its node. The stage calls rejectionOf.
//   - Claims (claims.go). A pod starts when its devices are allocated to it.
//   - Deletion (podend.go). kwok deletes by name alone; a pod created meanwhile
//     under the same name would be killed. Pods of nodes that are gone are
//     collected beside that (orphans.go).
type kubelets struct {
	admission *admission
	claims    *claimGate
	endings   *podEndings
	pods      chan informer.Event[*v1.Pod]
	nodes     chan informer.Event[*v1.Node]
}

// startKubelets starts the kubelets of all nodes, those to come included. There
// are no heartbeats: no node-lifecycle controller looks at them, and a node
// stays as Ready as it was created.
func (b *background) startKubelets(ctx context.Context, stopSeconds float64) error {
	claims := b.informers.Resource().V1().ResourceClaims()
	k := &kubelets{
		admission: newAdmission(),
		claims:    newClaimGate(claims.Lister()),
		endings:   newPodEndings(b.client, stopSeconds),
		pods:      make(chan informer.Event[*v1.Pod]),
		nodes:     make(chan informer.Event[*v1.Node]),
	}
	ctx = log.NewContext(ctx, log.NewLogger(b.logTo, log.LevelWarn))
	if err := k.startPlayers(ctx, b.client); err != nil {
		return err
	}
	b.run(k.endings.run)
	b.run(newOrphanCollector(b.informers, k.endings).run)

	nodes := b.informers.Core().V1().Nodes().Informer()
	if _, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { k.onNodeUpsert(ctx, obj.(*v1.Node)) },
		UpdateFunc: func(_, obj any) { k.onNodeUpsert(ctx, obj.(*v1.Node)) },
		DeleteFunc: func(obj any) { k.admission.dropNode(lastState[*v1.Node](obj).Name) },
	}); err != nil {
		return err
	}
	if _, err := claims.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { k.onClaimUpsert(ctx, obj.(*resourceapi.ResourceClaim)) },
		UpdateFunc: func(_, obj any) { k.onClaimUpsert(ctx, obj.(*resourceapi.ResourceClaim)) },
	}); err != nil {
		return err
	}
	pods := b.informers.Core().V1().Pods().Informer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { k.onPodUpsert(ctx, nil, obj.(*v1.Pod)) },
		UpdateFunc: func(old, obj any) { k.onPodUpsert(ctx, old.(*v1.Pod), obj.(*v1.Pod)) },
		DeleteFunc: func(obj any) { k.onPodDelete(ctx, lastState[*v1.Pod](obj)) },
	})
	return err
}

// startPlayers starts kwok's controllers on the channels that k feeds.
func (k *kubelets) startPlayers(ctx context.Context, client kubernetes.Interface) error {
	podStages, err := parseStages(podStartStage, podFinishStage)
	if err != nil {
		return err
	}
	pods, err := controllers.NewPodController(controllers.PodControllerConfig{
		TypedClient:          client,
		NodeGetFunc:          func(string) (*controllers.NodeInfo, bool) { return nil, true },
		Lifecycle:            podStages,
		PlayStageParallelism: playParallelism,
		FuncMap:              gotpl.FuncMap{"Rejection": k.admission.rejectionOf},
	})
	if err != nil {
		return err
	}
	nodeStages, err := parseStages(fast.DefaultNodeInit)
	if err != nil {
		return err
	}
	nodes, err := controllers.NewNodeController(controllers.NodeControllerConfig{
		TypedClient:          client,
		Lifecycle:            nodeStages,
		PlayStageParallelism: playParallelism,
	})
	if err != nil {
		return err
	}
	if err := nodes.Start(ctx, k.nodes); err != nil {
		return err
	}
	return pods.Start(ctx, k.pods)
}

// parseStages reads kwok stages from YAML.
func parseStages(manifests ...string) (resources.Getter[lifecycle.Lifecycle], error) {
	var all []*internalversion.Stage
	for _, manifest := range manifests {
		stage, err := config.UnmarshalWithType[*internalversion.Stage](manifest)
		if err != nil {
			return nil, fmt.Errorf("read a stage: %w", err)
		}
		all = append(all, stage)
	}
	cycle, err := lifecycle.NewLifecycle(all)
	if err != nil {
		return nil, err
	}
	return resources.NewStaticGetter(cycle), nil
}

// onNodeUpsert admits pods that were bound before their node was seen, and has
// a node initialized that was created without a status, e.g. with kubectl.
func (k *kubelets) onNodeUpsert(ctx context.Context, node *v1.Node) {
	if !hasReadyCondition(node) {
		sendEvent(ctx, k.nodes, informer.Event[*v1.Node]{Type: informer.Added, Object: node})
		return // its allocatable is not known yet
	}
	for _, pod := range k.admission.setNode(ctx, node) {
		k.startPod(ctx, pod)
	}
}

// onClaimUpsert starts the pods that have waited for a claim.
func (k *kubelets) onClaimUpsert(ctx context.Context, claim *resourceapi.ResourceClaim) {
	for _, pod := range k.claims.readyPods(claim.Namespace) {
		sendEvent(ctx, k.pods, informer.Event[*v1.Pod]{Type: informer.Modified, Object: pod})
	}
}

// startPod has a pod start that was decided upon, or fail if it was rejected.
// One that has to wait for a claim is left alone.
func (k *kubelets) startPod(ctx context.Context, pod *v1.Pod) {
	node := k.admission.nodeOf(pod)
	if node != nil && k.admission.rejectionOf(string(pod.UID)) == nil && k.claims.holdPod(pod, node) {
		return
	}
	sendEvent(ctx, k.pods, informer.Event[*v1.Pod]{Type: informer.Modified, Object: pod})
}

// onPodUpsert handles one version of a pod; old is the one before, if any.
func (k *kubelets) onPodUpsert(ctx context.Context, old, pod *v1.Pod) {
	if old != nil && old.UID != pod.UID {
		k.onPodDelete(ctx, old) // deleted and created again between two events
		old = nil
	}
	if pod.Spec.NodeName == "" {
		return
	}
	if hasEnded(pod) {
		k.admission.releasePod(pod)
	}
	if hasEnded(pod) || pod.DeletionTimestamp != nil {
		k.claims.dropPod(pod.UID)
	}
	if pod.DeletionTimestamp != nil {
		k.endings.addPod(pod)
		return
	}
	if hasEnded(pod) || !k.admission.admitOnce(ctx, pod) {
		return
	}
	starts := pod.Status.Phase == v1.PodPending
	runs := pod.Status.Phase == v1.PodRunning && (old == nil || old.Status.Phase != v1.PodRunning)
	switch {
	case starts:
		k.startPod(ctx, pod)
	case runs && pod.Annotations[RunSecondsAnnotation] != "":
		sendEvent(ctx, k.pods, informer.Event[*v1.Pod]{Type: informer.Modified, Object: pod})
	}
}

// onPodDelete frees the node and cancels what kwok still has planned.
func (k *kubelets) onPodDelete(ctx context.Context, pod *v1.Pod) {
	if pod.Spec.NodeName == "" {
		return
	}
	k.admission.releasePod(pod)
	k.claims.dropPod(pod.UID)
	sendEvent(ctx, k.pods, informer.Event[*v1.Pod]{Type: informer.Deleted, Object: pod})
}

// sendEvent sends an event unless the sandbox is stopping.
func sendEvent[T any](ctx context.Context, to chan<- T, event T) {
	select {
	case to <- event:
	case <-ctx.Done():
	}
}

// lastState returns the object of a deletion event; where the deletion itself
// was missed it is the last version known.
func lastState[T any](obj any) T {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	return obj.(T)
}

// hasEnded reports whether a pod is terminal.
func hasEnded(pod *v1.Pod) bool {
	return pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
}

func hasReadyCondition(node *v1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == v1.NodeReady {
			return true
		}
	}
	return false
}
