// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// readTerms reads a group of 64 with terms, each key behind "muster.sh/".
func readTerms(words ...string) (*kube.Spec, *kube.Invalid) {
	d := &kube.Declaration{Terms: map[string]kube.Term{}}
	for i := 0; i < len(words); i += 2 {
		d.Terms["muster.sh/"+words[i]] = kube.Term{Value: words[i+1]}
	}
	return readDeclaration(d)
}

// readDeclaration reads a group of 64, in a cluster without nodes.
func readDeclaration(d *kube.Declaration) (*kube.Spec, *kube.Invalid) {
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "label~train"}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 64}
	spec, invalid := kube.ReadSpec(pg, d, kube.DefaultLevels())
	if invalid != nil {
		return nil, invalid
	}
	m, err := kube.NewCluster(kube.DefaultLevels()).ReadGang(spec, nil, nil, nil)
	if err != nil {
		panic(err)
	}
	return spec, m.Invalid
}

func TestReadSpec_Slices(t *testing.T) {
	const (
		zone   = 0
		block  = 2
		rack   = 3
		clique = 4
	)
	for _, tc := range []struct {
		name        string
		annotations []string
		want        []gang.Slice
	}{
		{"none", nil, nil},
		{"one layer", []string{"slice-size", "16", "slice-topology", "clique"}, []gang.Slice{{Size: 16, Level: clique}}},
		{"by the key of the label", []string{"slice-size", "16", "slice-topology", "nvidia.com/gpu.clique"}, []gang.Slice{{Size: 16, Level: clique}}},
		{"a preferred layer", []string{"slice-size", "16", "slice-topology-preferred", "clique"}, []gang.Slice{{Size: 16, Level: clique, Preferred: true}}},
		{
			"three layers", []string{"slice-size", "32,16,4", "slice-topology", "block,rack,clique"},
			[]gang.Slice{{Size: 32, Level: block}, {Size: 16, Level: rack}, {Size: 4, Level: clique}},
		},
		{
			"the order of levels does not matter", []string{"slice-size", "16, 4", "slice-topology", "clique, rack"},
			[]gang.Slice{{Size: 16, Level: rack}, {Size: 4, Level: clique}},
		},
		{
			"a preferred layer between required ones", []string{"slice-size", "32,16,4", "slice-topology", "block,clique", "slice-topology-preferred", "rack"},
			[]gang.Slice{{Size: 32, Level: block}, {Size: 16, Level: rack, Preferred: true}, {Size: 4, Level: clique}},
		},
		{
			"a wish that is wider than the gang's level", []string{"topology-required", "rack", "slice-size", "16", "slice-topology-preferred", "zone"},
			[]gang.Slice{{Size: 16, Level: zone, Preferred: true}},
		},
		{"slices of the gang's own level", []string{"topology-required", "rack", "slice-size", "16", "slice-topology", "rack"}, []gang.Slice{{Size: 16, Level: rack}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec, invalid := readTerms(tc.annotations...)
			require.Nil(t, invalid)
			assert.Equal(t, tc.want, spec.Slices)
		})
	}
}

