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
	rowHeight = 15.0
	noteWidth = 112.0
)

// waits draws, for each size class and policy, a line from the median wait to
// the 95th percentile.
func (ch *Chart) waits(c *canvas, y float64) float64 {
	c.text("head", point{indent, y}, "Wait until every pod has a node")
	c.text("soft", point{indent, y + 19}, "filled mark: median; hollow mark: 95th percentile; what was never placed counts until the end of its replay")
	if len(ch.Runs) == 0 {
		return y + 19
	}
	classes := ch.Runs[0].Summary.Waits
	axis := newWaitAxis(indent+168, right-noteWidth, ch.longest())
	top := y + 36
	each := rowHeight*float64(len(ch.Runs)) + 12
	bottom := top + each*float64(len(classes))
	ch.waitGrid(c, axis, top, bottom)
	for i, class := range classes {
		from := top + each*float64(i)
		if i > 0 {
			c.line("grid", point{indent, from}, point{right, from})
		}
		c.text("name", point{indent, from + each/2 - 2}, class.Class)
		c.text("soft", point{indent, from + each/2 + 14}, plural(class.Gangs, noun(class.Class)))
		for k, r := range ch.Runs {
			c.add(`<g><title>%s, %s</title>`, r.Summary.Policy, waitInWords(r.Summary.Waits[i]))
			axis.draw(c, k, r.Summary.Waits[i], from+6+rowHeight*(float64(k)+0.5))
			c.add(`</g>`)
		}
	}
	return bottom + 26
}

// noun is what the members of a class are called.
func noun(class string) string {
	switch class {
	case "part of a node", "1 pod", "all single pods":
		return "pod"
	case "all":
		return "job"
	}
	return "gang"
}

func (ch *Chart) waitGrid(c *canvas, axis waitAxis, top, bottom float64) {
	c.line("axis", point{axis.none, top}, point{axis.none, bottom})
	c.text("softmid", point{axis.none, bottom + 18}, "none")
	for _, t := range waitTicks {
		if t > axis.most {
			break
		}
		c.line("grid", point{axis.at(t), top}, point{axis.at(t), bottom})
		c.text("softmid", point{axis.at(t), bottom + 18}, short(t))
	}
	c.line("axis", point{axis.none, bottom}, point{axis.to, bottom})
}

// waitInWords says what the marks of a class say.
func waitInWords(x sim.Wait) string {
	return fmt.Sprintf("%s: median %s, 95th percentile %s", x.Class, short(seconds(x.P50)), short(seconds(x.P95)))
}

// draw draws the waits of one class under policy k.
func (a waitAxis) draw(c *canvas, k int, x sim.Wait, y float64) {
	from, to := point{a.at(seconds(x.P50)), y}, point{a.at(seconds(x.P95)), y}
	if to.x > from.x {
		c.curve(lookOf(k), []point{from, to})
		c.mark(hollow, k, to)
	}
	c.mark(filled, k, from)
	if x.Waiting > 0 {
		c.text("soft", point{to.x + 10, y + 4}, fmt.Sprintf("%d never placed", x.Waiting))
	}
}

func (ch *Chart) longest() time.Duration {
	var longest time.Duration
	for _, r := range ch.Runs {
		for _, x := range r.Summary.Waits {
			longest = max(longest, seconds(x.P95))
		}
	}
	return longest
}
