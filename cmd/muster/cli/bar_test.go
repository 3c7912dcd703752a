// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/pkg/terminal"
)

func TestBar(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	line := &terminal.Line{Out: &out, Columns: func() int { return 80 }}
	b := &bar{line: line, now: func() time.Time { return now }}
	b.show("1 of 2, muster", 1, 4)
	b.show("1 of 2, muster", 2, 4) // too soon
	now = now.Add(redraw)
	b.show("1 of 2, muster", 3, 4)
	b.clear()
	assert.Equal(t, []string{
		"",
		"\x1b[K[" + strings.Repeat("█", 7) + strings.Repeat("░", 23) + "]  25 %  1 of 2, muster: 1 of 4 jobs have ended",
		"\x1b[K[" + strings.Repeat("█", 22) + strings.Repeat("░", 8) + "]  75 %  1 of 2, muster: 3 of 4 jobs have ended",
		"\x1b[K",
	}, strings.Split(out.String(), "\r"))
}

func TestBar_IsSilentWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	b := newBar(&out, false)
	b.show("muster", 1, 2)
	b.clear()
	assert.Empty(t, out.String())
}
