// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	schedulinglisters "k8s.io/client-go/listers/scheduling/v1beta1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// podGroups is the resource that a scheduler knows gangs by.
var podGroups = schedulingapi.SchemeGroupVersion.WithResource("podgroups")

// Options are what a Translator works with.
type Options struct {
	// SchedulerNames are the schedulerNames of the pods to translate; empty
	// for all pods.
	SchedulerNames []string
	// Dialects are those to read; empty for all.
	Dialects []kube.Dialect
	// AutoNamespaces are the namespaces whose pods make gangs of their
	// workloads without being asked to; "*" for all.
	AutoNamespaces []string
	// Client reads, and makes the writes that are not held back.
	Client kubernetes.Interface
	// StatusClient and Dynamic write the status of pods and groups. They
	// should have a rate limit of their own, so that no bind waits behind a
	// status. Dynamic also reads groups of kinds that come as CRDs.
	StatusClient kubernetes.Interface
	Dynamic      dynamic.Interface
	// InformerName identifies the informers in metrics; nil for none.
	InformerName *cache.InformerName
	// PollPeriod is how often to ask which kinds the API server serves; 0 for
	// 5s.
	PollPeriod time.Duration
}

// Translator gives a kube-scheduler a client and informers in which every gang
// declaration appears as a scheduling.k8s.io PodGroup. Hand the scheduler its
// Client, its InformerFactory and recorders that went through Recorders; it
// starts to work when the factory is started, and to write when it is told to
// Lead.
type Translator struct {
	options  Options
	dialects dialect.Dialects
	assigner *store.Assigner
	feed     *feed
	store    *store.Store
	source   *podSource
	factory  informers.SharedInformerFactory
	podsRead cache.ResourceEventHandlerRegistration
	finished cache.SharedIndexInformer
	groups   *groupWriter
	pods     *podWriter
	// sentences are what the waiting members of gangs say.
	sentences   sentences
	nominations *nominations
	bindings    *bindings
	nodes       corelisters.NodeLister
	leading     chan struct{}
	lead        sync.Once
	// beforeLead is what is done first when this replica begins to schedule.
	beforeLead []func()
}

// New returns a Translator whose background work ends with ctx.
func New(ctx context.Context, options Options) (*Translator, error) {
	if err := dialect.Check(options.Dialects); err != nil {
		return nil, err
	}
	if options.PollPeriod == 0 {
		options.PollPeriod = 5 * time.Second
	}
	dialects := dialect.Enabled(options.Dialects, options.AutoNamespaces)
	t := &Translator{
		options:  options,
		dialects: dialects,
		assigner: store.NewAssigner(dialects, options.SchedulerNames),
		feed:     newFeed(),
		bindings: newBindings(),
		leading:  make(chan struct{}),
	}
	t.store = store.New(dialects, t.feed.publish, t.onChange)
	t.assigner.ResolveBy(func(namespace, group string) string {
		gang, _ := t.store.ResolveGroup(namespace, group)
		return gang
	})
	t.source = newPodSource(t.assigner, t.store)
	if err := t.buildFactory(ctx); err != nil {
		return nil, err
	}
	if err := t.watchFinished(); err != nil {
		return nil, err
	}
	t.nodes = t.factory.Core().V1().Nodes().Lister()
	t.groups = newGroupWriter(t.store, dialects, options.StatusClient, options.Dynamic, t.bindings)
	t.pods = newPodWriter(options.StatusClient, t.factory.Core().V1().Pods().Informer().GetIndexer(), &t.sentences)
	t.nominations = newNominations(options.Client, t.pods.podOf)
	return t, nil
}

// onChange has the status of a gang's object written.
func (t *Translator) onChange(key store.Key) {
	if t.isLeading() {
		t.groups.enqueue(key)
	}
}

