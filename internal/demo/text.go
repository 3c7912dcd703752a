// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/internal/sim"
)

// WriteText prints the report for people.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n\n", schedulerTitle(r.Scheduler), r.headlineText())
	r.writePromises(w)
	r.writeWaits(w)
	r.writeUse(w)
	r.writePlaces(w)
	r.writeStuck(w)
}

// schedulerTitle returns the name of a scheduler for people.
func schedulerTitle(scheduler string) string {
	if scheduler == Default {
		return "Stock kube-scheduler"
	}
	return "Muster"
}

// headlineText returns the end of the replay as a sentence.
func (r *Report) headlineText() string {
	took := fmt.Sprintf("%.0f s", r.Elapsed)
	switch r.End {
	case EndDone:
		return fmt.Sprintf("all %d gangs did their work, in %s", r.Load.Gangs, took)
	case EndStalled:
		return fmt.Sprintf("DEADLOCK after %s: %d of %d gangs did their work, nothing moves any more", took, r.Worked, r.Load.Gangs)
	case EndLimit:
		return fmt.Sprintf("time is up after %s: %d of %d gangs did their work", took, r.Worked, r.Load.Gangs)
	}
	return fmt.Sprintf("ended early after %s: %d of %d gangs did their work", took, r.Worked, r.Load.Gangs)
}

// writeRow prints a name and a value, aligned.
func writeRow(w io.Writer, name, format string, args ...any) {
	fmt.Fprintf(w, "  %-24s "+format+"\n", append([]any{name}, args...)...)
}

// writePromises prints what the auditor found.
func (r *Report) writePromises(w io.Writer) {
	a := r.Audit
	writeRow(w, "gangs placed whole", "%d of %d (%s pods)", r.Placed, r.Load.Gangs, sim.FormatThousands(r.Load.Pods))
	writeRow(w, "gangs partly started", "%d (for over %s; the longest was %s%s)", a.Partial, a.CommitWindow, roundDuration(a.Longest), ofGang(a.LongestGang))
	writeRow(w, "overcommits", "%d (kubelets refused %d pods)", a.Violations[audit.NoOvercommit], a.Rejected)
	if r.Load.Topology == TopologyRequired {
		writeRow(w, "topology broken", "%d", a.Violations[audit.RequiredTopology])
	}
	writeRow(w, "pods bound twice", "%d", a.Violations[audit.BindOnce])
	writeRow(w, "checked", "by an auditor of its own, at each of %s events (%s binds)", sim.FormatThousands(a.Events), sim.FormatThousands(a.Binds))
}

// ofGang returns ", " and the name of a gang without its namespace.
func ofGang(gang string) string {
	if gang == "" {
		return ""
	}
	return ", " + gang[strings.IndexByte(gang, '/')+1:]
}

// writeWaits prints the waits by size class.
func (r *Report) writeWaits(w io.Writer) {
	fmt.Fprintf(w, "\n  %-24s %6s %9s %9s %9s\n", "wait for all its nodes", "gangs", "p50", "p95", "longest")
	for _, x := range r.Waits {
		fmt.Fprintf(w, "    %-22s %6d %7.1f s %7.1f s %7.1f s", x.Class, x.Gangs, x.P50, x.P95, x.Max)
		if x.Waiting > 0 {
			fmt.Fprintf(w, "   %d never placed", x.Waiting)
		}
		fmt.Fprintln(w)
	}
}

// writeUse prints the utilization over time.
func (r *Report) writeUse(w io.Writer) {
	fmt.Fprintln(w)
	writeRow(w, "GPUs at work", "%3.0f %% while gangs arrive   %s", 100*r.Working, sim.Sparkline(r.WorkingCurve))
	writeRow(w, "GPUs held without work", "%3.0f %%                      %s", 100*r.Idle, sim.Sparkline(r.IdleCurve))
}

// writePlaces prints the locality of the gangs and the speed of the binds.
func (r *Report) writePlaces(w io.Writer) {
	fmt.Fprintln(w)
	if r.FitLeaf > 0 {
		writeRow(w, "inside one leaf", "%d of %d gangs that fit one (%.0f %%)", r.InOneLeaf, r.FitLeaf, 100*float64(r.InOneLeaf)/float64(r.FitLeaf))
	}
	if r.LeafSpread > 0 {
		writeRow(w, "leaves of larger gangs", "%.2f x the fewest possible", r.LeafSpread)
	}
	writeRow(w, "binding", "%s pods; %.0f/s while busy, %d/s at best; a gang's first to last bind p50 %.2f s, p95 %.2f s",
		sim.FormatThousands(r.Binds), r.BindRateMean, r.BindRatePeak, r.CommitP50, r.CommitP95)
	writeRow(w, "control plane", "p95 of a gang: %.1f s to create it, %.1f s from bound to running, %.1f s to remove it", r.Creating.P95, r.Starting.P95, r.Removing.P95)
	if r.SchedulerCPU > 0 {
		writeRow(w, "scheduler", "%.1f s of processor time", r.SchedulerCPU)
	}
}

// shownGangs bounds how many gangs without a place are named, shownReason the
// length of what is said of each.
const (
	shownGangs  = 3
	shownReason = 140
)

// writeStuck prints the gangs that were not placed, or only in part.
func (r *Report) writeStuck(w io.Writer) {
	if len(r.Stuck) > 0 {
		fmt.Fprintf(w, "\n  %d gangs hold GPUs for some of their pods and can neither start nor let go: %s\n", len(r.Stuck), listGangs(r.Stuck))
	}
	names := slices.Sorted(maps.Keys(r.Reasons))
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(w, "\n  %d gangs were not placed. What the scheduler says of them:\n", r.Load.Gangs-r.Placed)
	for _, name := range names[:min(shownGangs, len(names))] {
		fmt.Fprintf(w, "    %s: %s\n", name, shortenText(r.Reasons[name], shownReason))
	}
	if len(names) > shownGangs {
		fmt.Fprintf(w, "    and %d more\n", len(names)-shownGangs)
	}
}

// shortenText cuts a text to a number of characters.
func shortenText(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// listGangs joins the first names.
func listGangs(names []string) string {
	if len(names) <= shownGangs {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shownGangs], ", "), len(names)-shownGangs)
}

// writeIntro says what is about to be replayed.
func (l *Load) writeIntro(w io.Writer, scheduler string) {
	fmt.Fprintf(w, "%s replays %d gangs of the Kalos LLM cluster (%s pods, real sizes, order and run times)\n", schedulerTitle(scheduler), l.Gangs, sim.FormatThousands(l.Pods))
	fmt.Fprintf(w, "on %d nodes x %d A100 under a real three-layer Clos fabric (Lingjun).\n", l.Nodes, l.GPUs/max(1, l.Nodes))
	fmt.Fprintf(w, "Time is squeezed: run times / %s, none under %.3g s; arrivals / %s, over %.0f s; offered load %.3g of the fleet.\n",
		sim.FormatThousands(int(l.Speed)), l.MinRun, sim.FormatThousands(int(l.ArrivalSpeed)), l.Span, l.Offered)
	if l.TooLarge > 0 {
		fmt.Fprintf(w, "%d gangs are left out: the fleet could not hold them even when empty.\n", l.TooLarge)
	}
}

// roundDuration rounds to what a reader can use.
func roundDuration(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
