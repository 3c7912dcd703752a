// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Where the nodes of a fabric stand.
const (
	blockKey  = "cloud.provider.com/topology-block"
	cliqueKey = "nvidia.com/gpu.clique"
)

// fabric draws nodes of eight GPUs: a word for each rack, of blocks that are
// parted by "|". A word lists how many nodes each of its cliques has, and behind
// a plus sign how many are in none: "3,3+1". Names say nothing of the place.
func fabric(text string) []*v1.Node {
	var nodes []*v1.Node
	rack, clique := 0, 0
	for b, block := range strings.Split(text, "|") {
		for word := range strings.FieldsSeq(block) {
			cliques, outside, _ := strings.Cut(word, "+")
			sizes := strings.Split(cliques, ",")
			if outside != "" {
				sizes = append(sizes, outside)
			}
			for i, size := range sizes {
				count, err := strconv.Atoi(size)
				if err != nil {
					panic(err)
				}
				for range count {
					labels := map[string]string{blockKey: fmt.Sprintf("b%d", b), rackKey: fmt.Sprintf("r%d", rack)}
					if outside == "" || i < len(sizes)-1 {
						labels[cliqueKey] = fmt.Sprintf("uuid.%d", clique)
					}
					nodes = append(nodes, node(fmt.Sprintf("node-%d", (len(nodes)*37+11)%101), labels, 8))
				}
				clique++
			}
			rack++
		}
	}
	return nodes
}

// shares reports whether each run of size pods of a gang, by the number at the end
// of their names, shares one domain of a level.
func (c *cluster) shares(bound map[string]string, key string, size int) bool {
	runs := map[int]map[string]string{}
	for name, node := range bound {
		rank, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
		require.NoError(c.t, err)
		if runs[rank/size] == nil {
			runs[rank/size] = map[string]string{}
		}
		runs[rank/size][name] = node
	}
	for _, run := range runs {
		domains := c.domains(run, key)
		if _, outside := domains[""]; outside || len(domains) != 1 {
			return false
		}
	}
	return true
}

// sizes lists how many pods stand in each domain of a level, rising.
func (c *cluster) sizes(bound map[string]string, key string) []int {
	var sizes []int
	for _, n := range c.domains(bound, key) {
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return sizes
}

// runs counts the runs of nodes that share a domain.
func (c *cluster) runs(nodes []string, key string) int {
	runs := 0
	for i, n := range nodes {
		if i == 0 || len(c.domains(map[string]string{"a": n, "b": nodes[i-1]}, key)) > 1 {
			runs++
		}
	}
	return runs
}

func (c *cluster) cordon(node string, cordoned bool) {
	c.t.Helper()
	c.patchNode(node, fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, cordoned))
}

func (c *cluster) patchNode(node, patch string) {
	c.t.Helper()
	_, err := c.client.CoreV1().Nodes().Patch(background, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(c.t, err)
}
