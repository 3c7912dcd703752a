// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// watchFinished follows the pods that have done their work. The scheduler's own
// informer drops them, and cannot tell one that has finished from one that was
// deleted.
func (t *Translator) watchFinished() error {
	t.finished = coreinformers.NewFilteredPodInformer(t.options.Client, metav1.NamespaceAll, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
		options.FieldSelector = kube.SelectFinished
	})
	if err := t.finished.SetTransform(t.transformFinished); err != nil {
		return err
	}
	_, err := (podInformer{t.finished}).AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    t.setFinished,
		UpdateFunc: func(_, obj any) { t.setFinished(obj) },
		DeleteFunc: func(obj any) {
			if pod, ok := lastState(obj).(*v1.Pod); ok {
				t.assigner.Forget(pod.UID)
				t.store.DeleteFinished(pod.UID)
			}
		},
	})
	return err
}

func (t *Translator) setFinished(obj any) {
	if pod, ok := obj.(*v1.Pod); ok && t.assigner.IsOurs(pod) {
		t.store.SetFinished(pod)
	}
}

// transformFinished keeps of a finished pod what its gang is told by. There can be
// thousands of them.
func (t *Translator) transformFinished(obj any) (any, error) {
	pod, ok := obj.(*v1.Pod)
	if !ok {
		return obj, nil
	}
	t.assigner.Assign(pod)
	pod.ManagedFields = nil
	pod.Spec = v1.PodSpec{NodeName: pod.Spec.NodeName, SchedulerName: pod.Spec.SchedulerName, SchedulingGroup: pod.Spec.SchedulingGroup}
	return pod, nil
}