// buildFactory builds the scheduler's informers, with our own for pods and for
// PodGroups. They are started like all others of the factory.
func (t *Translator) buildFactory(ctx context.Context) error {
	client, name := t.options.Client, t.options.InformerName
	pods := scheduler.NewInformerFactory(sourceClient{client, t.source}, 0, name).Core().V1().Pods().Informer()
	if err := pods.SetTransform(t.transformPod); err != nil {
		return err
	}
	if err := pods.AddIndexers(groupIndex); err != nil {
		return err
	}
	var err error
	// The store knows gated members too.
	if t.podsRead, err = pods.AddEventHandler(splitter{t.podHandler()}); err != nil {
		return err
	}
	var once sync.Once
	feed := listerWatcher{feed: t.feed, start: func() { once.Do(func() { go t.run(ctx) }) }}
	t.factory = informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithInformerName(name))
	t.factory.InformerFor(&v1.Pod{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		return podInformer{pods}
	})
	t.factory.InformerFor(&schedulingapi.PodGroup{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		return cache.NewSharedIndexInformerWithOptions(feed, &schedulingapi.PodGroup{}, cache.SharedIndexInformerOptions{
			Indexers:   cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
			Identifier: name.WithResource(podGroups),
		})
	})
	return nil
}

// lastState is the last known state of an object that is gone.
func lastState(obj any) any {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return obj
}

func (t *Translator) podHandler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pod, ok := obj.(*v1.Pod); ok {
				t.setPod(pod)
			}
		},
		UpdateFunc: func(_, obj any) {
			if pod, ok := obj.(*v1.Pod); ok {
				t.setPod(pod)
			}
		},
		DeleteFunc: func(obj any) {
			if pod, ok := lastState(obj).(*v1.Pod); ok {
				t.assigner.Forget(pod.UID)
				t.store.DeletePod(pod.UID)
			}
		},
	}
}

func (t *Translator) setPod(pod *v1.Pod) {
	// Another scheduler's pods may be in groups too; those are not ours.
	if t.assigner.IsOurs(pod) {
		t.store.SetPod(pod)
		t.pods.followPod(pod)
	}
}

// run opens the store once all that is there at the start is known: the pods,
// and the group objects of the kinds that the API server serves.
func (t *Translator) run(ctx context.Context) {
	go t.runWriters(ctx)
	go t.finished.RunWithContext(ctx)
	sources := t.newSources()
	for _, s := range sources {
		go s.run(ctx, t.options.PollPeriod)
	}
	deadline := time.Now().Add(syncTimeout)
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		// The pods say which workloads are asked for.
		if !t.podsRead.HasSynced() || !t.finished.HasSynced() {
			return false, nil
		}
		late := time.Now().After(deadline)
		for _, s := range sources {
			if !s.isSettled(late) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return
	}
	logger := klog.FromContext(ctx)
	for _, s := range sources {
		if !s.isSettled(false) {
			logger.Error(nil, "Pod groups are served but cannot be read; their gangs stay pending until they can. May the scheduler list and watch them?", "kind", s.kind.GroupVersionResource)
		}
	}
	t.store.Open()
	t.feed.open()
	logger.V(2).Info("Gangs are known")
}

// syncTimeout is how long a start waits for group objects that the API server
// serves and does not hand out, as when a permission is missing. Their gangs
// are held back then; all others need not be.
const syncTimeout = 30 * time.Second

// runWriters does the background writes once this replica leads.
func (t *Translator) runWriters(ctx context.Context) {
	select {
	case <-t.leading:
	case <-ctx.Done():
		return
	}
	for _, key := range t.store.Declared() {
		t.groups.enqueue(key)
	}
	go t.pods.run(ctx)
	go t.nominations.run(ctx)
	t.groups.run(ctx)
}

// Lead says that this replica begins to schedule. Nothing is written before:
// another replica writes.
func (t *Translator) Lead() {
	t.lead.Do(func() {
		for _, do := range t.beforeLead {
			do()
		}
		close(t.leading)
	})
}

// BeforeLeading has something done when this replica begins to schedule, before
// anything is scheduled. It is called before Lead.
func (t *Translator) BeforeLeading(do func()) { t.beforeLead = append(t.beforeLead, do) }

// Leading is closed when this replica begins to schedule.
func (t *Translator) Leading() <-chan struct{} { return t.leading }

