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
