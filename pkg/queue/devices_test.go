// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestDevicesChanged_WakesGangsThatAskForThem refuses two gangs, and changes devices: only
// the one that asks for devices is tried again, also if they changed while it was tried.
func TestDevicesChanged_WakesGangsThatAskForThem(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for _, tc := range []struct {
		name  string
		asks  bool
		early bool // devices change before the answer
		want  bool
	}{
		{"one that asks for devices", true, false, true},
		{"one that asks for none", false, false, false},
		{"devices that changed meanwhile", true, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := New(Config{})
			seen := GangSeen{Gang: "u", Key: Key{Name: "ns/train"}, Readiness: Readiness{Gang: "train", MinCount: 1, Waiting: 1}, Asking: true, Fingerprint: 1}
			q.Step(start, Leading{})
			q.Step(start, seen)
			q.Step(start, Attempted{Gang: "u"})
			if tc.early {
				q.Step(start, DevicesChanged{})
			}
			q.Step(start, Refused{Gang: "u", Class: "c", Fingerprint: 1, Verdict: &Verdict{Reason: "NoFittingDomain", Remedy: ByRoom, Devices: tc.asks, Deficit: Quantities{"cpu": -1}}})
			if !tc.early {
				q.Step(start.Add(2*time.Second), DevicesChanged{})
			}
			woken := false
			for at := start; at.Before(start.Add(3 * time.Second)); at = at.Add(TickInterval) {
				for _, effect := range q.Step(at, Tick{}) {
					_, activated := effect.(Activate)
					woken = woken || activated
				}
			}
			assert.Equal(t, tc.want, woken)
		})
	}
}
