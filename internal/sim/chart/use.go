// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"time"

	"github.com/muster-scheduler/muster/internal/sim"
)

// useHeight is that of the curves of GPUs at work, useStretches the number of
// equal stretches of time of which they show the mean.
const (
	// useHeight is the height of the curves of GPUs at work, useStretches the
	// number of equal intervals of which they show the mean.
	useHeight    = 200.0
	useStretches = 180
)

// drawUsage draws the GPUs at work over time.
func (ch *Chart) drawUsage(c *canvas, y float64) float64 {
	c.drawText("head", point{indent, y}, "GPUs at work")
	if len(ch.Runs) > 1 {
		c.drawText("soft", point{indent, y + 19}, "where lines meet, the policy that is named first lies on top")
	}
	top := y + 46
	bottom := top + useHeight
	begin, end, last := ch.timeSpan()
	shown := ch.visibleEnd(begin, end, last)
	at := func(t time.Duration) float64 {
		return left + float64(t-begin)/float64(max(1, shown-begin))*(right-left)
	}
	drawPercentGrid(c, point{left, top}, point{right, bottom})
	marks, name := axisTicks(shown - begin)
	for _, t := range marks {
		c.drawLine("axis", point{at(begin + t), bottom}, point{at(begin + t), bottom + 5})
		c.drawText("softmid", point{at(begin + t), bottom + 20}, name(t))
	}
	note := fmt.Sprintf("time since the first arrival; mean of stretches of %s", shortDuration((shown-begin)/useStretches))
	if shown < end {
		note += "; the last job ends after " + shortDuration(end-begin)
	}
	c.drawText("softmid", point{(left + right) / 2, bottom + 38}, note)
	if last < shown {
		c.drawLine("last", point{at(last), top}, point{at(last), bottom})
		c.drawText("softmid", point{min(at(last), right-32), top - 6}, "last arrival")
	}
	ch.eachRun(func(i int, r Run) {
		values := r.Result.UsageCurve(begin, shown, useStretches)
		points := make([]point, len(values))
		for k, v := range values {
			points[k] = point{left + (float64(k)+0.5)/useStretches*(right-left), bottom - v*useHeight}
		}
		c.drawCurve(styleOf(i), points)
	})
	return bottom + 38
}

// timeSpan returns the first arrival, the last end and the last arrival.
func (ch *Chart) timeSpan() (begin, end, last time.Duration) {
	for _, r := range ch.Runs {
		end = max(end, r.Result.End)
		if n := len(r.Result.Records); n > 0 {
			begin, last = r.Result.Records[0].Arrival, r.Result.Records[n-1].Arrival
		}
	}
	return begin, end, last
}

// tail is the share of a run's GPU time that may lie beyond the right end of the
// picture: a few jobs that run for weeks would else leave it empty.
const tail = 0.03

// visibleEnd returns the right end of the picture. It is earlier than the last
// end where that gains at least a quarter of the width.
func (ch *Chart) visibleEnd(begin, end, last time.Duration) time.Duration {
	until := last
	for _, r := range ch.Runs {
		for i := range r.Result.Usage {
			u, all := &r.Result.Usage[i], r.Result.Usage[len(r.Result.Usage)-1].Worked
			if u.Worked >= (1-tail)*all {
				until = max(until, u.At)
				break
			}
		}
	}
	if until-begin > (end-begin)*3/4 {
		return end
	}
	return until
}

// drawPercentGrid draws the frame of a panel with lines at quarters.
func drawPercentGrid(c *canvas, from, to point) {
	for quarter := range 5 {
		y := to.y - float64(quarter)/4*(to.y-from.y)
		class := "grid"
		if quarter == 0 {
			class = "axis"
		}
		c.drawLine(class, point{from.x, y}, point{to.x, y})
		c.drawText("softend", point{from.x - 8, y + 4}, fmt.Sprintf("%d %%", 25*quarter))
	}
}

// drawFits draws how often a later gang would fit, in three panels.
func (ch *Chart) drawFits(c *canvas, y float64) float64 {
	c.drawText("head", point{indent, y}, "A later gang of whole nodes would fit")
	c.drawText("soft", point{indent, y + 19}, "share of the time between the first and the last arrival, by the number of nodes")
	const gap, height = 62.0, 130.0
	panels := []struct {
		name  string
		share func(sim.Fits) float64
	}{
		{"in one leaf", func(f sim.Fits) float64 { return f.Leaf }},
		{"in one spine", func(f sim.Fits) float64 { return f.Spine }},
		{"anywhere", func(f sim.Fits) float64 { return f.Cluster }},
	}
	wide := (right - left - gap*float64(len(panels)-1)) / float64(len(panels))
	top := y + 56
	for k, panel := range panels {
		from := point{left + float64(k)*(wide+gap), top}
		to := point{from.x + wide, top + height}
		c.drawText("mid", point{(from.x + to.x) / 2, top - 12}, panel.name)
		drawPercentGrid(c, from, to)
		ch.drawFitsPanel(c, from, to, panel.share)
	}
	c.drawText("softmid", point{(left + right) / 2, top + height + 38}, "nodes of the later gang")
	return top + height + 58
}

// drawFitsPanel draws one of them; share picks the field of Fits.
func (ch *Chart) drawFitsPanel(c *canvas, from, to point, share func(sim.Fits) float64) {
	at := func(i int) float64 {
		return from.x + (float64(i)+0.5)/float64(len(sim.LaterSizes))*(to.x-from.x)
	}
	for i, size := range sim.LaterSizes {
		c.drawText("softmid", point{at(i), to.y + 18}, fmt.Sprint(size))
	}
	ch.eachRun(func(k int, r Run) {
		var points []point
		for i, f := range r.Summary.Fits {
			points = append(points, point{at(i), to.y - share(f)*(to.y-from.y)})
		}
		c.drawCurve(styleOf(k), points)
		for _, p := range points {
			c.drawMark(filled, k, p)
		}
	})
}

// formatCount returns a number with its noun.
func formatCount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return sim.FormatThousands(n) + " " + what + "s"
}
