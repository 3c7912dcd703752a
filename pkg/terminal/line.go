// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package terminal tells terminals from files and pipes, and keeps one line on
// a terminal that changes in place.
package terminal

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Is reports whether what is written to out is shown on a terminal.
func Is(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Line is the line of a terminal that the cursor is on.
type Line struct {
	// Out is the terminal, Columns its width now: it may be resized.
	Out     io.Writer
	Columns func() int
}

// usualColumns is the width of a terminal that does not tell.
const usualColumns = 80

// NewLine returns the line of a terminal, nil for any other writer.
func NewLine(out io.Writer) *Line {
	if !Is(out) {
		return nil
	}
	return &Line{Out: out, Columns: func() int {
		columns, _, err := term.GetSize(int(out.(*os.File).Fd()))
		if err != nil || columns <= 0 {
			return usualColumns
		}
		return columns
	}}
}

// erase takes the cursor to the start of its line and empties the line.
const erase = "\r\x1b[K"

// Show puts text in the place of the line. It is cut before the last column,
// since a line that wraps could not be replaced.
func (l *Line) Show(text string) {
	runes := []rune(text)
	fmt.Fprint(l.Out, erase+string(runes[:min(len(runes), max(0, l.Columns()-1))]))
}

// Clear empties the line.
func (l *Line) Clear() { fmt.Fprint(l.Out, erase) }
