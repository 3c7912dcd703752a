// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"time"

	"github.com/muster-scheduler/muster/internal/sim"
)

// rowHeight is that of a policy in a size class, noteWidth what is kept free for
// a word behind the longest wait.
const (
	// rowHeight is the height of a policy in a size class, noteWidth what is kept
	// free for a note beside the longest wait.
	rowHeight = 15.0
	noteWidth = 112.0
)

// drawWaits draws, for each size class and policy, a line from the median wait
// to the 95th percentile.
func (ch *Chart) drawWaits(c *canvas, y float64) float64 {
	c.drawText("head", point{indent, y}, "Wait until every pod has a node")
	c.drawText("soft", point{indent, y + 19}, "filled mark: median; hollow mark: 95th percentile; what was never placed counts until the end of its replay")
	if len(ch.Runs) == 0 {
		return y + 19
	}
	classes := ch.Runs[0].Summary.Waits
	axis := newWaitAxis(indent+168, right-noteWidth, ch.longestWait())
	top := y + 36
	each := rowHeight*float64(len(ch.Runs)) + 12
	bottom := top + each*float64(len(classes))
	ch.drawWaitGrid(c, axis, top, bottom)
	for i, class := range classes {
		from := top + each*float64(i)
		if i > 0 {
			c.drawLine("grid", point{indent, from}, point{right, from})
		}
		c.drawText("name", point{indent, from + each/2 - 2}, class.Class)
		c.drawText("soft", point{indent, from + each/2 + 14}, formatCount(class.Gangs, memberNoun(class.Class)))
		for k, r := range ch.Runs {
			c.addElement(`<g><title>%s, %s</title>`, r.Summary.Policy, describeWait(r.Summary.Waits[i]))
			axis.drawWait(c, k, r.Summary.Waits[i], from+6+rowHeight*(float64(k)+0.5))
			c.addElement(`</g>`)
		}
	}
	return bottom + 26
}

// memberNoun returns what the members of a class are called.
func memberNoun(class string) string {
	switch class {
	case "part of a node", "1 pod", "all single pods":
		return "pod"
	case "all":
		return "job"
	}
	return "gang"
}

// drawWaitGrid draws the ticks of the wait axis.
func (ch *Chart) drawWaitGrid(c *canvas, axis waitAxis, top, bottom float64) {
	c.drawLine("axis", point{axis.none, top}, point{axis.none, bottom})
	c.drawText("softmid", point{axis.none, bottom + 18}, "none")
	for _, t := range waitTicks {
		if t > axis.most {
			break
		}
		c.drawLine("grid", point{axis.positionOf(t), top}, point{axis.positionOf(t), bottom})
		c.drawText("softmid", point{axis.positionOf(t), bottom + 18}, shortDuration(t))
	}
	c.drawLine("axis", point{axis.none, bottom}, point{axis.to, bottom})
}

// describeWait returns the waits of a class as text.
func describeWait(x sim.Wait) string {
	return fmt.Sprintf("%s: median %s, 95th percentile %s", x.Class, shortDuration(fromSeconds(x.P50)), shortDuration(fromSeconds(x.P95)))
}

// drawWait draws the waits of one class under policy k.
func (a waitAxis) drawWait(c *canvas, k int, x sim.Wait, y float64) {
	from, to := point{a.positionOf(fromSeconds(x.P50)), y}, point{a.positionOf(fromSeconds(x.P95)), y}
	if to.x > from.x {
		c.drawCurve(styleOf(k), []point{from, to})
		c.drawMark(hollow, k, to)
	}
	c.drawMark(filled, k, from)
	if x.Waiting > 0 {
		c.drawText("soft", point{to.x + 10, y + 4}, fmt.Sprintf("%d never placed", x.Waiting))
	}
}

// longestWait returns the longest wait that is drawn.
func (ch *Chart) longestWait() time.Duration {
	var longest time.Duration
	for _, r := range ch.Runs {
		for _, x := range r.Summary.Waits {
			longest = max(longest, fromSeconds(x.P95))
		}
	}
	return longest
}
