// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"io"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/resourceclaim"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

// Concurrent syncs of each controller: enough for a load of gangs, few enough
// for two cores.
const (
	jobWorkers   = 5 // and of what makes claims, since every pod of a Job may have some
	otherWorkers = 2
)

// gcSyncPeriod is how often the garbage collector looks for new CRDs.
const gcSyncPeriod = 10 * time.Second

// background runs what a control plane has beside its API server. Everything
// shares one set of informers, so a pod is in memory once.
type background struct {
	config    *rest.Config
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	logTo     io.Writer
	// run starts a function that ends with its context.
	run func(func(context.Context))
}

// startBackground starts controllers and kubelets as opts asks. They live until
// Stop.
func (s *Sandbox) startBackground(ctx context.Context, opts Options) error {
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	cfg := protobufConfig(s.config, "muster-sandbox-controllers")
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	b := &background{
		config:    cfg,
		client:    client,
		informers: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(dropManagedFields)),
		logTo:     opts.LogTo,
		run: func(f func(context.Context)) {
			s.running.Go(func() { f(ctx) })
		},
	}
	started := make(chan struct{})
	if !opts.DisableControllers {
		if err := b.startControllers(ctx, started); err != nil {
			return fmt.Errorf("start controllers: %w", err)
		}
	}
	if !opts.DisableKubelets {
		if err := b.startKubelets(ctx, opts.StopSeconds); err != nil {
			return fmt.Errorf("start kubelets: %w", err)
		}
	}
	b.informers.Start(ctx.Done())
	close(started)
	b.run(func(ctx context.Context) {
		<-ctx.Done()
		b.informers.Shutdown()
	})
	return nil
}

// dropManagedFields saves a third of a pod's memory; no controller here reads
// them.
func dropManagedFields(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil {
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}

// startControllers starts the controllers that a user of pods, Jobs and
// StatefulSets would miss: default ServiceAccounts, namespaces that go away,
// aggregated roles, claims from templates, garbage collection. started is closed when the informers run.
func (b *background) startControllers(ctx context.Context, started <-chan struct{}) error {
	core := b.informers.Core().V1()
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx),
		core.ServiceAccounts(), core.Namespaces(), b.client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	// nil, nil: Workloads and PodGroups are made for Jobs only with
	// WorkloadWithJob, which is off.
	jobs, err := job.NewController(ctx, b.client, core.Pods(), b.informers.Batch().V1().Jobs(), nil, nil)
	if err != nil {
		return err
	}
	apps := b.informers.Apps().V1()
	sets := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), b.client)
	devices := b.informers.Resource().V1()
	claims, err := resourceclaim.NewController(klog.FromContext(ctx), b.client, core.Pods(),
		b.informers.Scheduling().V1beta1().PodGroups(), devices.ResourceClaims(), devices.ResourceClaimTemplates())
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(b.config)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(ctx, b.client, metadataClient,
		b.client.Discovery().ServerPreferredNamespacedResources, core.Namespaces(), time.Hour, v1.FinalizerKubernetes)

	// Without it the roles view, edit and admin are empty.
	roles := clusterroleaggregation.NewClusterRoleAggregation(b.informers.Rbac().V1().ClusterRoles(), b.client.RbacV1())

	b.run(func(ctx context.Context) { roles.Run(ctx, otherWorkers) })
	b.run(func(ctx context.Context) { accounts.Run(ctx, otherWorkers) })
	b.run(func(ctx context.Context) { jobs.Run(ctx, jobWorkers) })
	b.run(func(ctx context.Context) { sets.Run(ctx, otherWorkers) })
	b.run(func(ctx context.Context) { claims.Run(ctx, jobWorkers) })
	b.run(func(ctx context.Context) { namespaces.Run(ctx, otherWorkers) })
	return b.startGarbageCollector(ctx, metadataClient, started)
}

// startGarbageCollector deletes what a deleted owner leaves, above all the pods
// of a Job.
func (b *background) startGarbageCollector(ctx context.Context, client metadata.Interface, started <-chan struct{}) error {
	cached := memory.NewMemCacheClient(b.client.Discovery())
	collector, err := garbagecollector.NewGarbageCollector(ctx, b.client, client,
		restmapper.NewDeferredDiscoveryRESTMapper(cached), garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(b.informers, metadatainformer.NewSharedInformerFactory(client, 0)), started)
	if err != nil {
		return err
	}
	b.run(func(ctx context.Context) { collector.Run(ctx, otherWorkers, gcSyncPeriod) })
	b.run(func(ctx context.Context) {
		// Not the cached one, which would never notice a new CRD.
		collector.Sync(ctx, b.client.Discovery(), gcSyncPeriod)
	})
	return nil
}
