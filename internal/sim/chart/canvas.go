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

// canvas writes SVG elements.
type canvas struct{ strings.Builder }

// px writes a length to a tenth of a pixel, which is finer than any screen.
func px(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func round(v float64) float64 {
	text := strconv.FormatFloat(v, 'f', 1, 64)
	rounded, _ := strconv.ParseFloat(text, 64) // it was just written
	return rounded
}

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// line draws a straight line of a class of the style sheet.
func (c *canvas) line(class string, from, to point) {
	c.add(`<path class="%s" d="M%s %sL%s %s"/>`, class, px(round(from.x)), px(round(from.y)), px(round(to.x)), px(round(to.y)))
}

// text writes a text of a class of the style sheet; x is its start, middle or
// end as the class says.
func (c *canvas) text(class string, at point, text string) {
	c.add(`<text class="%s" x="%s" y="%s">%s</text>`, class, px(round(at.x)), px(round(at.y)), html.EscapeString(text))
}

// curve draws lines from point to point. Points on a straight line between
// their neighbours are left out.
func (c *canvas) curve(look look, points []point) {
	var d strings.Builder
	for i, p := range points {
		p = point{round(p.x), round(p.y)}
		if i > 0 && i < len(points)-1 && round(points[i-1].y) == p.y && round(points[i+1].y) == p.y {
			continue
		}
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		d.WriteString(letter + px(p.x) + " " + px(p.y))
	}
	c.add(`<path class="curve" %s d="%s"/>`, look.stroke(), d.String())
}

// look is how a policy is drawn.
type look struct {
	color, dash string
	width       float64
	mark        func(p point, r float64) string // the d of a path
}

func (l look) stroke() string {
	text := fmt.Sprintf(`stroke="%s" stroke-width="%s"`, l.color, px(l.width))
	if l.dash != "" {
		text += fmt.Sprintf(` stroke-dasharray="%s"`, l.dash)
	}
	return text
}

// looks are given to policies in turn.
var looks = []look{
	{"#0072B2", "", 2.6, disc},
	{"#D55E00", "7 3", 1.7, square},
	{"#009E73", "2.5 2.5", 1.9, upward},
	{"#CC79A7", "9 3 2 3", 1.7, diamond},
	{"#000000", "1.2 2.6", 1.6, downward},
	{"#E69F00", "14 4", 1.7, square},
	{"#56B4E9", "5 2 1 2 1 2", 1.7, disc},
}

func lookOf(i int) look { return looks[i%len(looks)] }

// defineMarks defines the marks of the first n policies, filled and hollow, once
// for the many places where they stand.
func (c *canvas) defineMarks(n int) {
	c.add(`<defs>`)
	for i := range n {
		l := lookOf(i)
		for _, kind := range []struct{ id, fill string }{{filled, l.color}, {hollow, "#fff"}} {
			c.add(`<path id="%s%d" d="%s" fill="%s" stroke="%s" stroke-width="1.4"/>`, kind.id, i, l.mark(point{}, 3.6), kind.fill, l.color)
		}
	}
	c.add(`</defs>`)
}

// The kinds of marks.
const (
	filled = "mark"
	hollow = "ring"
)

// mark draws the mark of policy i.
func (c *canvas) mark(kind string, i int, p point) {
	c.add(`<use href="#%s%d" x="%s" y="%s"/>`, kind, i, px(round(p.x)), px(round(p.y)))
}

func disc(p point, r float64) string {
	return fmt.Sprintf("M%s %sa%s %s 0 1 0 %s 0a%s %s 0 1 0 -%s 0Z", px(round(p.x-r)), px(p.y), px(r), px(r), px(2*r), px(r), px(r), px(2*r))
}

func square(p point, r float64) string {
	r *= 0.9
	return polygon(point{p.x - r, p.y - r}, point{p.x + r, p.y - r}, point{p.x + r, p.y + r}, point{p.x - r, p.y + r})
}

func upward(p point, r float64) string {
	r *= 1.15
	return polygon(point{p.x, p.y - r}, point{p.x + r, p.y + 0.8*r}, point{p.x - r, p.y + 0.8*r})
}

func downward(p point, r float64) string {
	r *= 1.15
	return polygon(point{p.x, p.y + r}, point{p.x + r, p.y - 0.8*r}, point{p.x - r, p.y - 0.8*r})
}

func diamond(p point, r float64) string {
	r *= 1.3
	return polygon(point{p.x, p.y - r}, point{p.x + r, p.y}, point{p.x, p.y + r}, point{p.x - r, p.y})
}

func polygon(points ...point) string {
	var d strings.Builder
	for i, p := range points {
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		d.WriteString(letter + px(round(p.x)) + " " + px(round(p.y)))
	}
	return d.String() + "Z"
}
