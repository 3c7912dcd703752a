// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/report"
)

func TestAge(t *testing.T) {
	for seconds, want := range map[int64]string{
		0: "0s", 59: "59s", 60: "1m0s", 3599: "59m59s", 3600: "1h0m", 86399: "23h59m", 86400: "1d0h", 9*86400 + 7200: "9d2h", 864000: "10d",
	} {
		assert.Equal(t, want, report.FormatAge(seconds), "%d s", seconds)
	}
}

func TestTable_AlignsAndLeavesEmptyColumnsOut(t *testing.T) {
	table := report.NewTable("NAME", ">COUNT", "EMPTY", "WHY")
	table.AddRow("a", 1, "", "")
	table.AddRow("größer", 200, "", "x")
	var b strings.Builder
	table.Write(&b, 1)
	assert.Equal(t, " NAME    COUNT  WHY\n a           1\n größer    200  x\n", b.String())
}

func TestWrite_JSONAndYAMLSayTheSame(t *testing.T) {
	value := map[string]any{"gang": "train", "pods": 2}
	var b strings.Builder
	require.NoError(t, report.WriteValue(&b, report.JSON, value, nil))
	assert.JSONEq(t, `{"gang":"train","pods":2}`, b.String())
	b.Reset()
	require.NoError(t, report.WriteValue(&b, report.YAML, value, nil))
	assert.Equal(t, "gang: train\npods: 2\n", b.String())
}
