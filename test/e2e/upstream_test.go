// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	alphaapi "k8s.io/api/scheduling/v1alpha3"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// upstreamCase is what kube-scheduler's own tests of pod groups expect in one case,
// told as a play: see upstreamPlay.
type upstreamCase struct {
	// name is Muster's, and source the case of kubernetes v1.37.2,
	// test/integration/scheduler, whose answer it is.
	name, source string
	// nodes are those of zones: n0, n1 and so on, of 8 GPUs.
	nodes string
	// play has a step in each line.
	play string
}

// followUpstream plays every case.
func followUpstream(t *testing.T, box *sandbox.Sandbox) {
	for _, table := range []struct {
		name  string
		cases []upstreamCase
	}{
		{"pod groups", podGroupCases}, {"groups of groups", compositeCases},
		{"topology", topologyCases}, {"topology of groups of groups", compositeTopologyCases},
		{"preemption in a topology", compositePreemptionCases},
		{"preemption", preemptionCases}, {"preemption of groups of groups", compositeVictimCases},
	} {
		t.Run(table.name, func(t *testing.T) { playUpstream(t, box, table.cases) })
	}
}

// playUpstream runs cases, each on nodes of its own.
func playUpstream(t *testing.T, box *sandbox.Sandbox, cases []upstreamCase) {
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := on(t, box, zones(test.nodes)...)
			c.classes()
			c.priorityClass("patient", 1000, v1.PreemptNever)
			p := upstreamPlay{cluster: c, class: map[string]string{}, created: map[string]int{}}
			for line := range strings.SplitSeq(test.play, "\n") {
				if words := strings.Fields(line); len(words) > 0 {
					p.line = strings.TrimSpace(line)
					step := steps[words[0]]
					require.NotNil(t, step, "no step is called %s", words[0])
					step(&p, words[1:])
				}
			}
		})
	}
}

// upstreamPlay is the state of one play.
type upstreamPlay struct {
	*cluster
	// class is the priority class of each group, which its pods have too.
	class map[string]string
	// created is the number of pods that each group was given.
	created map[string]int
	// line is the step at hand, for messages.
	line string
}

// steps are what a line of a play can say. G is a group, N a number; options follow,
// such as class=low.
var steps = map[string]func(p *upstreamPlay, words []string){
	// held NAME NODE GPUS: a pod outside the groups that is on a node.
	"held": (*upstreamPlay).hold,
	// pod NAME GPUS: a pod outside the groups that wants a node.
	"pod": (*upstreamPlay).createPod,
	// node NAME RACK ZONE GPUS: one more node.
	"node": (*upstreamPlay).createNode,
	// group G: a PodGroup, by the policy basic unless min=N is said. composite G: the
	// same with a CompositePodGroup.
	"group": (*upstreamPlay).createGroup, "composite": (*upstreamPlay).createComposite,
	// pods G N GPUS: so many more pods of a PodGroup, G-0, G-1 and so on.
	"pods": (*upstreamPlay).createPods,
	// min G N: another minimum.
	"min": (*upstreamPlay).changeMinimum,
	// budget LABEL N: a disruption budget by which so many pods have to stay.
	"budget": (*upstreamPlay).createBudget,
	// volume NAME: a claim, bound to a volume, that one pod at a time can have.
	"volume": (*upstreamPlay).createVolume,
	// drop G: the PodGroup or CompositePodGroup is deleted, by force.
	"drop":   (*upstreamPlay).dropGroup,
	"delete": func(p *upstreamPlay, words []string) { p.remove(words...) },
	"ungate": func(p *upstreamPlay, words []string) { p.ungate(words...) },

	// starts G N: so many pods of the group come to have a node, and no more.
	"starts": (*upstreamPlay).expectBound,
	// waits G N REASON: so many have none, and say why.
	"waits": (*upstreamPlay).expectWaiting,
	// runs and waiting: single pods have a node, or none.
	"runs": (*upstreamPlay).expectRunning, "waiting": (*upstreamPlay).expectPending,
	// running N PREFIX PREFIX: so many pods have a node, whichever.
	"running": (*upstreamPlay).expectCount,
	// in LEVEL G G: all pods of the groups that have a node, or single pods, are in one
	// domain of the level, or in LEVEL=DOMAIN in that one.
	"in": (*upstreamPlay).expectTogether,
	// gone and stays: pods were preempted, or not. left PREFIX PREFIX N: so many
	// were not, whichever.
	"gone": (*upstreamPlay).expectGone, "stays": (*upstreamPlay).expectKept, "left": (*upstreamPlay).expectLeft,
	// nominated NODE POD POD: preemption has promised others than a node to pods, and
	// they wait.
	"nominated": (*upstreamPlay).expectNominated,
	// status G STATUS REASON: the condition of a PodGroup or CompositePodGroup.
	"status": (*upstreamPlay).expectStatus,
	// event POD REASON WORDS: an event on a pod.
	"event": (*upstreamPlay).expectEvent,
}

