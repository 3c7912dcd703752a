// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// volumeIn makes a claim called data that is bound to a volume which the nodes of one
// rack alone can mount.
func (c *cluster) volumeIn(rack string) {
	c.t.Helper()
	name, modes := c.namespace+"-data", []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	claims, volumes := c.client.CoreV1().PersistentVolumeClaims(c.namespace), c.client.CoreV1().PersistentVolumes()
	claim := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}}
	claim.Spec = v1.PersistentVolumeClaimSpec{AccessModes: modes, VolumeName: name, StorageClassName: new(string), Resources: v1.VolumeResourceRequirements{Requests: size}}
	claim, err := claims.Create(background, claim, metav1.CreateOptions{})
	require.NoError(c.t, err)
	volume := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/bound-by-controller": "yes"}}}
	volume.Spec = v1.PersistentVolumeSpec{
		AccessModes: modes, Capacity: size, PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/data"}},
		ClaimRef: &v1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: c.namespace, Name: "data", UID: claim.UID, APIVersion: "v1"},
		NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchExpressions: []v1.NodeSelectorRequirement{{Key: rackKey, Operator: v1.NodeSelectorOpIn, Values: []string{rack}}},
		}}}},
	}
	_, err = volumes.Create(background, volume, metav1.CreateOptions{})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = volumes.Delete(background, name, metav1.DeleteOptions{}) })
	claim.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	claim, err = claims.Update(background, claim, metav1.UpdateOptions{})
	require.NoError(c.t, err)
	claim.Status.Phase = v1.ClaimBound
	_, err = claims.UpdateStatus(background, claim, metav1.UpdateOptions{})
	require.NoError(c.t, err)
}

// mounts has a pod mount the claim called data.
func mounts(p *v1.Pod) {
	p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{
		PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}}}
}

// termFor matches pods with a label app in one rack.
func termFor(app string) []v1.PodAffinityTerm {
	return []v1.PodAffinityTerm{{TopologyKey: rackKey, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}
}

// TestDomains_AGangGoesWhereOtherPluginsLetIt has a gang of two nodes that wants a rack.
// The tightest rack, of two nodes, is refused by what the case names; the next one is
// not.
func TestDomains_AGangGoesWhereOtherPluginsLetIt(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*cluster)
		member  func(*v1.Pod)
		// tried says that the tightest rack is tried: the planner does not know better.
		tried bool
	}{
		{"a volume of the other rack", func(c *cluster) { c.volumeIn("rack-1") }, mounts, true},
		{"a pod in the other rack that they must be near", func(c *cluster) {
			c.create(pod("leader-0", 0, ofOthers, onNode("n4"), label("app", "leader")))
		}, func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: termFor("leader")}}
		}, true},
		{"a pod in the tightest rack that they must not be near", func(c *cluster) {
			c.create(pod("stranger-0", 0, ofOthers, onNode("n0"), label("app", "stranger")))
		}, func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: termFor("stranger")}}
		}, true},
		{"a host port that is held in the tightest rack", func(c *cluster) {
			c.create(pod("proxy-0", 0, ofOthers, onNode("n1"), takesPort))
		}, takesPort, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			nodes := racks(5, 2)
			nodes[4].Labels[rackKey] = "rack-1"
			c, scheduler := newWatchedCluster(t, nodes...)
			test.prepare(c)
			c.create(gangPods("train", 2, "2", annotation(kube.AnnotationTopologyRequired, "rack"), test.member)...)
			assert.Equal(t, map[string]int{"rack-1": 2}, c.domains(c.awaitBound("train", 2), rackKey))
			_, refused := attempts(scheduler)
			assert.Equal(t, test.tried, refused > 0, "the tightest rack is tried first")
		})
	}
}

// TestDomains_RefusedInAllOfThemAGangSaysSo has a gang whose volume no rack can mount; it
// starts once there is one that can.
func TestDomains_RefusedInAllOfThemAGangSaysSo(t *testing.T) {
	c := newCluster(t, racks(6, 2)...)
	c.create(gangPods("train", 2, "2", annotation(kube.AnnotationTopologyRequired, "rack"), mounts)...)
	c.awaitReason("train", kube.NoFittingDomain, "has room in 3 domains and was refused in all of them", "of its 2 waiting pods pass every other check there (volumes)")
	c.volumeIn("rack-2")
	assert.Equal(t, map[string]int{"rack-2": 2}, c.domains(c.awaitBound("train", 2), rackKey))
}
