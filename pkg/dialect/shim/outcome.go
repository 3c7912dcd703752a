// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// checkNode returns an error if a node went away while a pod waited for a slot. The
// API server binds pods to nodes that there are not.
func (c podClient) checkNode(node string) error {
	if _, err := c.t.nodes.Get(node); err != nil {
		return fmt.Errorf("node %s went away before the pod was bound to it: %w", node, err)
	}
	return nil
}

// bindCheckBackoff is how the API server is asked what became of a binding that it gave
// no answer about: for some 25 s, the room of the pod being kept meanwhile.
var bindCheckBackoff = wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Steps: 10}

// bindRetryBackoff is when a binding that was not made is tried again: for some 5 s. It
// grows slowly: of the members of a large gang one needs many tries where a third of all
// answers are wrong, and its siblings hold their GPUs meanwhile.
var bindRetryBackoff = wait.Backoff{Duration: 50 * time.Millisecond, Factor: 1.3, Steps: 13}

// binder is what a binding asks of the API server.
type binder interface {
	Bind(context.Context, *v1.Binding, metav1.CreateOptions) error
	Get(context.Context, string, metav1.GetOptions) (*v1.Pod, error)
}

// impatientBinder asks once. client-go by itself waits for as long as an answer says in
// Retry-After, a second and more, and does so up to ten times.
type impatientBinder struct {
	requests  rest.Interface
	namespace string
}

// Bind makes a binding.
func (b impatientBinder) Bind(ctx context.Context, binding *v1.Binding, options metav1.CreateOptions) error {
	return b.requests.Post().MaxRetries(0).Namespace(b.namespace).Resource("pods").Name(binding.Name).SubResource("binding").
		VersionedParams(&options, scheme.ParameterCodec).Body(binding).Do(ctx).Error()
}

// Get reads a pod.
func (b impatientBinder) Get(ctx context.Context, name string, options metav1.GetOptions) (*v1.Pod, error) {
	pod := &v1.Pod{}
	err := b.requests.Get().MaxRetries(0).Namespace(b.namespace).Resource("pods").Name(name).
		VersionedParams(&options, scheme.ParameterCodec).Do(ctx).Into(pod)
	return pod, err
}

// resolveOutcome returns what became of a binding that was answered with err, and
// whether to try again: it was not made, and another time it may be. An answer that was
// lost may be that the pod is bound. The scheduler would give its room away, and the
// pod's gang a pause, if it were told that the binding failed.
func (c podClient) resolveOutcome(ctx context.Context, binding *v1.Binding, err error) (again bool, outcome error) {
	if err == nil || ctx.Err() != nil {
		return false, err
	}
	if !isAmbiguous(err) {
		return apierrors.IsTooManyRequests(err) || utilnet.IsConnectionRefused(err), err
	}
	var pod *v1.Pod
	_ = wait.ExponentialBackoffWithContext(ctx, bindCheckBackoff, func(ctx context.Context) (bool, error) {
		now, unanswered := c.binder.Get(ctx, binding.Name, metav1.GetOptions{})
		if unanswered == nil {
			pod = now
		}
		return unanswered == nil || apierrors.IsNotFound(unanswered), nil
	})
	switch {
	case pod == nil || pod.UID != binding.UID || pod.DeletionTimestamp != nil:
		return false, err
	case pod.Spec.NodeName == binding.Target.Name:
		return false, nil
	}
	return pod.Spec.NodeName == "", err
}

// isAmbiguous reports whether a binding may have been made in spite of an error. The API
// server answers a conflict also to the second try of one that was made.
func isAmbiguous(err error) bool {
	if utilnet.IsConnectionRefused(err) {
		return false
	}
	var answer apierrors.APIStatus
	if errors.As(err, &answer) {
		code := answer.Status().Code
		return code == http.StatusConflict || code >= http.StatusInternalServerError
	}
	return true
}