// option returns the value of an option, "" for none.
func option(words []string, name string) string {
	for _, word := range words {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

func (p *upstreamPlay) number(word string) int {
	n, err := strconv.Atoi(word)
	require.NoError(p.t, err, p.line)
	return n
}

// podChanges reads the options of pods: node= and on= name a node that has to take
// them, or has, label= is KEY:VALUE, cpu=, port= and class= are as they are called, and
// gated, never and slow are words.
func (p *upstreamPlay) podChanges(class string, words []string) []func(*v1.Pod) {
	changes := []func(*v1.Pod){priority(class)}
	for _, word := range words {
		kind, value, _ := strings.Cut(word, "=")
		change := podOptions[kind]
		require.NotNil(p.t, change, "%s: no option is called %s", p.line, kind)
		changes = append(changes, func(pod *v1.Pod) { change(pod, value) })
	}
	return changes
}

var podOptions = map[string]func(pod *v1.Pod, value string){
	"class": func(pod *v1.Pod, value string) { pod.Spec.PriorityClassName = value },
	"on":    func(pod *v1.Pod, value string) { pod.Spec.NodeName = value },
	"node":  func(pod *v1.Pod, value string) { pod.Spec.NodeSelector = map[string]string{v1.LabelHostname: value} },
	"cpu": func(pod *v1.Pod, value string) {
		asked := &pod.Spec.Containers[0].Resources
		asked.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse(value)}
		maps.Copy(asked.Requests, asked.Limits)
	},
	"level": func(pod *v1.Pod, value string) { // resources of the pod as a whole
		pod.Spec.Resources = &v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse(value)}}
	},
	"label": func(pod *v1.Pod, value string) {
		key, value, _ := strings.Cut(value, ":")
		pod.Labels[key] = value
	},
	"port": func(pod *v1.Pod, value string) {
		port, _ := strconv.Atoi(value)
		pod.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: int32(port), HostPort: int32(port)}}
	},
	"gated": func(pod *v1.Pod, _ string) {
		pod.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "example.com/quota"}}
	},
	"never": func(pod *v1.Pod, _ string) { pod.Spec.PriorityClassName = "patient" },
	"apart": func(pod *v1.Pod, value string) { // from all that have the label
		pod.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: value, Operator: metav1.LabelSelectorOpExists}}},
			TopologyKey:   v1.LabelHostname,
		}}}}
	},
	"spread": func(pod *v1.Pod, value string) { // no more than two of a label on a node
		pod.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{
			MaxSkew: 2, MinDomains: new(int32(9)), TopologyKey: v1.LabelHostname, WhenUnsatisfiable: v1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: value, Operator: metav1.LabelSelectorOpExists}}},
		}}
	},
	"claim": func(pod *v1.Pod, value string) {
		pod.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: value}}}}
	},
	"prefers": func(pod *v1.Pod, value string) {
		pod.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{{
			Weight: 100, Preference: v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{value}}}},
		}}}}
	},
	"slow":      func(pod *v1.Pod, _ string) { slowly(pod) },
	"tolerates": func(pod *v1.Pod, value string) { pod.Spec.Tolerations = []v1.Toleration{{Key: value}} },
}

func (p *upstreamPlay) hold(words []string) {
	changes := append(p.podChanges("", words[3:]), func(pod *v1.Pod) { pod.Spec.NodeName = words[1] })
	p.create(pod(words[0], int64(p.number(words[2])), changes...))
}

func (p *upstreamPlay) createPod(words []string) {
	p.create(pod(words[0], int64(p.number(words[1])), p.podChanges("", words[2:])...))
}

func (p *upstreamPlay) createNode(words []string) {
	one := node(words[0], map[string]string{rackWord: words[1], zoneWord: words[2]}, int64(p.number(words[3])))
	if taint := option(words, "taint"); taint != "" {
		one.Spec.Taints = []v1.Taint{{Key: taint, Effect: v1.TaintEffectNoSchedule}}
	}
	if block := option(words, "block"); block != "" {
		one.Labels[blockWord] = block
	}
	require.NoError(p.t, p.box.CreateNodes(background, []*v1.Node{one}))
}

// levelWords are the node labels of the levels of the plays.
var levelWords = map[string]string{"": "", "rack": rackWord, "zone": zoneWord, "block": blockWord, "host": v1.LabelHostname}

const blockWord = "cloud.google.com/gce-topology-block"

