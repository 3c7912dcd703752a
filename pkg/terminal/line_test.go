// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/terminal"
)

func TestLine_FitsTheTerminal(t *testing.T) {
	for _, test := range []struct {
		columns    int
		text, want string
	}{
		{80, "short", "short"},
		{6, "short", "short"},
		{5, "short", "shor"},
		{4, "█░█░█", "█░█"},
		{1, "short", ""},
		{0, "short", ""},
	} {
		var out bytes.Buffer
		line := &terminal.Line{Out: &out, Columns: func() int { return test.columns }}
		line.ShowText(test.text)
		assert.Equal(t, "\r\x1b[K"+test.want, out.String(), "%d columns", test.columns)
	}
}

func TestLine_Clear(t *testing.T) {
	var out bytes.Buffer
	line := &terminal.Line{Out: &out, Columns: func() int { return 80 }}
	line.ShowText("a")
	line.Clear()
	assert.Equal(t, "\r\x1b[Ka\r\x1b[K", out.String())
}

func TestIs_NoFileNorBuffer(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer file.Close()
	assert.False(t, terminal.IsTerminal(file))
	assert.False(t, terminal.IsTerminal(&bytes.Buffer{}))
	assert.Nil(t, terminal.NewLine(file))
	assert.Nil(t, terminal.NewLine(&bytes.Buffer{}))
}
