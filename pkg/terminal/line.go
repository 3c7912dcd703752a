// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package terminal reports whether an output is a terminal, rewrites one line of it
// in place, and spells out what a terminal would obey in text of others.
package terminal

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether what is written to out is shown on a terminal.
func IsTerminal(out io.Writer) bool {
	file, ok := Unwrap(out).(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Line is the line of a terminal that the cursor is on.
type Line struct {
	// Out is the terminal, Columns its width now: it may be resized.
	Out     io.Writer
	Columns func() int
}

// defaultColumns is the width of a terminal that does not report one.
const defaultColumns = 80

// NewLine returns the line of a terminal, nil for any other writer.
func NewLine(out io.Writer) *Line {
	if !IsTerminal(out) {
		return nil
	}
	out = Unwrap(out)
	return &Line{Out: out, Columns: func() int {
		columns, _, err := term.GetSize(int(out.(*os.File).Fd()))
		if err != nil || columns <= 0 {
			return defaultColumns
		}
		return columns
	}}
}

// eraseLine takes the cursor to the start of its line and empties the line.
const eraseLine = "\r\x1b[K"

// ShowText replaces the line. The text is cut before the last column, since a
// line that wraps could not be replaced.
func (l *Line) ShowText(text string) {
	runes := []rune(SpellOut(text))
	fmt.Fprint(l.Out, eraseLine+string(runes[:min(len(runes), max(0, l.Columns()-1))]))
}

// Clear empties the line.
func (l *Line) Clear() { fmt.Fprint(l.Out, eraseLine) }
