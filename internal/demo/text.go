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
	fmt.Fprintf(w, "\n%s: %s\n\n", title(r.Scheduler), r.headline())
	r.writePromises(w)
	r.writeWaits(w)
	r.writeUse(w)
	r.writePlaces(w)
	r.writeStuck(w)
}

func title(scheduler string) string {
	if scheduler == Default {
		return "Stock kube-scheduler"
	}
	return "Muster"
}

func (r *Report) headline() string {
	took := fmt.Sprintf("%.0f s", r.Elapsed)
	switch r.End {
	case Done:
		return fmt.Sprintf("all %d gangs did their work, in %s", r.Load.Gangs, took)
	case Stalled:
		return fmt.Sprintf("DEADLOCK after %s: %d of %d gangs did their work, nothing moves any more", took, r.Worked, r.Load.Gangs)
	case Limit:
		return fmt.Sprintf("time is up after %s: %d of %d gangs did their work", took, r.Worked, r.Load.Gangs)
	}
	return fmt.Sprintf("ended early after %s: %d of %d gangs did their work", took, r.Worked, r.Load.Gangs)
}

func row(w io.Writer, name, format string, args ...any) {
	fmt.Fprintf(w, "  %-24s "+format+"\n", append([]any{name}, args...)...)
}

func (r *Report) writePromises(w io.Writer) {
	a := r.Audit
	row(w, "gangs placed whole", "%d of %d (%s pods)", r.Placed, r.Load.Gangs, sim.Thousands(r.Load.Pods))
	row(w, "gangs partly started", "%d (for over %s; the longest was %s%s)", a.Partial, a.CommitWindow, round(a.Longest), of(a.LongestGang))
	row(w, "overcommits", "%d (kubelets refused %d pods)", a.Violations[audit.NoOvercommit], a.Rejected)
	if r.Load.Topology == Required {
		row(w, "topology broken", "%d", a.Violations[audit.RequiredTopology])
	}
	row(w, "pods bound twice", "%d", a.Violations[audit.BindOnce])
	row(w, "checked", "by an auditor of its own, at each of %s events (%s binds)", sim.Thousands(a.Events), sim.Thousands(a.Binds))
}

func of(gang string) string {
	if gang == "" {
		return ""
	}
	return ", " + gang[strings.IndexByte(gang, '/')+1:]
}

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

func (r *Report) writeUse(w io.Writer) {
	fmt.Fprintln(w)
	row(w, "GPUs at work", "%3.0f %% while gangs arrive   %s", 100*r.Working, sim.Sparkline(r.WorkingCurve))
	row(w, "GPUs held without work", "%3.0f %%                      %s", 100*r.Idle, sim.Sparkline(r.IdleCurve))
}

func (r *Report) writePlaces(w io.Writer) {
	fmt.Fprintln(w)
	if r.FitLeaf > 0 {
		row(w, "inside one leaf", "%d of %d gangs that fit one (%.0f %%)", r.InOneLeaf, r.FitLeaf, 100*float64(r.InOneLeaf)/float64(r.FitLeaf))
	}
	if r.LeafSpread > 0 {
		row(w, "leaves of larger gangs", "%.2f x the fewest possible", r.LeafSpread)
	}
	row(w, "binding", "%s pods; %.0f/s while busy, %d/s at best; a gang's first to last bind p50 %.2f s, p95 %.2f s",
		sim.Thousands(r.Binds), r.BindRateMean, r.BindRatePeak, r.CommitP50, r.CommitP95)
	row(w, "control plane", "p95 of a gang: %.1f s to create it, %.1f s from bound to running, %.1f s to remove it", r.Creating.P95, r.Starting.P95, r.Removing.P95)
	if r.SchedulerCPU > 0 {
		row(w, "scheduler", "%.1f s of processor time", r.SchedulerCPU)
	}
}

// shownGangs bounds how many gangs without a place are named, shownReason the
// length of what is said of each.
const (
	shownGangs  = 3
	shownReason = 140
)

func (r *Report) writeStuck(w io.Writer) {
	if len(r.Stuck) > 0 {
		fmt.Fprintf(w, "\n  %d gangs hold GPUs for some of their pods and can neither start nor let go: %s\n", len(r.Stuck), some(r.Stuck))
	}
	names := slices.Sorted(maps.Keys(r.Reasons))
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(w, "\n  %d gangs were not placed. What the scheduler says of them:\n", r.Load.Gangs-r.Placed)
	for _, name := range names[:min(shownGangs, len(names))] {
		fmt.Fprintf(w, "    %s: %s\n", name, shorten(r.Reasons[name], shownReason))
	}
	if len(names) > shownGangs {
		fmt.Fprintf(w, "    and %d more\n", len(names)-shownGangs)
	}
}

func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

func some(names []string) string {
	if len(names) <= shownGangs {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shownGangs], ", "), len(names)-shownGangs)
}

// writeIntro says what is about to be replayed.
func (l *Load) writeIntro(w io.Writer, scheduler string) {
	fmt.Fprintf(w, "%s replays %d gangs of the Kalos LLM cluster (%s pods, real sizes, order and run times)\n", title(scheduler), l.Gangs, sim.Thousands(l.Pods))
	fmt.Fprintf(w, "on %d nodes x %d A100 under a real three-layer Clos fabric (Lingjun).\n", l.Nodes, l.GPUs/max(1, l.Nodes))
	fmt.Fprintf(w, "Time is squeezed: run times / %s, none under %.3g s; arrivals / %s, over %.0f s; offered load %.3g of the fleet.\n",
		sim.Thousands(int(l.Speed)), l.MinRun, sim.Thousands(int(l.ArrivalSpeed)), l.Span, l.Offered)
	if l.TooLarge > 0 {
		fmt.Fprintf(w, "%d gangs are left out: the fleet could not hold them even when empty.\n", l.TooLarge)
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
