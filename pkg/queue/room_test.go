// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRoomVerdict(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("elsewhere", 3600))
	of := func(gang string, names ...string) []Victim {
		var victims []Victim
		for i, name := range names {
			victims = append(victims, Victim{Namespace: "ns", Name: name, Gang: gang, Node: "n" + name, Until: at.Add(time.Duration(i) * time.Second)})
		}
		return victims
	}
	beside := func(victims []Victim) []Victim {
		for i := range victims {
			victims[i].Beside = true
			victims[i].Until = at.Add(time.Hour)
		}
		return victims
	}
	elsewhere := Victim{Namespace: "other", Name: "secret", Gang: "hidden", Node: "na"}
	for _, test := range []struct {
		name    string
		victims []Victim
		want    string
	}{
		{"a pod", of("", "a"), "pod a to end on node na; the last grace period is over at 2026-03-01T11:00:00Z"},
		{"some pods", of("", "a", "b", "c", "d", "e"), "pods a, b, c and 2 more to end on nodes na, nb, nc and 2 more; the last grace period is over at 2026-03-01T11:00:04Z"},
		{"a gang", of("old", "a", "b"), "2 pods of gang old to end on nodes na, nb; the last grace period is over at 2026-03-01T11:00:01Z"},
		{"a gang and a pod", append(of("", "b"), of("old", "a")...), "1 pod of gang old, pod b to end on nodes na, nb; the last grace period is over at 2026-03-01T11:00:00Z"},
		{"the rest of a gang ends elsewhere", append(of("old", "a"), beside(of("old", "b", "c"))...),
			"1 pod of gang old to end on node na; the last grace period is over at 2026-03-01T11:00:00Z; with them end 2 pods of gang old on nodes nb, nc"},
		{"much of it does", append(of("old", "a"), beside(of("old", "b", "c", "d", "e", "f"))...),
			"1 pod of gang old to end on node na; the last grace period is over at 2026-03-01T11:00:00Z; with them end 5 pods of gang old on nodes nb, nc, nd and 2 more"},
		{"another namespace is not named", append(of("", "a"), elsewhere), "pod a, 1 pod of other namespaces to end on node na; the last grace period is over at 2026-03-01T11:00:00Z"},
		{"many gangs", append(append(of("g1", "a"), of("g2", "b")...), append(of("g3", "c"), append(of("g4", "d"), of("g5", "e")...)...)...),
			"1 pod of gang g1, 1 pod of gang g2, 1 pod of gang g3, those of 2 more gangs to end on nodes na, nb, nc and 2 more; the last grace period is over at 2026-03-01T11:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := RoomVerdict("ns", "train", test.victims)
			assert.Equal(t, "RoomBeingMade", v.Reason)
			assert.Equal(t, "room is being made for gang train: waiting for "+test.want, v.Message)
		})
	}
}

// What ends on a promised node is waited for; the rest of its gang is told of.
func TestVictims_WithTheirGangs(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := newHoldLedger()
	for name, gang := range map[string]string{"a": "old", "b": "old", "c": "other", "d": "", "gone": "old"} {
		until := now.Add(time.Minute)
		if name == "gone" {
			until = now.Add(-time.Hour)
		}
		h.addTermination(name, termination{gang: gang, node: "n" + name, name: "ns/" + name, gangName: gang, priority: 1, until: until})
	}
	told := func(nodes ...string) (names []string) {
		promised := map[string]int32{}
		for _, node := range nodes {
			promised[node] = 10
		}
		for _, v := range h.victims(promised, now) {
			if v.Beside {
				v.Name += " beside"
			}
			names = append(names, v.Name)
		}
		return names
	}
	assert.Equal(t, []string{"a", "b beside"}, told("na"))
	assert.Equal(t, []string{"a", "b", "c"}, told("na", "nb", "nc"))
	assert.Equal(t, []string{"d"}, told("nd"), "single pods are of no gang")
	assert.Empty(t, told("nx"))
}
