// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"

	"github.com/muster-scheduler/muster/pkg/explain"
)

// Plans writes where gangs and pods would go.
func Plans(w io.Writer, plans []*explain.Outline) {
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(w)
		}
		plan(w, p)
	}
}

func plan(w io.Writer, p *explain.Outline) {
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
		fmt.Fprintf(w, "%s %s/%s: would start %d of %s on %s in %s%s\n", what, p.Namespace, p.Name, placed, plural(len(p.Pods), "pod"), plural(p.Hosts, "node"), in(p.Domain), model)
	} else {
		fmt.Fprintf(w, "%s %s/%s: would wait\n%s: %s\n", what, p.Namespace, p.Name, p.Reason, p.Message)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	if !p.Fits {
		return
	}
	t := NewTable("POD", "NODE", "IN", "GPU LINKS")
	for _, s := range p.Pods {
		node := s.Node
		if node == "" {
			node = "waits for room"
		}
		t.Row(s.Pod, node, s.Domain, links(s.Links))
	}
	fmt.Fprintln(w)
	t.Write(w, 0)
}

// links says how GPUs reach each other, and how sure that is.
func links(l *explain.Links) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", l.Link, l.Basis)
}

// in puts a path into a sentence.
func in(path string) string {
	if path == "cluster" {
		return "the cluster"
	}
	return path
}
