// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/pkg/queue"
)

func TestWriteHistory_CallsEveryGangByItsOwnName(t *testing.T) {
	var out strings.Builder
	WriteHistory(&out, []queue.Decision{
		{Gang: "a/label~train", Kind: queue.DecisionPassed, Message: "passed by b/auto~job~small"},
	})
	assert.Contains(t, out.String(), "a/train ")
	assert.Contains(t, out.String(), "passed by b/job/small")
	assert.NotContains(t, out.String(), "~")
}
