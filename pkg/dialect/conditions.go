// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions are the conditions in the status of an object whose type is not
// known here: each has a type, a status, a reason, a message and the time of
// its last transition, and may have more. Those of others stay as they are.
type conditions struct {
	list    []any
	changed bool
}

func newConditions(value any) *conditions {
	list, _ := value.([]any)
	return &conditions{list: slices.Clone(list)}
}

func (c *conditions) find(kind string) (int, map[string]any) {
	for i, one := range c.list {
		if fields, ok := one.(map[string]any); ok && fields["type"] == kind {
			return i, fields
		}
	}
	return -1, nil
}

func (c *conditions) has(kind string) bool {
	i, _ := c.find(kind)
	return i >= 0
}

// set puts a condition in the place of the one of its type. more are further
// fields, by name. The time stays that of the last change of the status.
func (c *conditions) set(now time.Time, want metav1.Condition, more ...any) {
	i, old := c.find(want.Type)
	fields := map[string]any{
		"type": want.Type, "status": string(want.Status), "reason": want.Reason, "message": want.Message,
	}
	for n := 0; n+1 < len(more); n += 2 {
		fields[more[n].(string)] = more[n+1]
	}
	if old != nil && old["status"] == fields["status"] && old["reason"] == fields["reason"] && old["message"] == fields["message"] {
		return
	}
	fields["lastTransitionTime"] = now.UTC().Format(time.RFC3339)
	if old != nil && old["status"] == fields["status"] && old["lastTransitionTime"] != nil {
		fields["lastTransitionTime"] = old["lastTransitionTime"]
	}
	c.changed = true
	if i < 0 {
		c.list = append(c.list, fields)
		return
	}
	c.list[i] = fields
}

// into adds the conditions to a status if any of them changed.
func (c *conditions) into(status map[string]any) map[string]any {
	if c.changed {
		status["conditions"] = c.list
	}
	return status
}
