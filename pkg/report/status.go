// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"

	"github.com/muster-scheduler/muster/pkg/explain"
)

// Statuses writes gangs as a table. namespace is the one that was asked for,
// "" for all.
func Statuses(w io.Writer, list []explain.Status, namespace string) {
	if len(list) == 0 {
		none(w, "there are no gangs", namespace)
		return
	}
	t := NewTable("NAMESPACE", "GANG", "DIALECT", "PHASE", ">PRIORITY", ">BOUND", ">MIN", ">PODS", ">GPUS", "DOMAIN", ">AGE", ">WAIT", "WHY")
	for _, s := range list {
		least := fmt.Sprint(s.MinCount)
		if s.MinCount == 0 {
			least = "?"
		}
		t.Row(shown(s, namespace), s.Name, s.Dialect, s.Phase, s.Priority, s.Bound, least, s.Pods, s.GPUs,
			orDash(s.Domain), Age(s.AgeSeconds), Age(s.WaitSeconds), why(s))
	}
	t.Write(w, 0)
}

// Queue writes gangs that wait as a table, in their order. namespace is the one
// that was asked for, "" for all.
func Queue(w io.Writer, list []explain.Status, namespace string) {
	if len(list) == 0 {
		none(w, "no gang waits", namespace)
		return
	}
	t := NewTable(">PLACE", "NAMESPACE", "GANG", ">PRIORITY", ">GPUS", ">WAITING SINCE", "REASON", "WAITS FOR")
	for _, s := range list {
		t.Row(s.Place, shown(s, namespace), s.Name, s.Priority, s.GPUs, Age(s.AgeSeconds), s.Reason, s.WaitsFor)
	}
	t.Write(w, 0)
}

// none says that a list is empty.
func none(w io.Writer, what, namespace string) {
	if namespace == "" {
		fmt.Fprintln(w, what)
		return
	}
	fmt.Fprintf(w, "%s in namespace %s; -A shows those of all namespaces\n", what, namespace)
}

// shown is the namespace of a gang, where those of several are listed.
func shown(s explain.Status, namespace string) string {
	if namespace != "" {
		return ""
	}
	return s.Namespace
}

// why is the reason and the sentence.
func why(s explain.Status) string {
	if s.Reason == "" {
		return ""
	}
	return string(s.Reason) + ": " + s.Message
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
