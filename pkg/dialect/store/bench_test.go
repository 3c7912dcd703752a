// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// BenchmarkStore is the life of one gang as the store sees it: each member is
// created, bound, runs and goes. The figure is for the whole gang.
func BenchmarkStore(b *testing.B) {
	for _, size := range []int{8, 64, 512, 4096} {
		b.Run(fmt.Sprintf("gang=%d", size), func(b *testing.B) {
			stages := [][]*v1.Pod{nil, nil, nil}
			for i := range size {
				name := fmt.Sprint("p", i)
				stages[0] = append(stages[0], train(name, "group=label~train"))
				stages[1] = append(stages[1], train(name, "group=label~train", "node=n1"))
				stages[2] = append(stages[2], train(name, "group=label~train", "node=n1", "phase=Running"))
			}
			b.ReportAllocs()
			for b.Loop() {
				w := newWorld()
				for _, stage := range stages {
					for _, p := range stage {
						w.SetPod(p)
					}
				}
				for _, p := range stages[0] {
					w.DeletePod(p.UID)
				}
			}
		})
	}
}
