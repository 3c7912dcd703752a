// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/workload"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	noSlug  = regexp.MustCompile(`[^a-z0-9 _-]`)
	tested  = regexp.MustCompile("go test [^`\n]*-(run|bench) '?([^'\\s]+)'? [^`\n]*?\\.(/[a-z0-9/]+)")
	target  = regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)")
)

// pages are the documents of the repository, without the code in them.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	}))
	require.Contains(t, found, "../README.md")
	return found
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for path, text := range all {
		for _, found := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(found[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			_, err := os.Stat(to)
			assert.NoError(t, err, "%s links to %s", path, found[1])
			if anchor != "" {
				assert.Contains(t, anchors(all[to]), anchor, "%s links to %s", path, found[1])
			}
		}
	}
}

// anchors are the names that a forge gives to the headings of a page.
func anchors(text string) []string {
	var names []string
	for _, found := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		name := noSlug.ReplaceAllString(strings.ToLower(found[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

func TestTheTargetsOfMakeThatAreNamedAreThere(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	for path, text := range pages(t) {
		for _, found := range target.FindAllStringSubmatch(text, -1) {
			assert.Regexp(t, `(?m)^`+found[1]+`:`, string(makefile), "%s names make %s", path, found[1])
		}
	}
}

func TestTheTestsThatAreNamedAreThere(t *testing.T) {
	named := 0
	for path, text := range pages(t) {
		for _, found := range tested.FindAllStringSubmatch(strings.ReplaceAll(text, "-run '^$' ", ""), -1) {
			kind := map[string]string{"run": "Test", "bench": "Benchmark"}[found[1]]
			pattern, err := regexp.Compile(found[2])
			require.NoError(t, err, "%s: %s", path, found[0])
			assert.True(t, slices.ContainsFunc(functions(t, ".."+found[3], kind), pattern.MatchString), "%s: %s", path, found[0])
			named++
		}
	}
	assert.Greater(t, named, 5)
}

// functions are the tests, or the benchmarks, of a folder.
func functions(t *testing.T, dir, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(`(?m)^func (`+kind+`\w*)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, found[1])
		}
	}
	return names
}

// The reasons that a running scheduler may give stand in metrics.md, which is
// held against it by test/monitoring.
func TestEveryReasonForWaitingIsExplained(t *testing.T) {
	all := pages(t)
	_, row, ok := strings.Cut(all["../docs/metrics.md"], "\n| `reason` |")
	require.True(t, ok, "docs/metrics.md lists no reasons")
	row, _, _ = strings.Cut(row, "\n")
	reasons := regexp.MustCompile("`([A-Z][A-Za-z]+)`").FindAllStringSubmatch(row, -1)
	assert.Greater(t, len(reasons), 10)
	for _, reason := range reasons {
		if reason[1] != "GangPlaced" && reason[1] != "Other" {
			assert.Contains(t, all["../docs/waiting.md"], "\n| `"+reason[1]+"` |", "docs/waiting.md")
		}
	}
}

// What auto and plan read is one table in the code.
func TestWorkloadsAreTheTableOfTheCode(t *testing.T) {
	assert.Contains(t, pages(t)["../docs/workloads.md"], "\n"+workload.TableText()+"\n", "docs/workloads.md")
}
