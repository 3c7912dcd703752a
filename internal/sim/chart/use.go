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
	useHeight    = 200.0
	useStretches = 180
)

// use draws the GPUs at work over time.
func (ch *Chart) use(c *canvas, y float64) float64 {
	c.text("head", point{indent, y}, "GPUs at work")
	if len(ch.Runs) > 1 {
		c.text("soft", point{indent, y + 19}, "where lines meet, the policy that is named first lies on top")
	}
	top := y + 46
	bottom := top + useHeight
	begin, end, last := ch.span()
	shown := ch.shown(begin, end, last)
	at := func(t time.Duration) float64 {
		return left + float64(t-begin)/float64(max(1, shown-begin))*(right-left)
	}
	percents(c, point{left, top}, point{right, bottom})
	marks, name := ticks(shown - begin)
	for _, t := range marks {
		c.line("axis", point{at(begin + t), bottom}, point{at(begin + t), bottom + 5})
		c.text("softmid", point{at(begin + t), bottom + 20}, name(t))
	}
	note := fmt.Sprintf("time since the first arrival; mean of stretches of %s", short((shown-begin)/useStretches))
	if shown < end {
		note += "; the last job ends after " + short(end-begin)
	}
	c.text("softmid", point{(left + right) / 2, bottom + 38}, note)
	if last < shown {
		c.line("last", point{at(last), top}, point{at(last), bottom})
		c.text("softmid", point{min(at(last), right-32), top - 6}, "last arrival")
	}
	ch.drawn(func(i int, r Run) {
		values := r.Result.UsageCurve(begin, shown, useStretches)
		points := make([]point, len(values))
		for k, v := range values {
			points[k] = point{left + (float64(k)+0.5)/useStretches*(right-left), bottom - v*useHeight}
		}
		c.curve(lookOf(i), points)
	})
	return bottom + 38
}

// span is from the first arrival to the last end; last is the last arrival.
func (ch *Chart) span() (begin, end, last time.Duration) {
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

// shown is the right end of the picture.
func (ch *Chart) shown(begin, end, last time.Duration) time.Duration {
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

// percents draws the frame of a panel with lines at quarters.
func percents(c *canvas, from, to point) {
	for quarter := range 5 {
		y := to.y - float64(quarter)/4*(to.y-from.y)
		class := "grid"
		if quarter == 0 {
			class = "axis"
		}
		c.line(class, point{from.x, y}, point{to.x, y})
		c.text("softend", point{from.x - 8, y + 4}, fmt.Sprintf("%d %%", 25*quarter))
	}
}

// fits draws how often a later gang would find room, in three panels.
func (ch *Chart) fits(c *canvas, y float64) float64 {
	c.text("head", point{indent, y}, "A later gang of whole nodes would fit")
	c.text("soft", point{indent, y + 19}, "share of the time between the first and the last arrival, by the number of nodes")
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
		c.text("mid", point{(from.x + to.x) / 2, top - 12}, panel.name)
		percents(c, from, to)
		ch.fitsPanel(c, from, to, panel.share)
	}
	c.text("softmid", point{(left + right) / 2, top + height + 38}, "nodes of the later gang")
	return top + height + 58
}

func (ch *Chart) fitsPanel(c *canvas, from, to point, share func(sim.Fits) float64) {
	at := func(i int) float64 {
		return from.x + (float64(i)+0.5)/float64(len(sim.LaterSizes))*(to.x-from.x)
	}
	for i, size := range sim.LaterSizes {
		c.text("softmid", point{at(i), to.y + 18}, fmt.Sprint(size))
	}
	ch.drawn(func(k int, r Run) {
		var points []point
		for i, f := range r.Summary.Fits {
			points = append(points, point{at(i), to.y - share(f)*(to.y-from.y)})
		}
		c.curve(lookOf(k), points)
		for _, p := range points {
			c.mark(filled, k, p)
		}
	})
}

// plural writes a number of things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return sim.FormatThousands(n) + " " + what + "s"
}
