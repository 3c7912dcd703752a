// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The core is told the time. Another clock would make a replay differ.
func TestCoreReadsNoClock(t *testing.T) {
	for _, dir := range pure {
		assert.Empty(t, clockReads(productFiles(t, "../"+dir)), dir)
	}
	assert.Equal(t, []string{"a.go: time.AfterFunc", "a.go: time.Now", "b.go: a dot import of time", "c.go: time.Since"}, clockReads(parseTexts(t, map[string]string{
		"a.go": `package p; import "time"; var a, b = time.Now(), time.AfterFunc; const c = time.Second`,
		"b.go": `package p; import . "time"; var d = Now()`,
		"c.go": `package p; import clock "time"; var e = clock.Since`,
	})))
}

// A file of the plugin is about one type, or about none: who looks for what a type
// does finds it beside the type.
func TestPluginDeclaresMethodsBesideTheirType(t *testing.T) {
	files := productFiles(t, "../pkg/plugin")
	assert.NotEmpty(t, methodsOf(files, "Plugin"))
	assert.Empty(t, strayMethods(files))
	assert.Equal(t, []string{"b.go declares b.stray, and a.go its type", "b.go declares c.stray, and nobody its type"}, strayMethods(parseTexts(t, map[string]string{
		"a.go": `package p; type a struct{}; func (*a) near() {}; type b[T any] struct{}`,
		"b.go": `package p; func (x *b[T]) stray() {}; func (c) stray() {}`,
	})))
}

// The plugin's type is the list of its extension points. What they do belongs to
// the types that they ask.
func TestPluginIsAListOfExtensionPoints(t *testing.T) {
	const most = 25
	assert.LessOrEqual(t, len(methodsOf(productFiles(t, "../pkg/plugin"), "Plugin")), most)
	assert.Equal(t, []string{"One", "two"}, methodsOf(parseTexts(t, map[string]string{
		"a.go": `package p; func (p *Plugin) two() {}; func (other) Three() {}; func Four() {}`,
		"b.go": `package p; func (Plugin) One() {}`,
	}), "Plugin"))
}

// productFiles parses the files of a directory that are no tests, by name.
func productFiles(t *testing.T, dir string) map[string]*ast.File {
	files := map[string]*ast.File{}
	for name, f := range parseDir(t, dir) {
		if !strings.HasSuffix(name, "_test.go") {
			files[filepath.Base(name)] = f
		}
	}
	require.NotEmpty(t, files, dir)
	return files
}

func parseTexts(t *testing.T, texts map[string]string) map[string]*ast.File {
	files := map[string]*ast.File{}
	for name, text := range texts {
		f, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		require.NoError(t, err)
		files[name] = f
	}
	return files
}

var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

// clockReads lists what files take from package time that reads a clock or waits
// for one.
func clockReads(files map[string]*ast.File) []string {
	var reads []string
	for file, f := range files {
		name := ""
		for _, imported := range f.Imports {
			if imported.Path.Value == `"time"` {
				name = "time"
				if imported.Name != nil {
					name = imported.Name.Name
				}
			}
		}
		if name == "." {
			reads = append(reads, file+": a dot import of time")
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clocks, s.Sel.Name) {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
					reads = append(reads, file+": time."+s.Sel.Name)
				}
			}
			return true
		})
	}
	slices.Sort(reads)
	return reads
}

// strayMethods lists methods that are declared in another file than their type.
func strayMethods(files map[string]*ast.File) []string {
	home := map[string]string{}
	for file, f := range files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok {
						home[s.Name.Name] = file
					}
				}
			}
		}
	}
	var stray []string
	for file, f := range files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv != nil && home[receiverOf(d)] != file {
				stray = append(stray, file+" declares "+receiverOf(d)+"."+d.Name.Name+", and "+cmp.Or(home[receiverOf(d)], "nobody")+" its type")
			}
		}
	}
	slices.Sort(stray)
	return stray
}

// methodsOf lists the methods of a type.
func methodsOf(files map[string]*ast.File, name string) []string {
	methods := map[string]bool{}
	for _, f := range files {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && receiverOf(d) == name {
				methods[d.Name.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(methods))
}

// receiverOf names the type that a method is of, "" for a function.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	receiver := d.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name
		default:
			return ""
		}
	}
}
