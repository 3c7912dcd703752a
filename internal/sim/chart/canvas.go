// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// point is a place on the canvas, in pixels from the upper left corner.
type point struct{ x, y float64 }

// canvas writes WriteSVG elements.
type canvas struct{ strings.Builder }

// formatPixels returns a length as SVG wants it.
func formatPixels(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// roundTenth rounds to a tenth of a pixel, which is finer than any screen: the
// files stay small and the same on every machine.
func roundTenth(v float64) float64 {
	text := strconv.FormatFloat(v, 'f', 1, 64)
	rounded, _ := strconv.ParseFloat(text, 64) // it was just written
	return rounded
}

// addElement adds a line of SVG. The arguments must be safe in XML.
func (c *canvas) addElement(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// drawLine draws a straight line of a class of the style sheet.
func (c *canvas) drawLine(class string, from, to point) {
	c.addElement(`<path class="%s" d="M%s %sL%s %s"/>`, class, formatPixels(roundTenth(from.x)), formatPixels(roundTenth(from.y)), formatPixels(roundTenth(to.x)), formatPixels(roundTenth(to.y)))
}

// drawText writes a text of a class of the style sheet; x is its start, middle
// or end as the class says.
func (c *canvas) drawText(class string, at point, text string) {
	c.addElement(`<text class="%s" x="%s" y="%s">%s</text>`, class, formatPixels(roundTenth(at.x)), formatPixels(roundTenth(at.y)), html.EscapeString(text))
}

// drawCurve draws lines from point to point. Points on a straight line between
// their neighbors are left out.
func (c *canvas) drawCurve(line lineStyle, points []point) {
	var d strings.Builder
	for i, p := range points {
		p = point{roundTenth(p.x), roundTenth(p.y)}
		if i > 0 && i < len(points)-1 && roundTenth(points[i-1].y) == p.y && roundTenth(points[i+1].y) == p.y {
			continue
		}
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		d.WriteString(letter + formatPixels(p.x) + " " + formatPixels(p.y))
	}
	c.addElement(`<path class="curve" %s d="%s"/>`, line.strokeAttributes(), d.String())
}

// lineStyle is the color, line and mark of a policy.
type lineStyle struct {
	color, dash string
	width       float64
	mark        func(p point, r float64) string // the d of a path
}

// strokeAttributes returns the attributes of a line of this style.
func (l lineStyle) strokeAttributes() string {
	text := fmt.Sprintf(`stroke="%s" stroke-width="%s"`, l.color, formatPixels(l.width))
	if l.dash != "" {
		text += fmt.Sprintf(` stroke-dasharray="%s"`, l.dash)
	}
	return text
}

// lineStyles are used for policies in turn.
var lineStyles = []lineStyle{
	{"#0072B2", "", 2.6, discPath},
	{"#D55E00", "7 3", 1.7, squarePath},
	{"#009E73", "2.5 2.5", 1.9, upwardPath},
	{"#CC79A7", "9 3 2 3", 1.7, diamondPath},
	{"#000000", "1.2 2.6", 1.6, downwardPath},
	{"#E69F00", "14 4", 1.7, squarePath},
	{"#56B4E9", "5 2 1 2 1 2", 1.7, discPath},
}

// styleOf returns the style of policy i.
func styleOf(i int) lineStyle { return lineStyles[i%len(lineStyles)] }

// defineMarks defines the marks of the first n policies, filled and hollow, once
// for the many places where they stand.
func (c *canvas) defineMarks(n int) {
	c.addElement(`<defs>`)
	for i := range n {
		l := styleOf(i)
		for _, kind := range []struct{ id, fill string }{{filled, l.color}, {hollow, "#fff"}} {
			c.addElement(`<path id="%s%d" d="%s" fill="%s" stroke="%s" stroke-width="1.4"/>`, kind.id, i, l.mark(point{}, 3.6), kind.fill, l.color)
		}
	}
	c.addElement(`</defs>`)
}

// The kinds of marks.
const (
	filled = "mark"
	hollow = "ring"
)

// drawMark draws the mark of policy i.
func (c *canvas) drawMark(kind string, i int, p point) {
	c.addElement(`<use href="#%s%d" x="%s" y="%s"/>`, kind, i, formatPixels(roundTenth(p.x)), formatPixels(roundTenth(p.y)))
}

// discPath returns the path of a disc. The other marks have about its area.
func discPath(p point, r float64) string {
	return fmt.Sprintf("M%s %sa%s %s 0 1 0 %s 0a%s %s 0 1 0 -%s 0Z", formatPixels(roundTenth(p.x-r)), formatPixels(p.y), formatPixels(r), formatPixels(r), formatPixels(2*r), formatPixels(r), formatPixels(r), formatPixels(2*r))
}

// squarePath returns the path of a square.
func squarePath(p point, r float64) string {
	r *= 0.9
	return polygonPath(point{p.x - r, p.y - r}, point{p.x + r, p.y - r}, point{p.x + r, p.y + r}, point{p.x - r, p.y + r})
}

// upwardPath returns the path of a triangle that points up.
func upwardPath(p point, r float64) string {
	r *= 1.15
	return polygonPath(point{p.x, p.y - r}, point{p.x + r, p.y + 0.8*r}, point{p.x - r, p.y + 0.8*r})
}

// downwardPath returns the path of a triangle that points down.
func downwardPath(p point, r float64) string {
	r *= 1.15
	return polygonPath(point{p.x, p.y + r}, point{p.x + r, p.y - 0.8*r}, point{p.x - r, p.y - 0.8*r})
}

// diamondPath returns the path of a square that stands on a corner.
func diamondPath(p point, r float64) string {
	r *= 1.3
	return polygonPath(point{p.x, p.y - r}, point{p.x + r, p.y}, point{p.x, p.y + r}, point{p.x - r, p.y})
}

// polygonPath returns the closed path through the points.
func polygonPath(points ...point) string {
	var d strings.Builder
	for i, p := range points {
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		d.WriteString(letter + formatPixels(roundTenth(p.x)) + " " + formatPixels(roundTenth(p.y)))
	}
	return d.String() + "Z"
}
