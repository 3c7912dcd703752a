// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package test holds the checks that concern the repository as a whole.
package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/muster-scheduler/muster"

// pure are the packages that decide: they run the same in the scheduler, the
// command line and the simulator because they depend on nothing else.
var pure = []string{"pkg/topology", "pkg/gang", "pkg/placement", "pkg/gpu", "pkg/preemption", "pkg/queue"}

func TestCoreImportsOnlyTheStandardLibrary(t *testing.T) {
	for _, dir := range pure {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+"/"+dir).Output()
		require.NoError(t, err, dir)
		deps := strings.Fields(string(out))
		assert.Contains(t, deps, module+"/"+dir)
		for _, dep := range deps {
			_, ours := strings.CutPrefix(dep, module+"/")
			assert.True(t, ours, "%s depends on %s", dir, dep)
		}
	}
}

// What the core must not even ask of the standard library: the same input gives
// the same answer, whatever the time, the place and the dice. The queue is told
// the time, and has its types from package time.
func TestCoreReadsNothing(t *testing.T) {
	for _, dir := range pure {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, module+"/"+dir).Output()
		require.NoError(t, err, dir)
		for imported := range strings.FieldsSeq(string(out)) {
			for _, banned := range []string{"os", "time", "net", "math/rand", "context", "log"} {
				if banned == "time" && dir == "pkg/queue" {
					continue
				}
				assert.False(t, imported == banned || strings.HasPrefix(imported, banned+"/"), "%s imports %s", dir, imported)
			}
		}
	}
}

// Declarations are read without a client, gangs are gathered without one, and
// only the shim knows the API server and the scheduler.
func TestDialectImportsPointOneWay(t *testing.T) {
	for dir, banned := range map[string][]string{
		"pkg/dialect":       {"k8s.io/client-go", "k8s.io/kubernetes", module + "/pkg/dialect"},
		"pkg/dialect/store": {"k8s.io/client-go", "k8s.io/kubernetes/pkg/scheduler", module + "/pkg/dialect/shim"},
	} {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, module+"/"+dir).Output()
		require.NoError(t, err, dir)
		require.NotEmpty(t, out, dir)
		for imported := range strings.FieldsSeq(string(out)) {
			for _, b := range banned {
				assert.False(t, imported == b || strings.HasPrefix(imported, b+"/"), "%s imports %s", dir, imported)
			}
		}
	}
}

func TestCommandsHoldNoTestCode(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"/cmd/...").Output()
	require.NoError(t, err)
	deps := strings.Fields(string(out))
	assert.Contains(t, deps, module+"/pkg/scheduler")
	for _, dep := range deps {
		assert.False(t, strings.HasPrefix(dep, module+"/test/"), "a command depends on %s", dep)
	}
}

// The checker of the chaos bench shares no code with what it judges.
func TestCheckerSharesNothingWithTheProduct(t *testing.T) {
	const dir = "/test/chaos/checker"
	out, err := exec.Command("go", "list", "-deps", module+dir).Output()
	require.NoError(t, err)
	deps := strings.Fields(string(out))
	assert.Contains(t, deps, module+dir)
	for _, dep := range deps {
		assert.False(t, dep != module+dir && strings.HasPrefix(dep, module+"/"), "it depends on %s", dep)
		assert.False(t, strings.HasPrefix(dep, "k8s.io/kubernetes"), "it depends on %s", dep)
	}
}

func TestPackagesAndExportedNamesAreDocumented(t *testing.T) {
	for _, dir := range packages(t, "../pkg", "../internal", "../cmd", "../benchmarks", "../test") {
		files := parseDir(t, dir)
		documented := false
		for _, f := range files {
			documented = documented || f.Doc != nil
		}
		assert.True(t, documented, "%s has no package comment", dir)
	}
	for _, dir := range pure {
		for name, f := range parseDir(t, "../"+dir) {
			if !strings.HasSuffix(name, "_test.go") {
				assertDocumented(t, f)
			}
		}
	}
}

// packages lists the directories below roots that hold Go files.
func packages(t *testing.T, roots ...string) []string {
	seen := map[string]bool{}
	var dirs []string
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && e.Name() == "testdata" {
				return filepath.SkipDir
			}
			if dir := filepath.Dir(path); strings.HasSuffix(path, ".go") && !seen[dir] {
				seen[dir] = true
				dirs = append(dirs, dir)
			}
			return nil
		})
		require.NoError(t, err)
	}
	return dirs
}

func parseDir(t *testing.T, dir string) map[string]*ast.File {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	files := map[string]*ast.File{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		files[name] = f
	}
	return files
}

func assertDocumented(t *testing.T, f *ast.File) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			assert.True(t, !d.Name.IsExported() || d.Doc != nil, "%s is not documented", d.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
					assert.True(t, d.Doc != nil || s.Doc != nil, "%s is not documented", s.Name)
				}
			}
		}
	}
}
