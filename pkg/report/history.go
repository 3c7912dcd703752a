// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// WriteHistory writes decisions as a table, in their order.
func WriteHistory(w io.Writer, list []queue.Decision) {
	if len(list) == 0 {
		fmt.Fprintln(w, "this replica remembers no such decision; only the one that leads makes any, and it forgets when it ends")
		return
	}
	t := NewTable("TIME", "GANG", "DECISION", "REASON", "MESSAGE")
	for _, d := range list {
		t.AddRow(d.Time.UTC().Format(time.RFC3339), displayGang(d.Gang), d.Kind, d.Reason, displayMessage(d))
	}
	t.Write(w, 0)
}

// displayMessage is the message of a decision, in which another gang goes by its
// own name, too.
func displayMessage(d queue.Decision) string {
	const passedBy = "passed by "
	if group, ok := strings.CutPrefix(d.Message, passedBy); ok && d.Kind == queue.DecisionPassed {
		return passedBy + displayGang(group)
	}
	return d.Message
}

// displayGang is what users call the gang of a group, after its namespace.
func displayGang(group string) string {
	namespace, name, ok := strings.Cut(group, "/")
	if !ok {
		return group
	}
	_, own := kube.SplitGroupName(name)
	return namespace + "/" + own
}
