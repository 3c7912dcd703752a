// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

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

// nodeGone is an error if a node went away while a pod waited for its turn. The
// API server binds pods to nodes that there are not.
func (c podClient) nodeGone(node string) error {
	if _, err := c.t.nodes.Get(node); err != nil {
		return fmt.Errorf("node %s went away before the pod was bound to it: %w", node, err)
	}
	return nil
}

// asking is how the API server is asked what became of a binding that it gave
// no answer about: for some 25 s, the room of the pod being kept meanwhile.
var asking = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 9}

// outcome is what became of a binding. An answer that was lost may be that the
// pod is bound. The scheduler would give its room away, and the pod's gang a
// pause, if it were told that the binding failed.
func (c podClient) outcome(ctx context.Context, binding *v1.Binding, err error) error {
	if err == nil || ctx.Err() != nil || !open(err) {
		return err
	}
	bound := false
	_ = wait.ExponentialBackoffWithContext(ctx, asking, func(ctx context.Context) (bool, error) {
		pod, unanswered := c.Get(ctx, binding.Name, metav1.GetOptions{})
		if unanswered != nil {
			return apierrors.IsNotFound(unanswered), nil
		}
		bound = pod.UID == binding.UID && pod.Spec.NodeName == binding.Target.Name
		return true, nil
	})
	if bound {
		return nil
	}
	return err
}

// open tells whether a binding may have been made in spite of an error. The API
// server answers a conflict also to the second try of one that was made.
func open(err error) bool {
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
