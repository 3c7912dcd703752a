// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"

	"github.com/muster-scheduler/muster/pkg/explain"
)

// WritePlans writes where gangs and pods would go.
func WritePlans(w io.Writer, plans []*explain.PlacementPreview) {
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(w)
		}
		writePlan(w, p)
	}
}

// writePlan writes one of them. The table of pods follows only if it fits: the
// message says why not.
func writePlan(w io.Writer, p *explain.PlacementPreview) {
	what := "pod"
	if p.Gang {
		what = "gang"
	}
	placed := 0
	for _, s := range p.Pods {
		if s.Node != "" {
			placed++
		}
	}
	if p.Fits {
		model := ""
		if p.Model != "" {
			model = ", all on " + p.Model
		}
		writeText(w, "%s %s/%s: would start %d of %s on %s in %s%s\n", what, p.Namespace, p.Name, placed, formatCount(len(p.Pods), "pod"), formatCount(p.Hosts, "node"), formatDomain(p.Domain), model)
	} else {
		writeText(w, "%s %s/%s: would wait\n%s: %s\n", what, p.Namespace, p.Name, p.Reason, p.Message)
	}
	for _, note := range p.Notes {
		writeText(w, "note: %s\n", note)
	}
	if !p.Fits {
		return
	}
	t := NewTable("POD", "NODE", "IN", "GPU LINKS")
	for _, s := range p.Pods {
		node := s.Node
		// Only members beyond the minimum can lack a node in a plan that fits.
		if node == "" {
			node = "waits for room"
		}
		t.AddRow(s.Pod, node, s.Domain, formatLinks(s.Links))
	}
	fmt.Fprintln(w)
	t.Write(w, 0)
}

// formatLinks returns the slowest GPU link and whether it is exact, "" if
// nothing is known.
func formatLinks(l *explain.Links) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", l.Link, l.Basis)
}

// formatDomain returns a path as a part of a sentence.
func formatDomain(path string) string {
	if path == "cluster" {
		return "the cluster"
	}
	return path
}
