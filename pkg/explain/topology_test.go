// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A domain that lies across the others counts its own nodes and no more. Two nodes with
// one hostname, and one without any, are three nodes.
func TestFabric_DomainsThatCross(t *testing.T) {
	var nodes []*v1.Node
	for i, labels := range []map[string]string{
		{"topology.kubernetes.io/rack": "leaf-1", "nvidia.com/gpu.clique": "u.1", v1.LabelHostname: "same"},
		{"topology.kubernetes.io/rack": "leaf-1", "nvidia.com/gpu.clique": "u.2", v1.LabelHostname: "same"},
		{"topology.kubernetes.io/rack": "leaf-2", "nvidia.com/gpu.clique": "u.1"},
	} {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i+1), Labels: labels}}
		node.Status.Allocatable = v1.ResourceList{v1.ResourcePods: resource.MustParse("10"), "nvidia.com/gpu": resource.MustParse("8")}
		nodes = append(nodes, node)
	}
	view, err := NewClusterView(Config{}, nodes, nil, nil)
	require.NoError(t, err)
	fabric, err := view.BuildFabric("", true)
	require.NoError(t, err)
	var got []string
	for _, d := range fabric.Domains {
		got = append(got, fmt.Sprintf("%d %s %d/%d %t", d.Depth, d.Path, d.Nodes, d.Total, d.Crossing))
	}
	assert.Equal(t, []string{
		"0 cluster 3/24 false",
		"1 leaf-1 2/16 false", "2 leaf-1/n1 1/8 false", "2 leaf-1/n2 1/8 false",
		"1 leaf-2 1/8 false", "2 leaf-2/n3 1/8 false",
		"1 u.1 2/16 true", "1 u.2 1/8 true",
	}, got)
}
