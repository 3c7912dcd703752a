// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/muster-scheduler/muster/pkg/explain"
)

// WriteFabric writes the tree of domains with what is free in each.
func WriteFabric(w io.Writer, f *explain.Fabric) {
	legend, anyOut, crossing := f.Resource+"; empty: nodes with all of it free", false, ""
	t := NewTable("DOMAIN", "LEVEL", ">NODES", ">EMPTY", ">OUT", ">FREE", ">TOTAL", "MODEL", "STATE")
	for _, d := range f.Domains {
		name := strings.Repeat("  ", d.Depth) + d.Name
		if d.Level == explain.NodeLevel {
			t.AddRow(name, d.Level, "", "", "", explain.FormatQuantity(f.Resource, d.Free), explain.FormatQuantity(f.Resource, d.Total), d.Model, d.State)
			continue
		}
		if d.Crossing {
			crossing = "; the domains at the end lie across the others, over the same nodes"
		}
		// The cluster is no level that a gang could ask for.
		level := d.Level
		if d.Depth == 0 {
			level = ""
		}
		anyOut = anyOut || d.Out > 0
		t.AddRow(name, level, d.Nodes, d.Empty, blankIfZero(d.Out), explain.FormatQuantity(f.Resource, d.Free), explain.FormatQuantity(f.Resource, d.Total), "", "")
	}
	// The legend explains a column only where the column is shown.
	if anyOut {
		legend += "; out: cordoned or not ready, not counted as free"
	}
	writeText(w, "%s%s\n\n", legend, crossing)
	t.Write(w, 0)
}

// blankIfZero returns "" for zero: most domains have no node out of use, and
// the others should catch the eye.
func blankIfZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