func (t *Translator) isLeading() bool {
	select {
	case <-t.leading:
		return true
	default:
		return false
	}
}

// AfterBindings returns once no burst of bindings goes on: then it is time to
// tell of them. It fails only with the context.
func (t *Translator) AfterBindings(ctx context.Context) error { return t.bindings.waitForQuiet(ctx) }

// Client is the client for the scheduler.
func (t *Translator) Client() kubernetes.Interface {
	return client{Interface: t.options.Client, t: t}
}

// InformerFactory holds the scheduler's informers.
func (t *Translator) InformerFactory() informers.SharedInformerFactory { return t.factory }

// Gangs lists the gangs as the scheduler sees them.
func (t *Translator) Gangs() schedulinglisters.PodGroupLister {
	return t.factory.Scheduling().V1beta1().PodGroups().Lister()
}

// Source returns a reference to the object in which the user declared the
// gang behind a group, or nil when there is none.
func (t *Translator) Source(pg *schedulingapi.PodGroup) runtime.Object {
	if source := t.store.Source(pg); source != nil {
		return source
	}
	return nil
}

// DeclarationOf returns what the user declared of a gang, as it belongs to the
// version of its PodGroup that the caller holds, or nil if that version is too
// old to be known.
func (t *Translator) DeclarationOf(pg *schedulingapi.PodGroup) *kube.Declaration {
	return t.feed.declarationOf(pg)
}

// GroupOf returns the group of a pod as it stands in the API server, or "".
func (t *Translator) GroupOf(pod *v1.Pod) string { return t.dialects.GroupOf(pod) }

// GatedMembers returns how many members of a gang may not be scheduled before
// somebody removes their scheduling gates, and the names of the gates.
func (t *Translator) GatedMembers(pg *schedulingapi.PodGroup) (count int, gates []string) {
	return t.store.GatedMembers(store.Key{Namespace: pg.Namespace, Group: pg.Name})
}

// Verdict tells the object behind a group why its gang is not scheduled, or
// that it is. It does not wait for the write. A gang without an object, and an
// object whose status has no field for it, have only the event.
func (t *Translator) Verdict(pg *schedulingapi.PodGroup, reason, message string) {
	t.groups.recordRefusal(pg, reason, message)
}

// SetSentence gives the condition PodScheduled of every waiting member of a gang this
// reason and message from now on, in place of what kube-scheduler writes there; ""
// and "" leave it to kube-scheduler again. It does not wait for the writes, and returns
// how many there are to be.
func (t *Translator) SetSentence(pg *schedulingapi.PodGroup, reason, message string) int {
	if t.sentences.set(pg, sentence{reason, message}) && message != "" {
		return t.pods.followGroup(pg)
	}
	return 0
}

// NoteStart has the members of a gang that are bound from now on say with how many it
// had to start, by the version of its PodGroup that the caller holds.
func (t *Translator) NoteStart(pg *schedulingapi.PodGroup) {
	if d := t.feed.declarationOf(pg); d != nil {
		t.store.NoteStart(store.Key{Namespace: pg.Namespace, Group: pg.Name}, d.MinCount)
	}
}

// FollowNominations has the nodes told that members of gangs are promised, "" for none any
// more, as that is decided and before it is written.
func (t *Translator) FollowNominations(follow func(pod *v1.Pod, node string)) {
	t.nominations.setFollower(follow)
}

// PendingNominations returns how many members of a gang wait for the node that they are
// promised to be written, or not to be promised any more.
func (t *Translator) PendingNominations(pg *schedulingapi.PodGroup) int {
	return t.nominations.ofGroup(store.Key{Namespace: pg.Namespace, Group: pg.Name})
}

// Listen notes from now on what kube-scheduler objects to the members of a gang.
func (t *Translator) Listen(pg *schedulingapi.PodGroup) { t.sentences.listen(pg) }

// Objections returns what kube-scheduler objected to the members of a gang since
// Listen, sorted and each once.
func (t *Translator) Objections(pg *schedulingapi.PodGroup) []string {
	return t.sentences.takeObjections(pg)
}