func TestReadSpec_SlicesThatMakeNoSense(t *testing.T) {
	for _, tc := range []struct {
		name        string
		annotations []string
		want        string
	}{
		{"no level", []string{"slice-size", "16"}, "muster.sh/slice-size and muster.sh/slice-topology go together: write both or none"},
		{"no size", []string{"slice-topology-preferred", "rack"}, "go together"},
		{"fewer sizes than levels", []string{"slice-size", "16", "slice-topology", "block,rack"}, `muster.sh/slice-size: found "16", want a size for each of the 2 levels of slices, the largest first`},
		{"more sizes than levels", []string{"slice-size", "16,4", "slice-topology", "rack"}, "want a size for each of the 1 levels"},
		{"one level twice", []string{"slice-size", "16,4", "slice-topology", "rack", "slice-topology-preferred", "leaf"}, "slices of 4 in one rack cannot lie inside those in one rack"},
		{"sizes that do not nest", []string{"slice-size", "16,6", "slice-topology", "block,rack"}, "slices of 6 do not fill those of 16 around them"},
		{"the smallest first", []string{"slice-size", "4,16", "slice-topology", "block,rack"}, "slices of 16 do not fill those of 4 around them"},
		{"an unknown level", []string{"slice-size", "4", "slice-topology", "shelf"}, `no topology level is called "shelf"`},
		{"an empty level", []string{"slice-size", "4,2", "slice-topology", "rack,"}, `no topology level is called ""`},
		{"four layers", []string{"slice-size", "8,4,2,1", "slice-topology", "zone,block,rack,clique"}, "found more than 3 levels"},
		{"wider than the gang", []string{"topology-required", "rack", "slice-size", "4", "slice-topology", "block"}, "slices in one block are wider than the rack that must hold the whole gang"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, invalid := readTerms(tc.annotations...)
			require.NotNil(t, invalid)
			assert.Contains(t, invalid.Message, tc.want)
		})
	}
	for _, text := range hostile {
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && strconv.Itoa(n) == strings.TrimSpace(text) && n > 0 && n <= kube.MaxMinCount {
			continue // blanks around a number in a list do no harm
		}
		_, invalid := readTerms("slice-size", text, "slice-topology", "rack")
		require.NotNil(t, invalid, "size %q", text)
		assert.Equal(t, kube.InvalidGangSpec, invalid.Reason)
		assert.Less(t, len(invalid.Message), 400)
		_, invalid = readTerms("slice-size", "4", "slice-topology", text)
		require.NotNil(t, invalid, "level %q", text)
	}
}

func TestReadSpec_SlicesOfRoles(t *testing.T) {
	for _, tc := range []struct{ name, role, want string }{
		{"three layers", `"slices":[{"size":32,"topology":"block"},{"size":16,"topology":"rack","preferred":true},{"size":4,"topology":"clique"}]`, ""},
		{"around the others", `"sliceSize":32,"sliceTopology":"block","slices":[{"size":4,"topology":"clique"}]`, ""},
		{"four layers", `"sliceSize":32,"sliceTopology":"zone","slices":[{"size":8,"topology":"block"},{"size":4,"topology":"rack"},{"size":2,"topology":"clique"}]`, "found 4 layers of slices, want at most 3"},
		{"not from wide to narrow", `"slices":[{"size":4,"topology":"clique"},{"size":4,"topology":"rack"}]`, "slices of 4 in one rack cannot lie inside those in one clique"},
		{"sizes that do not nest", `"slices":[{"size":4,"topology":"rack"},{"size":3,"topology":"clique"}]`, "slices of 3 do not fill those of 4"},
		{"no size", `"slices":[{"topology":"rack"}]`, "size of a slice: found 0, want a number from 1 to 100000"},
		{"no level", `"slices":[{"size":4}]`, `no topology level is called ""`},
		{"an unknown level", `"slices":[{"size":4,"topology":"shelf"}]`, `no topology level is called "shelf"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var invalid *kube.Invalid
			if roles, err := kube.ParseRoles(`[{"name":"worker",` + tc.role + `}]`); err != nil {
				invalid = &kube.Invalid{Message: err.Error()}
			} else {
				_, invalid = readDeclaration(&kube.Declaration{Roles: roles})
			}
			if tc.want == "" {
				require.Nil(t, invalid)
				return
			}
			require.NotNil(t, invalid)
			assert.Contains(t, invalid.Message, tc.want)
		})
	}
}

func TestRole_SliceAnnotations(t *testing.T) {
	role := kube.Role{SliceSize: 32, SliceTopology: "block", Slices: []kube.RoleSlice{
		{Size: 16, Topology: "rack", Preferred: true}, {Size: 4, Topology: "clique"},
	}}
	assert.Equal(t, map[string]string{
		kube.AnnotationSliceSize: "32,16,4", kube.AnnotationSliceTopology: "block,clique", kube.AnnotationSliceTopologyPreferred: "rack",
	}, role.SliceAnnotations())
	assert.Empty(t, (&kube.Role{}).SliceAnnotations())
}
