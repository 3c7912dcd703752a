// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/muster-scheduler/muster/internal/sim"
)

// Chart is a picture of replays of one trace.
type Chart struct {
	// Title says what was replayed, About on what and how.
	Title, About string
	// Runs are the replays, one a policy. They need the same trace.
	Runs []Run
}

// Run is a replay under one policy.
type Run struct {
	Summary sim.Summary
	Result  *sim.Result
}

// The frame, in pixels.
const (
	width  = 960.0
	left   = 62.0 // of what is drawn inside axes
	right  = width - 24
	indent = 24.0
)

const style = `text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#222}` +
	`.title{font-size:20px;font-weight:600}.head{font-size:15px;font-weight:600}.soft,.softmid,.softend{fill:#595959;font-size:12px}` +
	`.mid,.softmid{text-anchor:middle}.end,.softend{text-anchor:end}` +
	`.grid{stroke:#e2e2e2;fill:none}.axis{stroke:#767676;fill:none}.last{stroke:#767676;stroke-dasharray:4 4;fill:none}` +
	`.curve{fill:none;stroke-linejoin:round}`

// SVG draws the picture.
func (ch *Chart) SVG(w io.Writer) error {
	_, err := io.WriteString(w, ch.svg())
	return err
}

func (ch *Chart) svg() string {
	var body canvas
	y := ch.head(&body)
	y = ch.legend(&body, y)
	y = ch.use(&body, y+34)
	y = ch.waits(&body, y+40)
	y = ch.fits(&body, y+44)
	var c canvas
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="chart-title chart-desc">`,
		px(width), px(round(y)), px(width), px(round(y)))
	c.add(`<title id="chart-title">%s</title>`, html.EscapeString(ch.Title))
	c.add(`<desc id="chart-desc">%s</desc>`, html.EscapeString(ch.inWords()))
	c.add(`<style>%s</style>`, style)
	c.defineMarks(len(ch.Runs))
	c.add(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	c.WriteString(body.String())
	c.add(`</svg>`)
	return c.String()
}

// inWords is what the picture shows, for those who do not see it.
func (ch *Chart) inWords() string {
	var text strings.Builder
	text.WriteString(ch.About + ".")
	for _, r := range ch.Runs {
		s := r.Summary
		fmt.Fprintf(&text, " %s: %.1f %% of the GPUs at work, %d of %d placed", s.Policy, 100*s.Working, s.Placed, s.Gangs)
		for _, x := range s.Waits {
			text.WriteString("; waits of " + waitInWords(x))
		}
		text.WriteString(".")
	}
	return text.String()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (ch *Chart) head(c *canvas) float64 {
	c.text("title", point{indent, 36}, ch.Title)
	c.text("soft", point{indent, 57}, ch.About)
	return 57
}

// legend names the policies. Its widths are guesses: an SVG cannot measure its
// text.
func (ch *Chart) legend(c *canvas, y float64) float64 {
	const sample, letter, gap = 44.0, 7.4, 26.0
	x := indent
	y += 26
	for i, r := range ch.Runs {
		wide := sample + 8 + letter*float64(len(r.Summary.Policy)) + gap
		if x > indent && x+wide > right {
			x, y = indent, y+22
		}
		l := lookOf(i)
		c.curve(l, []point{{x, y - 4}, {x + sample, y - 4}})
		c.mark(filled, i, point{x + sample/2, y - 4})
		c.text("name", point{x + sample + 8, y}, r.Summary.Policy)
		x += wide
	}
	return y
}

// drawn calls draw for each run, the first one last, so that it lies on top.
func (ch *Chart) drawn(draw func(i int, r Run)) {
	for i, run := range slices.Backward(ch.Runs) {
		draw(i, run)
	}
}