func (p *upstreamPlay) createGroup(words []string) {
	name := words[0]
	p.class[name] = option(words, "class")
	changes := []func(*schedulingapi.PodGroupSpec){func(spec *schedulingapi.PodGroupSpec) {
		spec.PriorityClassName = p.class[name]
		switch option(words, "mode") {
		case "all":
			spec.DisruptionMode = &schedulingapi.DisruptionMode{All: &schedulingapi.AllDisruptionMode{}}
		case "single":
			spec.DisruptionMode = &schedulingapi.DisruptionMode{Single: &schedulingapi.SingleDisruptionMode{}}
		}
	}}
	if least := option(words, "min"); least != "" {
		changes = append(changes, atLeast(int32(p.number(least))))
	}
	if parent := option(words, "under"); parent != "" {
		changes = append(changes, under(parent))
	}
	p.native(name, levelWords[option(words, "level")], changes...)
}

func (p *upstreamPlay) createComposite(words []string) {
	least := 0
	if word := option(words, "min"); word != "" {
		least = p.number(word)
	}
	p.composite(words[0], option(words, "under"), levelWords[option(words, "level")], int32(least), func(spec *alphaapi.CompositePodGroupSpec) {
		spec.PriorityClassName = option(words, "class")
		switch option(words, "mode") {
		case "all":
			spec.DisruptionMode = &alphaapi.CompositeDisruptionMode{All: &alphaapi.AllCompositeDisruptionMode{}}
		case "single":
			spec.DisruptionMode = &alphaapi.CompositeDisruptionMode{Single: &alphaapi.SingleCompositeDisruptionMode{}}
		}
	})
}

// createPods creates the pods one after the other, so that the first is the oldest.
func (p *upstreamPlay) createPods(words []string) {
	group := words[0]
	for range p.number(words[1]) {
		changes := append(p.podChanges(p.class[group], words[3:]), member(group))
		p.create(pod(fmt.Sprintf("%s-%d", group, p.created[group]), int64(p.number(words[2])), changes...))
		p.created[group]++
	}
}

