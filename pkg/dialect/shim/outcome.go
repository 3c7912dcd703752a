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
var bindCheckBackoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 9}

// bindRetryBackoff is when a binding that was not made is tried again: for some 4 s.
var bindRetryBackoff = wait.Backoff{Duration: 50 * time.Millisecond, Factor: 1.8, Steps: 7}

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
		now, unanswered := c.Get(ctx, binding.Name, metav1.GetOptions{})
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
