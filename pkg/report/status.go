// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"

	"github.com/muster-scheduler/muster/pkg/explain"
)

// WriteStatuses writes gangs as a table. namespace is the one that was asked
// for, "" for all; its column is left out where there is one only.
func WriteStatuses(w io.Writer, list []explain.Status, namespace string) {
	if len(list) == 0 {
		// An empty table would leave open whether the namespace was the wrong one.
		if namespace == "" {
			fmt.Fprintln(w, "there are no gangs")
		} else {
			fmt.Fprintf(w, "there are no gangs in namespace %s; -A shows those of all namespaces\n", namespace)
		}
		return
	}
	t := NewTable("NAMESPACE", "GANG", "DIALECT", "PHASE", ">BOUND", ">MIN", ">PODS", "DOMAIN", ">AGE", ">WAIT", "WHY")
	for _, s := range list {
		shown := s.Namespace
		if namespace != "" {
			shown = ""
		}
		// A gang that cannot be read has no minimum, which is not the minimum 0.
		least := fmt.Sprint(s.MinCount)
		if s.MinCount == 0 {
			least = "?"
		}
		t.AddRow(shown, s.Name, s.Dialect, s.Phase, s.Bound, least, s.Pods, dashIfEmpty(s.Domain), FormatAge(s.AgeSeconds), FormatAge(s.WaitSeconds), formatReason(s))
	}
	t.Write(w, 0)
}

// formatReason returns the reason and the message.
func formatReason(s explain.Status) string {
	if s.Reason == "" {
		return ""
	}
	return string(s.Reason) + ": " + s.Message
}

// dashIfEmpty returns "-" for an empty text.
func dashIfEmpty(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
