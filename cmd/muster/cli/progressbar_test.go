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
	b := &progressBar{line: line, now: func() time.Time { return now }}
	b.showProgress("1 of 2, muster", 1, 4)
	b.showProgress("1 of 2, muster", 2, 4) // too soon
	now = now.Add(redrawInterval)
	b.showProgress("1 of 2, muster", 3, 4)
	b.clearLine()
	assert.Equal(t, []string{
		"",
		"\x1b[K[" + strings.Repeat("█", 7) + strings.Repeat("░", 23) + "]  25 %  1 of 2, muster: 1 of 4 jobs have ended",
		"\x1b[K[" + strings.Repeat("█", 22) + strings.Repeat("░", 8) + "]  75 %  1 of 2, muster: 3 of 4 jobs have ended",
		"\x1b[K",
	}, strings.Split(out.String(), "\r"))
}

func TestBar_IsSilentWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	b := newProgressBar(&out, false)
	b.showProgress("muster", 1, 2)
	b.clearLine()
	assert.Empty(t, out.String())
}
