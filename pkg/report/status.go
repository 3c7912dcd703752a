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
		least := fmt.Sprint(s.MinCount)
		if s.MinCount == 0 {
			least = "?"
		}
		t.Row(shown, s.Name, s.Dialect, s.Phase, s.Bound, least, s.Pods, orDash(s.Domain), Age(s.AgeSeconds), Age(s.WaitSeconds), why(s))
	}
	t.Write(w, 0)
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