func (p *upstreamPlay) changeMinimum(words []string) {
	_, err := p.client.SchedulingV1beta1().PodGroups(p.namespace).Patch(background, words[0], types.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"schedulingPolicy":{"gang":{"minCount":%d}}}}`, p.number(words[1])), metav1.PatchOptions{})
	require.NoError(p.t, err)
}

func (p *upstreamPlay) dropGroup(words []string) {
	composites := p.client.SchedulingV1alpha3().CompositePodGroups(p.namespace)
	defer p.passTurn() // so that the scheduler has seen it
	if err := composites.Delete(background, words[0], metav1.DeleteOptions{}); err == nil {
		_, _ = composites.Patch(background, words[0], types.MergePatchType, withoutFinalizers, metav1.PatchOptions{})
		return
	}
	groups := p.client.SchedulingV1beta1().PodGroups(p.namespace)
	require.NoError(p.t, groups.Delete(background, words[0], metav1.DeleteOptions{}))
	_, _ = groups.Patch(background, words[0], types.MergePatchType, withoutFinalizers, metav1.PatchOptions{})
}

var withoutFinalizers = []byte(`{"metadata":{"finalizers":null}}`)

// createVolume makes a volume and a claim that are bound to one another.
func (p *upstreamPlay) createVolume(words []string) {
	name, once := p.namespace+"-"+words[0], []v1.PersistentVolumeAccessMode{v1.ReadWriteOncePod}
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	claim := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: words[0]}}
	claim.Spec = v1.PersistentVolumeClaimSpec{AccessModes: once, VolumeName: name, StorageClassName: new(string), Resources: v1.VolumeResourceRequirements{Requests: size}}
	claim, err := p.client.CoreV1().PersistentVolumeClaims(p.namespace).Create(background, claim, metav1.CreateOptions{})
	require.NoError(p.t, err)
	volume := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/bound-by-controller": "yes"}}}
	volume.Spec = v1.PersistentVolumeSpec{AccessModes: once, Capacity: size, PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/data"}}}
	volume.Spec.ClaimRef = &v1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: p.namespace, Name: words[0], UID: claim.UID, APIVersion: "v1"}
	_, err = p.client.CoreV1().PersistentVolumes().Create(background, volume, metav1.CreateOptions{})
	require.NoError(p.t, err)
	claim.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	claim, err = p.client.CoreV1().PersistentVolumeClaims(p.namespace).Update(background, claim, metav1.UpdateOptions{})
	require.NoError(p.t, err)
	claim.Status.Phase = v1.ClaimBound
	_, err = p.client.CoreV1().PersistentVolumeClaims(p.namespace).UpdateStatus(background, claim, metav1.UpdateOptions{})
	require.NoError(p.t, err)
}

// createBudget makes a budget and writes its status, as no controller does here.
func (p *upstreamPlay) createBudget(words []string) {
	key, value, _ := strings.Cut(words[0], ":")
	least := intstr.FromInt(p.number(words[1]))
	_, err := p.client.PolicyV1().PodDisruptionBudgets(p.namespace).Create(background, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: value},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}},
	}, metav1.CreateOptions{})
	require.NoError(p.t, err)
	p.allowDisruptions(value, 0)
}

func (p *upstreamPlay) expectBound(words []string) { p.awaitBound(words[0], p.number(words[1])) }

func (p *upstreamPlay) expectWaiting(words []string) {
	p.awaitUnbound(words[0], p.number(words[1]), kube.Reason(words[2]))
}

// podNamed returns a pod, nil for none.
func (p *upstreamPlay) podNamed(name string) *v1.Pod {
	for _, pod := range p.pods(name) {
		if pod.Name == name {
			return &pod
		}
	}
	return nil
}

func (p *upstreamPlay) expectRunning(words []string) {
	for _, name := range words {
		require.Eventually(p.t, func() bool { pod := p.podNamed(name); return pod != nil && pod.Spec.NodeName != "" }, patience, poll, "pod %s has to be bound", name)
	}
}

func (p *upstreamPlay) expectCount(words []string) {
	require.Eventually(p.t, func() bool {
		count := 0
		for _, prefix := range words[1:] {
			for _, pod := range p.pods(prefix) {
				if pod.Spec.NodeName != "" {
					count++
				}
			}
		}
		return count == p.number(words[0])
	}, patience, poll, p.line)
}

func (p *upstreamPlay) expectPending(words []string) {
	for _, name := range words {
		require.Eventually(p.t, func() bool {
			pod := p.podNamed(name)
			return pod != nil && slices.ContainsFunc(pod.Status.Conditions, func(c v1.PodCondition) bool {
				return c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse
			})
		}, patience, poll, "pod %s has to wait", name)
		assert.Empty(p.t, p.podNamed(name).Spec.NodeName, name)
	}
}

func (p *upstreamPlay) expectTogether(words []string) {
	level, domain, _ := strings.Cut(words[0], "=")
	all := map[string]string{}
	for _, name := range words[1:] {
		maps.Copy(all, p.bound(name))
		if pod := p.podNamed(name); pod != nil && strings.Contains(name, "-") {
			all[name] = pod.Spec.NodeName
		}
	}
	domains := p.domains(all, levelWords[level])
	assert.Len(p.t, domains, 1, "%s: %v", p.line, all)
	if domain != "" {
		assert.Contains(p.t, domains, domain, "%s: %v", p.line, all)
	}
}

func (p *upstreamPlay) expectNominated(words []string) {
	for _, name := range words[1:] {
		require.Eventually(p.t, func() bool { return p.podNamed(name).Status.NominatedNodeName != "" }, patience, poll, "pod %s has to be nominated", name)
		pod := p.podNamed(name)
		assert.Empty(p.t, pod.Spec.NodeName, p.line)
		assert.NotEqual(p.t, words[0], pod.Status.NominatedNodeName, p.line)
	}
}

func (p *upstreamPlay) expectGone(words []string) {
	for _, name := range words {
		require.Eventually(p.t, func() bool { return p.podNamed(name) == nil }, patience, poll, "pod %s has to go", name)
	}
}

func (p *upstreamPlay) expectKept(words []string) {
	for _, name := range words {
		if pod := p.podNamed(name); assert.NotNil(p.t, pod, name) {
			assert.Nil(p.t, pod.DeletionTimestamp, "pod %s has to stay", name)
		}
	}
}

func (p *upstreamPlay) expectLeft(words []string) {
	last := len(words) - 1
	require.Eventually(p.t, func() bool {
		count := 0
		for _, prefix := range words[:last] {
			count += len(p.pods(prefix))
		}
		return count == p.number(words[last])
	}, patience, poll, p.line)
}

func (p *upstreamPlay) expectStatus(words []string) {
	condition := func() string {
		if _, err := p.client.SchedulingV1beta1().PodGroups(p.namespace).Get(background, words[0], metav1.GetOptions{}); err == nil {
			return p.scheduled(words[0])
		}
		return p.compositeScheduled(words[0])
	}
	want := strings.Join(words[1:], " ")
	require.Eventually(p.t, func() bool { return condition() == want }, patience, poll, "the status of %s has to be %s", words[0], want)
}

func (p *upstreamPlay) expectEvent(words []string) {
	want := strings.Join(words[2:], " ")
	require.Eventually(p.t, func() bool {
		return slices.ContainsFunc(p.eventsOn("Pod", words[0], words[1]), func(note string) bool { return strings.Contains(note, want) })
	}, patience, poll, p.line)
}
