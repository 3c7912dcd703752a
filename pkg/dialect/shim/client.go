// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	schedulingv1beta1 "k8s.io/client-go/kubernetes/typed/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// client is the scheduler's client. Its scheduling loop writes the status of
// groups and pods and waits for the answer, some 14 ms each: those writes are
// taken here and made in the background, each to where it belongs.
type client struct {
	kubernetes.Interface
	t *Translator
}

// CoreV1 is the core API.
func (c client) CoreV1() corev1.CoreV1Interface { return coreClient{c.Interface.CoreV1(), c.t} }

// SchedulingV1beta1 is the API of native PodGroups.
func (c client) SchedulingV1beta1() schedulingv1beta1.SchedulingV1beta1Interface {
	return schedulingClient{c.Interface.SchedulingV1beta1(), c.t}
}

type coreClient struct {
	corev1.CoreV1Interface
	t *Translator
}

// Pods is the API of pods.
func (c coreClient) Pods(namespace string) corev1.PodInterface {
	return podClient{c.CoreV1Interface.Pods(namespace), namespace, c.t, impatientBinder{c.RESTClient(), namespace}}
}

type podClient struct {
	corev1.PodInterface
	namespace string
	t         *Translator
	binder    binder
}

// Bind waits for a slot: the scheduler binds all members of a gang at once. It tries
// again where the API server could not do it: the siblings of the pod hold their GPUs
// meanwhile, and its gang would have to pause. A member of a gang is told with how many
// it starts, in the same request: whoever schedules later knows it.
func (c podClient) Bind(ctx context.Context, binding *v1.Binding, options metav1.CreateOptions) error {
	if start := c.t.store.StartOf(binding.UID); start > 0 {
		binding = binding.DeepCopy()
		metav1.SetMetaDataAnnotation(&binding.ObjectMeta, kube.AnnotationStartedWith, strconv.Itoa(start))
	}
	for pauses := bindRetryBackoff; ; {
		err := c.t.bindings.runInSlot(ctx, func() error {
			if err := c.checkNode(binding.Target.Name); err != nil {
				return err
			}
			return c.binder.Bind(ctx, binding, options)
		})
		again, err := c.resolveOutcome(ctx, binding, err)
		if !again || pauses.Steps == 0 {
			return err
		}
		select {
		case <-time.After(pauses.Step()):
		case <-ctx.Done():
			return err
		}
	}
}

// Delete deletes a victim of preemption. The scheduler names it, and by the time another
// pod may have its name that waits for a node and is in nobody's way: one without a node
// is no victim.
func (c podClient) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	if options.Preconditions != nil {
		return c.PodInterface.Delete(ctx, name, options)
	}
	pod := c.t.pods.podOf(c.namespace, name)
	if pod == nil || pod.Spec.NodeName == "" { // it may have been bound a moment ago
		var err error
		if pod, err = c.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
	}
	gone := apierrors.NewNotFound(v1.Resource("pods"), name)
	if pod.Spec.NodeName == "" {
		return gone
	}
	options.Preconditions = &metav1.Preconditions{UID: &pod.UID}
	err := c.PodInterface.Delete(ctx, name, options)
	if apierrors.IsConflict(err) {
		return gone
	}
	return err
}

// Patch leaves to the background what a patch says of the node that a member of a gang is
// promised, and one that only says that it is not scheduled. It makes all others; where
// one of those says so too, it says it in the sentence of the gang.
//
//nolint:revive // the signature is client-go's
func (c podClient) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*v1.Pod, error) {
	if len(subresources) == 1 && subresources[0] == "status" && kind == types.StrategicMergePatchType {
		if pod := c.t.pods.podOf(c.namespace, name); pod != nil && pod.Spec.SchedulingGroup != nil {
			if rest, node, nominates := splitNomination(data); nominates && c.t.nominations.take(pod, node) {
				data = rest
			}
			if data == nil {
				return pod.DeepCopy(), nil
			}
			if reportsUnscheduled(data) && c.t.pods.enqueue(pod, data) {
				return pod.DeepCopy(), nil
			}
			data = c.t.pods.withSentence(pod, data)
		}
	}
	return c.PodInterface.Patch(ctx, name, kind, data, options, subresources...)
}

// reportsUnscheduled reports whether a patch changes nothing but the condition
// PodScheduled, and not to True. Being the difference of two conditions, it
// leaves the status out where that was False before.
func reportsUnscheduled(data []byte) bool {
	var patch map[string]map[string]json.RawMessage
	if json.Unmarshal(data, &patch) != nil || len(patch) != 1 || len(patch["status"]) == 0 {
		return false
	}
	for key := range patch["status"] {
		if key != "conditions" && key != "$setElementOrder/conditions" {
			return false
		}
	}
	var conditions []map[string]any
	if json.Unmarshal(patch["status"]["conditions"], &conditions) != nil {
		return false
	}
	for _, condition := range conditions {
		status, changed := condition["status"]
		_, special := condition["$patch"]
		if special || condition["type"] != string(v1.PodScheduled) || changed && status != string(v1.ConditionFalse) {
			return false
		}
	}
	return len(conditions) > 0
}

type schedulingClient struct {
	schedulingv1beta1.SchedulingV1beta1Interface
	t *Translator
}

// PodGroups is the API of PodGroups as the scheduler sees them.
func (c schedulingClient) PodGroups(namespace string) schedulingv1beta1.PodGroupInterface {
	return groupClient{c.SchedulingV1beta1Interface.PodGroups(namespace), namespace, c.t}
}

type groupClient struct {
	schedulingv1beta1.PodGroupInterface
	namespace string
	t         *Translator
}

// Get answers with the PodGroup that the scheduler sees.
func (c groupClient) Get(_ context.Context, name string, _ metav1.GetOptions) (*schedulingapi.PodGroup, error) {
	pg, err := c.t.Gangs().PodGroups(c.namespace).Get(name)
	if err != nil {
		return nil, err
	}
	return pg.DeepCopy(), nil
}

// Patch takes note of the conditions in a patch of the status.
//
//nolint:revive // the signature is client-go's
func (c groupClient) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*schedulingapi.PodGroup, error) {
	if len(subresources) != 1 || subresources[0] != "status" {
		return c.PodGroupInterface.Patch(ctx, name, kind, data, options, subresources...)
	}
	var patch struct {
		Status schedulingapi.PodGroupStatus `json:"status"`
	}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	return c.recordConditions(ctx, name, patch.Status.Conditions)
}

// UpdateStatus takes note of the conditions.
func (c groupClient) UpdateStatus(ctx context.Context, pg *schedulingapi.PodGroup, _ metav1.UpdateOptions) (*schedulingapi.PodGroup, error) {
	return c.recordConditions(ctx, pg.Name, pg.Status.Conditions)
}

func (c groupClient) recordConditions(ctx context.Context, name string, conditions []metav1.Condition) (*schedulingapi.PodGroup, error) {
	pg, err := c.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	c.t.groups.recordConditions(pg, conditions)
	return pg, nil
}
