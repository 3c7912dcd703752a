// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/internal/audit"
)

// requestsInFlight bounds the driver's requests that create, and those that
// delete, so that the control plane has room for the scheduler's.
const requestsInFlight = 8

// requestSlots is a semaphore: a send takes a slot, a receive gives it back.
type requestSlots chan struct{}

// driver acts for the users: it creates the pods of each gang, lets it run and
// deletes them.
type driver struct {
	client  kubernetes.Interface
	tracker *tracker
	clock   func() time.Duration
	// creating and deleting are apart, so that gangs that end do not wait for
	// those that arrive.
	creating, deleting requestSlots
}

// runGang creates, runs and deletes one gang at its times. It returns early,
// without an error, when the context ends.
func (d *driver) runGang(ctx context.Context, j *job, pods []*v1.Pod) error {
	if !sleepContext(ctx, j.Arrival-d.clock()) {
		return nil
	}
	d.tracker.submitGang(d.clock(), j)
	if err := d.creating.forEachPod(pods, func(pod *v1.Pod) error { return d.createPod(ctx, pod) }); err != nil {
		return endOf(ctx, fmt.Errorf("creating the pods of gang %s: %w", j.Name, err))
	}
	select {
	case <-ctx.Done():
		return nil
	case <-j.whole:
	}
	if !sleepContext(ctx, j.Run) {
		return nil
	}
	d.tracker.endGang(d.clock(), j)
	if err := d.deleting.forEachPod(pods, func(pod *v1.Pod) error { return d.deletePod(ctx, pod) }); err != nil {
		return endOf(ctx, fmt.Errorf("deleting the pods of gang %s: %w", j.Name, err))
	}
	return nil
}

// endOf returns nil for an error that the end of the context has caused.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// sleepContext waits and reports whether the time is over; false means that the
// context ended first.
func sleepContext(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// forEachPod sends a request for every pod of a gang, side by side, as the
// gang's controller would, and returns the first error.
func (s requestSlots) forEachPod(pods []*v1.Pod, request func(*v1.Pod) error) error {
	var requests errgroup.Group
	for _, pod := range pods {
		s <- struct{}{}
		requests.Go(func() error {
			defer func() { <-s }()
			return request(pod)
		})
	}
	return requests.Wait()
}

// createPod creates one pod.
func (d *driver) createPod(ctx context.Context, pod *v1.Pod) error {
	_, err := d.client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// deletePod deletes one pod without a grace period, so that the GPUs are free
// at once. A pod that is gone already is no error.
func (d *driver) deletePod(ctx context.Context, pod *v1.Pod) error {
	err := d.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// followPods passes the events of the pods to the tracker until the context
// ends. It returns once the watch is established.
func (d *driver) followPods(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(d.client, 0, informers.WithNamespace(namespace))
	pods := factory.Core().V1().Pods().Informer()
	set := func(obj any) {
		if p, ok := obj.(*v1.Pod); ok {
			d.tracker.setPod(d.clock(), p)
		}
	}
	handle, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if p, ok := audit.LastState(obj).(*v1.Pod); ok {
				d.tracker.removePod(d.clock(), p)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching the demo's pods: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
		return fmt.Errorf("watching the demo's pods: %w", context.Cause(ctx))
	}
	return nil
}

// probeScheduler waits until the scheduler binds a pod, so that its start does
// not count as waiting of the first gang.
func probeScheduler(ctx context.Context, client kubernetes.Interface, schedulerName string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no node after a minute"))
	defer cancel()
	pods := client.CoreV1().Pods(namespace)
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "probe"},
		Spec:       v1.PodSpec{SchedulerName: schedulerName, Containers: []v1.Container{{Name: "probe", Image: "registry.example/probe:1"}}},
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the probe pod: %w", err)
	}
	for {
		found, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && found.Spec.NodeName != "" {
			break
		}
		if err != nil || !sleepContext(ctx, 50*time.Millisecond) {
			return fmt.Errorf("waiting for the scheduler to bind the probe pod: %w", cmp.Or(context.Cause(ctx), err))
		}
	}
	err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the probe pod: %w", err)
	}
	return nil
}
