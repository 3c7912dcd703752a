// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
)

func quantity(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.DecimalSI) }

// ageless is output without the figures that grow by the second.
func ageless(text string) string {
	return regexp.MustCompile(`(?m)^(age|wait)Seconds: \d+$`).ReplaceAllString(text, "${1}Seconds: N")
}

// assertNoSecret looks for the word that the tests hide in their objects.
func assertNoSecret(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*")
	require.NoError(t, err)
	assert.Len(t, files, 5)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "s3cr3t", file)
	}
}
