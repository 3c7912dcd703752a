// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/queue"
)

// keyOfEntity is the place of what waits in kube-scheduler's queue: a gang, or a
// single pod.
func keyOfEntity(q *gangQueue, entity fwk.QueuedEntityInfo) queue.Key {
	key := queue.Key{Priority: entity.GetPriority()}
	switch e := entity.(type) {
	case *framework.QueuedPodGroupInfo:
		key.Name = e.GetNamespace() + "/" + e.GetName()
		pg := e.GetPodGroup()
		if pg == nil {
			return key
		}
		key.Created = pg.CreationTimestamp.Time
		return ask(q, func(core *queue.Queue) queue.Key { return core.KeyOf(queue.GangID(pg.UID), key) })
	case *framework.QueuedPodInfo:
		return ask(q, func(core *queue.Queue) queue.Key { return core.KeyOfPod(string(e.Pod.UID), keyOfPod(e.Pod)) })
	}
	key.Created = entity.GetTimestamp()
	return key
}

// keyOfPod is the place of a single pod in the queue, by what its object says.
func keyOfPod(pod *v1.Pod) queue.Key {
	return queue.Key{
		Priority: corev1helpers.PodPriority(pod), Created: pod.CreationTimestamp.Time,
		Name: pod.Namespace + "/" + pod.Name,
	}
}
