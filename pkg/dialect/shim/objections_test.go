// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestObjectionsIn(t *testing.T) {
	for _, test := range []struct {
		name, message string
		want          []string
	}{
		{"one reason", "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.", []string{"node(s) didn't match pod anti-affinity rules"}},
		{"two reasons", "0/9 nodes are available: 1 Insufficient cpu, 8 node(s) were full.", []string{"Insufficient cpu", "node(s) were full"}},
		{"a comma within a reason", "0/2 nodes are available: 2 node(s) had taint {a: b}, {c: d}, untolerated.", []string{"node(s) had taint {a: b}, {c: d}, untolerated"}},
		{"before any node was asked", `0/4 nodes are available: persistentvolumeclaim "data" not found.`, []string{`persistentvolumeclaim "data" not found`}},
		{"the nodes of the siblings", "0/4 nodes are available: 1 node(s) were full, 3 node(s) didn't satisfy plugin(s) [Muster].", []string{"node(s) were full"}},
		{"a node that was nominated", "0/4 nodes are available: 1 the gang's plan has another node for this pod, 2 node(s) were full.", []string{"node(s) were full"}},
		{"nothing", "0/4 nodes are available:", nil},
		{"the words of the gang", "NoFittingDomain: gang train has room for none", nil},
		{"of the group", "0/1 placements are available, first placement status: pod group is unschedulable", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, objectionsIn(test.message))
		})
	}
}
