// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// hostile is text that a user, or an attacker, may write where a number or a
// name is meant.
var hostile = []string{
	"", " ", " 8", "8 ", "8\n", "+8", "08", "0x8", "0b1000", "8.0", "8e0", "1e9", "-1", "0", "-0", "1_000",
	"2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616",
	"NaN", "Inf", "٨", "８", "8\x00", "\ufeff8", "\u202e8", "8\xff", "eight", "100001", strings.Repeat("9", 10_000),
	"ns/name", "../x", "a/b/c", "~", "label~x", "Train", "train_1", ".", "-", "a..b",
	strings.Repeat("a", 253), strings.Repeat("a", 254), "name with spaces", "名前", "${jndi}", "a\tb", "\x1b[31m",
}

func TestParseMinCount(t *testing.T) {
	for _, text := range []string{"1", "8", "64", "99999", "100000"} {
		n, err := kube.ParseMinCount(text)
		require.NoError(t, err, text)
		assert.Equal(t, text, strconv.Itoa(n))
	}
	for _, text := range hostile {
		_, err := kube.ParseMinCount(text)
		require.Error(t, err, "%q", text)
		assert.LessOrEqual(t, len(err.Error()), 300, "%q", text)
		assert.Contains(t, err.Error(), `want a number from 1 to 100000 in plain digits, such as "8"`)
	}
	_, err := kube.ParseMinCount("٨")
	assert.EqualError(t, err, `found "\u0668", want a number from 1 to 100000 in plain digits, such as "8"`)
}

func FuzzParseMinCount(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := kube.ParseMinCount(text)
		if (err == nil) != (strconv.Itoa(n) == text && n >= 1 && n <= kube.MaxMinCount) {
			t.Fatalf("%q was read as %d, %v", text, n, err)
		}
	})
}

func TestGangName(t *testing.T) {
	for _, dialect := range []kube.Dialect{kube.DialectLabel, kube.DialectCRD, kube.DialectNative, kube.DialectConflict} {
		group := kube.GroupName(dialect, "train-1.a")
		pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: group}}
		assert.Equal(t, "train-1.a", kube.GangName(pg))
		got, name := kube.SplitGroupName(group)
		assert.Equal(t, dialect, got)
		assert.Equal(t, "train-1.a", name)
	}
}
