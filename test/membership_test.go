// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"go/ast"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// memberWords are what a pod's state in its gang is read from.
var memberWords = []string{"DeletionTimestamp", "GetDeletionTimestamp", "PodSucceeded", "PodFailed", "SchedulingGates", "IsPodTerminal", "IsPodPhaseTerminal"}

// askOtherwise are the functions beside pkg/kube/membership.go that read one of those
// words, since they ask another question than what the pod counts as.
var askOtherwise = map[string]string{
	"pkg/dra/claims.go readPodClaim":              "whether a claim is going, which is no pod",
	"pkg/plugin/budgets.go selectedPods":          "which pods a disruption budget protects, as the API server asks it",
	"pkg/plugin/clusterwatch.go terminatingEvent": "until when a pod has time to end",
	"pkg/explain/victims.go victimOf":             "until when a pod has time to end",
	"pkg/dialect/shim/outcome.go resolveOutcome":  "whether the API server made a binding",
	"pkg/snapshot/strip.go StripPod":              "copies the field",
	"pkg/snapshot/strip.go stripMeta":             "copies the field",
}

// Who is a member of a gang is decided in one place: where callers decide it for
// themselves, the scheduler counts one gang and the command line another.
func TestMembershipIsDecidedInOnePlace(t *testing.T) {
	found := map[string]bool{}
	for _, dir := range packages(t, "../pkg", "../cmd/muster") {
		for path, file := range parseDir(t, dir) {
			name, _ := strings.CutPrefix(filepath.ToSlash(path), "../")
			if strings.HasSuffix(name, "_test.go") || name == "pkg/kube/membership.go" {
				continue
			}
			for _, decl := range file.Decls {
				if readsMembership(decl) {
					found[name+" "+declaredName(decl)] = true
				}
			}
		}
	}
	for where := range found {
		assert.Contains(t, askOtherwise, where, "%s reads a pod's state; ask kube.MemberStateOf", where)
	}
	for _, where := range slices.Sorted(maps.Keys(askOtherwise)) {
		assert.True(t, found[where], "%s reads nothing of a pod's state any more; take it off the list", where)
	}
}

// readsMembership reports whether a declaration has one of the words in it.
func readsMembership(decl ast.Decl) (reads bool) {
	ast.Inspect(decl, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(memberWords, s.Sel.Name) {
			reads = true
		}
		return !reads
	})
	return reads
}

// declaredName is the name of a function, or of the first constant, variable or type.
func declaredName(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				return s.Names[0].Name
			case *ast.TypeSpec:
				return s.Name.Name
			}
		}
	}
	return ""
}
