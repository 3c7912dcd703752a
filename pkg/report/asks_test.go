// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/report"
)

func TestExplanation_TellsWishesFromDemands(t *testing.T) {
	e := &explain.Explanation{}
	e.MinCount = 32
	e.Asks.Slices = []explain.Slice{{Size: 16, Level: "rack"}, {Size: 4, Level: "clique", Preferred: true}}
	e.Asks.Roles = []explain.Role{{Pods: 32}}
	var b strings.Builder
	report.WriteExplanation(&b, e)
	assert.Contains(t, b.String(), "asks: 32 together, every 16 in one rack, if possible every 4 in one clique\n")
}
