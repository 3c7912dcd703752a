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

// Chart is the input of one picture: replays of one trace.
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

// style has the colors of text and lines; SVG needs it inside the file.
const style = `text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#222}` +
	`.title{font-size:20px;font-weight:600}.head{font-size:15px;font-weight:600}.soft,.softmid,.softend{fill:#595959;font-size:12px}` +
	`.mid,.softmid{text-anchor:middle}.end,.softend{text-anchor:end}` +
	`.grid{stroke:#e2e2e2;fill:none}.axis{stroke:#767676;fill:none}.last{stroke:#767676;stroke-dasharray:4 4;fill:none}` +
	`.curve{fill:none;stroke-linejoin:round}`

// WriteSVG writes the picture.
func (ch *Chart) WriteSVG(w io.Writer) error {
	_, err := io.WriteString(w, ch.renderSVG())
	return err
}

// renderSVG draws the panels from the top down; each returns where it ends, so
// that the height is known last and the frame is written around them.
func (ch *Chart) renderSVG() string {
	var body canvas
	y := ch.drawHead(&body)
	y = ch.drawLegend(&body, y)
	y = ch.drawUsage(&body, y+34)
	y = ch.drawWaits(&body, y+40)
	y = ch.drawFits(&body, y+44)
	var c canvas
	c.addElement(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="chart-title chart-desc">`,
		formatPixels(width), formatPixels(roundTenth(y)), formatPixels(width), formatPixels(roundTenth(y)))
	c.addElement(`<title id="chart-title">%s</title>`, html.EscapeString(ch.Title))
	c.addElement(`<desc id="chart-desc">%s</desc>`, html.EscapeString(ch.describePicture()))
	c.addElement(`<style>%s</style>`, style)
	c.defineMarks(len(ch.Runs))
	c.addElement(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	c.WriteString(body.String())
	c.addElement(`</svg>`)
	return c.String()
}

// describePicture returns the figures as text, for those who do not see the
// picture.
func (ch *Chart) describePicture() string {
	var text strings.Builder
	text.WriteString(ch.About + ".")
	for _, r := range ch.Runs {
		s := r.Summary
		fmt.Fprintf(&text, " %s: %.1f %% of the GPUs at work, %d of %d placed", s.Policy, 100*s.Working, s.Placed, s.Gangs)
		for _, x := range s.Waits {
			text.WriteString("; waits of " + describeWait(x))
		}
		text.WriteString(".")
	}
	return text.String()
}

// fromSeconds returns seconds as a duration.
func fromSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// drawHead draws the title and what was replayed.
func (ch *Chart) drawHead(c *canvas) float64 {
	c.drawText("title", point{indent, 36}, ch.Title)
	c.drawText("soft", point{indent, 57}, ch.About)
	return 57
}

// drawLegend draws the names of the policies. Its widths are guesses: an SVG
// cannot measure its text.
func (ch *Chart) drawLegend(c *canvas, y float64) float64 {
	const sample, letter, gap = 44.0, 7.4, 26.0
	x := indent
	y += 26
	for i, r := range ch.Runs {
		wide := sample + 8 + letter*float64(len(r.Summary.Policy)) + gap
		if x > indent && x+wide > right {
			x, y = indent, y+22
		}
		l := styleOf(i)
		c.drawCurve(l, []point{{x, y - 4}, {x + sample, y - 4}})
		c.drawMark(filled, i, point{x + sample/2, y - 4})
		c.drawText("name", point{x + sample + 8, y}, r.Summary.Policy)
		x += wide
	}
	return y
}

// eachRun calls draw for each run, the first one last, so that it is on top.
func (ch *Chart) eachRun(draw func(i int, r Run)) {
	for i, run := range slices.Backward(ch.Runs) {
		draw(i, run)
	}
}
