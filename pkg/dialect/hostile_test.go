// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// dice makes values of any type and shape, the same ones in every run.
type dice struct{ *rand.Rand }

// fieldNames are all names that a reader looks for.
var fieldNames = strings.Fields(`minMember minTaskMember minResources queue networkTopology mode highestTierAllowed highestTierName
	subGroupPolicy subGroupSize minSubGroups labelSelector matchLabels matchExpressions key operator values matchLabelKeys name
	minSubGroup subGroups parent topologyConstraint requiredTopologyLevel preferredTopologyLevel scheduleTimeoutSeconds
	schedulingPolicy gang minCount schedulingConstraints topology phase running conditions schedulingConditions type status reason
	message lastTransitionTime spec podgroups minReplicas podReferences namespace packConstraint required preferred
	topologyConstraintGroupConfigs podGroupNames priorityClassName reuseReservationRef basic minGroupCount
	parentCompositePodGroupName workloadRef workloadName disruptionMode all priority preemptionPolicy resourceClaims`)

func (d dice) name() string { return fieldNames[d.IntN(len(fieldNames))] }

func (d dice) text() string {
	if d.IntN(2) == 0 {
		return hostile[d.IntN(len(hostile))]
	}
	return []string{"hard", "soft", "rack", "a", "8", "90s", "Strict", `["ns/a","ns/b"]`, `{"gatherStrategy":[{"layer":"x","strategy":"MustGather"}]}`}[d.IntN(9)]
}

func (d dice) value(depth int) any {
	switch n := d.IntN(9); {
	case n == 0:
		return nil
	case n == 1:
		return d.IntN(2) == 0
	case n == 2:
		return []float64{0.5, 1e30, -1e30, math.MaxFloat64, math.SmallestNonzeroFloat64}[d.IntN(5)]
	case n == 3:
		return []int64{0, 1, -1, 2, math.MaxInt64, math.MinInt64, kube.MaxMinCount + 1}[d.IntN(7)]
	case n == 4 || depth == 0:
		return d.text()
	case n < 7:
		return d.fields(depth)
	default:
		list := make([]any, d.IntN(4))
		for i := range list {
			list[i] = d.value(depth - 1)
		}
		return list
	}
}

func (d dice) fields(depth int) map[string]any {
	fields := map[string]any{}
	for range d.IntN(6) {
		fields[d.name()] = d.value(depth - 1)
	}
	return fields
}

// setCount gives an object a number of members that start together, whatever else
// it has.
func (d dice) setCount(u *unstructured.Unstructured, k *dialect.Kind) {
	if k != dialect.GroveGangs {
		_ = unstructured.SetNestedField(u.Object, int64(2), "spec", k.CountField[len(k.CountField)-1])
		return
	}
	var groups []any
	for _, name := range []string{"a", "b", "c"} {
		group := map[string]any{"name": name, "minReplicas": int64(d.IntN(3))}
		if d.IntN(8) == 0 {
			group[d.name()] = d.value(3)
		}
		groups = append(groups, group)
	}
	_ = unstructured.SetNestedSlice(u.Object, groups, "spec", "podgroups")
	pack := map[string]any{"packConstraint": map[string]any{"required": d.text(), "preferred": d.text()}}
	together := map[string]any{"name": d.text(), "podGroupNames": []any{"a", "b", d.text()}[:1+d.IntN(3)], "topologyConstraint": pack}
	_ = unstructured.SetNestedSlice(u.Object, []any{together}, "spec", "topologyConstraintGroupConfigs")
}

// Whatever stands in a group object: it is read without harm, and either it is
// a gang of a sensible size or a sentence says why not. Its status can be made.
func TestReaders_TakeAnything(t *testing.T) {
	for _, k := range dialect.Enabled(nil, nil).Kinds() {
		if k.Workload != nil {
			continue // not a group object
		}
		t.Run(k.Group, func(t *testing.T) {
			d := dice{rand.New(rand.NewPCG(1, 2))}
			refused := 0
			for range 5_000 {
				u := &unstructured.Unstructured{Object: map[string]any{"spec": d.fields(5), "status": d.fields(4)}}
				if d.IntN(2) == 0 {
					d.setCount(u, k)
				}
				u.SetName("train")
				u.SetNamespace("ns")
				annotations := map[string]string{}
				for _, key := range []string{koordGroups, koordWait, koordNetwork, koordMode, kaiRequired, kube.AnnotationRoles} {
					if d.IntN(8) == 0 {
						annotations[key] = d.text()
					}
				}
				u.SetAnnotations(annotations)
				o := k.Read(u)
				w := newWorld()
				w.SetKind(k, store.Served)
				w.SetObject(k, u)
				gang, ok := w.get(k.GroupName("train"))
				if !ok { // groups that start on their own
					require.True(t, o.Composite != nil && (!o.Together() || o.Parent() != ""))
					continue
				}
				if o.Problem != nil {
					refused++
					checkMessage(t, o.Problem.Message)
				} else if o.MinCount < 1 && o.Native == nil || o.MinCount > kube.MaxMinCount && o.Native == nil || o.TimeoutSeconds < 0 {
					t.Fatalf("%v was read as %+v", u.Object, o)
				}
				_, _ = kube.ReadSpec(gang.Group, gang.Declaration, kube.DefaultLevels())
				w.View(store.Key{Namespace: "ns", Group: k.GroupName("train")}).Status(nil, epoch)
			}
			require.NotZero(t, refused)
			require.Less(t, refused, 5_000)
		})
	}
}

// The same for what stands on pods.
func TestMarkers_TakeAnything(t *testing.T) {
	keys := []string{
		koordName, koordCount, koordWait, koordMode, koordPolicy, koordGroups, koordNetwork, kueueCount, kueueRequired, kueuePreferred,
		kueueSlice, kueueSliceSize, kueueSlices, kueueTogether, "scheduling.k8s.io/group-name", "pod-group-name", kube.AnnotationRoles, kube.AnnotationMinCount,
	}
	labels := []string{kueueGroup, kueuePodSet, koordNameLabel, koordCountLabel, kube.LabelPodGroup, kube.LabelPodGroupOld}
	d := dice{rand.New(rand.NewPCG(3, 4))}
	fine := 0
	for i := range 5_000 {
		w := newWorld()
		for n := range 2 {
			p := newPod(fmt.Sprint("p", i, "-", n))
			for range d.IntN(4) {
				p.Annotations[keys[d.IntN(len(keys))]] = d.text()
			}
			if d.IntN(2) == 0 {
				p.Labels[labels[d.IntN(len(labels))]] = d.text()
			}
			w.pod(p)
		}
		for key, gang := range w.gangs {
			if key.Namespace != "ns" || strings.Contains(key.Group, "/") {
				t.Fatalf("%v", key)
			}
			if invalid := gang.Declaration.Invalid; invalid != nil {
				checkMessage(t, invalid.Message)
				continue
			}
			if _, invalid := kube.ReadSpec(gang.Group, gang.Declaration, kube.DefaultLevels()); invalid != nil {
				continue
			}
			fine++
			if n := gang.Group.Spec.SchedulingPolicy.Gang.MinCount; n < 1 || n > kube.MaxMinCount {
				t.Fatalf("a gang of %d", n)
			}
		}
	}
	require.NotZero(t, fine)
}
