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
		writeNone(w, "there are no gangs", namespace)
		return
	}
	t := NewTable("NAMESPACE", "GANG", "DIALECT", "PHASE", ">PRIORITY", ">BOUND", ">MIN", ">PODS", ">GPUS", "DOMAIN", ">AGE", ">WAIT", "WHY")
	for _, s := range list {
		least := fmt.Sprint(s.MinCount)
		if s.MinCount == 0 {
			least = "?"
		}
		t.AddRow(shownNamespace(s, namespace), s.Name, s.Dialect, s.Phase, s.Priority, s.Bound, least, s.Pods, s.GPUs,
			dashIfEmpty(s.Domain), FormatAge(s.AgeSeconds), FormatAge(s.WaitSeconds), formatReason(s))
	}
	t.Write(w, 0)
}

// WriteQueue writes gangs that wait as a table, in their order. namespace is the one
// that was asked for, "" for all.
func WriteQueue(w io.Writer, list []explain.Status, namespace string) {
	if len(list) == 0 {
		writeNone(w, "no gang waits", namespace)
		return
	}
	t := NewTable(">PLACE", "NAMESPACE", "GANG", ">PRIORITY", ">GPUS", ">WAITING SINCE", "REASON", "WAITS FOR")
	for _, s := range list {
		t.AddRow(s.Place, shownNamespace(s, namespace), s.Name, s.Priority, s.GPUs, FormatAge(s.AgeSeconds), s.Reason, s.WaitsFor)
	}
	t.Write(w, 0)
}

// writeNone says that a list is empty.
func writeNone(w io.Writer, what, namespace string) {
	if namespace == "" {
		fmt.Fprintln(w, what)
		return
	}
	writeText(w, "%s in namespace %s; -A shows those of all namespaces\n", what, namespace)
}

// shownNamespace is the namespace of a gang, where those of several are listed.
func shownNamespace(s explain.Status, namespace string) string {
	if namespace != "" {
		return ""
	}
	return s.Namespace
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
