// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// LevelConfig says how one topology level is found on nodes.
type LevelConfig struct {
	// Name is what users and messages call the level, such as "rack".
	Name string
	// Aliases are other words for it, such as "leaf".
	Aliases []string
	// Keys are the node labels that carry the level's domain. The first one
	// that a node has counts.
	Keys []string
	// Hierarchy names the hierarchy that the level is of; levels of one nest in one
	// another. "" is that of the network and the building. Where the domains of another
	// nest in those of "" too, all of them are one tree.
	Hierarchy string
}

// acceleratorHierarchy is that of multi-node NVLink.
const acceleratorHierarchy = "accelerator"

// Levels is the levels of a cluster, widest first.
type Levels []LevelConfig

// DefaultLevels knows the labels that the clouds, NVIDIA's topograph and GPU
// Feature Discovery put on nodes. Sources: the documentation of topograph
// (node labels; up to 0.5 network.topology.nvidia.com, from 1.0.0 on
// fabric.topograph.run, where tier-0 is the closest), of Amazon EC2 instance topology
// on EKS, of Google's compact placement topology labels, and of Kueue's topology-aware
// scheduling; oracle-quickstart/oci-hpc-oke for Oracle, and coreweave/nccl-tests for
// CoreWeave. The aliases tier-N are for Volcano, which numbers levels from the host.
func DefaultLevels() Levels {
	return Levels{
		{Name: "zone", Keys: []string{v1.LabelTopologyZone}},
		{Name: "datacenter", Aliases: []string{"core", "tier-3"}, Keys: []string{
			"network.topology.nvidia.com/core", "network.topology.nvidia.com/datacenter",
			"topology.k8s.aws/network-node-layer-1", "fabric.topograph.run/tier-2",
			"oci.oraclecloud.com/rdma.hpc_island_id", "backend.coreweave.cloud/fabric",
		}},
		{Name: "block", Aliases: []string{"spine", "tier-2"}, Keys: []string{
			"network.topology.nvidia.com/spine", "topology.k8s.aws/network-node-layer-2",
			"cloud.google.com/gce-topology-block", "oci.oraclecloud.com/host.network_block_id",
			"cloud.provider.com/topology-block", "fabric.topograph.run/tier-1",
			"oci.oraclecloud.com/rdma.network_block_id", "backend.coreweave.cloud/superpod",
		}},
		{Name: "rack", Aliases: []string{"leaf", "tier-1"}, Keys: []string{
			"network.topology.nvidia.com/leaf", "topology.k8s.aws/network-node-layer-3",
			"cloud.google.com/gce-topology-subblock", "oci.oraclecloud.com/host.rack_id",
			"cloud.provider.com/topology-rack", "topology.kubernetes.io/rack", "fabric.topograph.run/tier-0",
			"oci.oraclecloud.com/rdma.local_block_id", "backend.coreweave.cloud/leafgroup",
		}},
		{Name: "clique", Aliases: []string{"accelerator"}, Hierarchy: acceleratorHierarchy, Keys: []string{
			"nvidia.com/gpu.clique", "network.topology.nvidia.com/accelerator",
			"accelerator.topograph.run/domain", "oci.oraclecloud.com/host.gpu_memory_fabric_id",
			"ds.coreweave.com/nvlink.domain", "topology.k8s.aws/ultraserver-id",
		}},
		{Name: "host", Aliases: []string{"node", "tier-0"}, Keys: []string{v1.LabelHostname}},
	}
}

// LevelNames lists the levels' names, widest first.
func (l Levels) LevelNames() []string {
	names := make([]string, len(l))
	for i, spec := range l {
		names[i] = spec.Name
	}
	return names
}

// FindLevel returns the level that a user means by word: a level's name, one of its
// aliases or one of its label keys.
func (l Levels) FindLevel(name string) (topology.Level, error) {
	for i, spec := range l {
		if name == spec.Name || slices.Contains(spec.Aliases, name) || slices.Contains(spec.Keys, name) {
			return topology.Level(i), nil
		}
	}
	return topology.NoLevel, fmt.Errorf("no topology level is called %q; the levels are %s, and the keys of the labels that nodes have",
		name, strings.Join(l.LevelNames(), ", "))
}

// withKey returns the levels and one more, of a node label that is the key of none.
func (l Levels) withKey(key string) Levels {
	return append(slices.Clip(l), LevelConfig{Name: key, Keys: []string{key}, Hierarchy: key})
}

// AreOrdered reports whether the narrower of two levels is inside the other by its
// place alone.
func (l Levels) AreOrdered(a, b topology.Level) bool {
	return a < 0 || b < 0 || l[a].Hierarchy == l[b].Hierarchy
}

// domainOf returns the domain of a level that a node's labels name, or "". The host is
// the node itself: its label may be missing, or the same on two nodes.
func (l *LevelConfig) domainOf(node *v1.Node) string {
	for _, key := range l.Keys {
		value := node.Labels[key]
		if key == v1.LabelHostname {
			value = node.Name
		}
		if value != "" {
			return value
		}
	}
	return ""
}

// NodeDomains returns the domain of each level that a node's labels name, "" where
// they name none.
func (l Levels) NodeDomains(node *v1.Node) []string {
	domains := make([]string, len(l))
	for i := range l {
		domains[i] = l[i].domainOf(node)
	}
	return domains
}

// NodeMoved reports whether a node has other domains or another GPU model than before.
func (l Levels) NodeMoved(before, now *v1.Node) bool {
	return GPUProduct(before) != GPUProduct(now) || !slices.Equal(l.NodeDomains(before), l.NodeDomains(now))
}

// Validate reports the first thing that makes the ladder ambiguous or empty.
func (l Levels) Validate() error {
	if len(l) == 0 {
		return fmt.Errorf("levels: at least one topology level is needed")
	}
	seen := map[string]string{}
	for i, spec := range l {
		if spec.Name == "" || len(spec.Keys) == 0 {
			return fmt.Errorf("levels[%d]: a level needs a name and at least one node label key", i)
		}
		for _, name := range slices.Concat([]string{spec.Name}, spec.Aliases, spec.Keys) {
			if other, taken := seen[name]; taken {
				return fmt.Errorf("levels[%d]: %q is also a name or key of level %q", i, name, other)
			}
			seen[name] = spec.Name
		}
	}
	return nil
}
