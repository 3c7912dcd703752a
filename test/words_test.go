// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"go/ast"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
)

// bannedWords must not be words of a declared name. Each is everyday English for
// what the field, or the code around it, has a term for; used as a name it cannot
// be searched for and comes to mean different things in different packages.
var bannedWords = map[string]string{
	"appraise":  "value, score",
	"appraisal": "value, score",
	"appraised": "value, score",
	"appraiser": "inventory, scorer",
	"astride":   "split across domains",
	"bunch":     "set, group",
	"calm":      "delay, interval",
	"camp":      "variant, group",
	"camps":     "variants, groups",
	"crew":      "pod set: the pods of one template",
	"crews":     "pod sets",
	"exemplar":  "template, first member",
	"freedom":   "remaining value",
	"ladder":    "levels",
	"lever":     "remedy",
	"levers":    "remedies",
	"likeness":  "fingerprint, hash",
	"look":      "read, check, evaluate",
	"looked":    "read, checked, evaluated",
	"looks":     "reads, checks, evaluations",
	"lull":      "quiet period, debounce",
	"malus":     "penalty",
	"misfit":    "mismatch",
	"nobody":    "none, hole",
	"oddities":  "warnings",
	"oddity":    "warning",
	"pour":      "water-fill, assign",
	"poured":    "assigned",
	"said":      "declared, read",
	"says":      "declares, reports",
	"seldom":    "maximum interval",
	"shaken":    "unattributed, invalidated",
	"stand":     "run on, be in, be placed",
	"standing":  "bound, placed; of a gang: phase",
	"stands":    "runs on, is in, is placed",
	"strike":    "prune, exclude",
	"struck":    "pruned, excluded",
	"tell":      "report, publish",
	"tells":     "reports, publishes",
	"told":      "reported, published",
	"vessel":    "model, bin",
	"vessels":   "models, bins",
	"voice":     "representative pod",
	"wish":      "requirement, preference, default",
	"wished":    "required, preferred",
	"wishes":    "requirements, preferences",
}

// TestNamesUseTheWordsOfTheField checks the names that files without tests
// declare: functions, methods, types, variables, constants and fields.
func TestNamesUseTheWordsOfTheField(t *testing.T) {
	for _, dir := range packages(t, "../pkg", "../internal", "../cmd", "../benchmarks", "../test") {
		for name, file := range parseDir(t, dir) {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, declared := range declaredNames(file) {
				for _, word := range nameWords(declared) {
					instead, banned := bannedWords[word]
					if !banned {
						continue
					}
					assert.Fail(t, "a name outside the vocabulary", "%s: %s in %s; write %s", name, word, declared, instead)
				}
			}
		}
	}
}

// declaredNames lists the names that a file declares at package level, with the
// fields and methods of its types, those of nested type literals included.
func declaredNames(file *ast.File) []string {
	var names []string
	add := func(idents ...*ast.Ident) {
		for _, id := range idents {
			names = append(names, id.Name)
		}
	}
	members := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			for _, f := range n.Fields.List {
				add(f.Names...)
			}
		case *ast.InterfaceType:
			for _, f := range n.Methods.List {
				add(f.Names...)
			}
		case *ast.FuncLit:
			return false
		}
		return true
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			add(decl.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name)
				case *ast.ValueSpec:
					add(spec.Names...)
				}
			}
			ast.Inspect(decl, members)
		}
	}
	return names
}

// nameWords splits a camel-case name into its words in lower case. An initialism
// is one word: "readGPUNode" is read, gpu, node.
func nameWords(name string) []string {
	var words []string
	runes := []rune(name)
	start := 0
	for i := 1; i <= len(runes); i++ {
		if i < len(runes) && runes[i] != '_' && !startsWord(runes, i) {
			continue
		}
		if word := strings.Trim(strings.ToLower(string(runes[start:i])), "_"); word != "" {
			words = append(words, word)
		}
		start = i
	}
	return words
}

// startsWord reports whether a word begins at rune i: at an upper-case letter
// behind another kind of letter, and at the last one of an initialism that a
// lower-case letter follows.
func startsWord(runes []rune, i int) bool {
	if !unicode.IsUpper(runes[i]) {
		return false
	}
	return !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

func TestNameWords(t *testing.T) {
	for name, want := range map[string][]string{
		"wishOf":      {"wish", "of"},
		"readGPUNode": {"read", "gpu", "node"},
		"GPUWish":     {"gpu", "wish"},
		"NodeID":      {"node", "id"},
		"_":           nil,
		"a_b":         {"a", "b"},
	} {
		assert.Equal(t, want, nameWords(name), name)
	}
}
