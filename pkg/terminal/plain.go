// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// PlainWriter passes text on with everything spelled out that a terminal would
// obey or hide instead of show: escape sequences, other controls, and what turns the
// direction of text. Line ends and tabs pass, for those of the text's author cannot be
// told from those of its format here; SpellOut takes single values. What is spelled out
// in JSON stays the same JSON.
type PlainWriter struct {
	Out io.Writer
}

// Write writes the text and reports its own length.
func (w *PlainWriter) Write(text []byte) (int, error) {
	plain := text
	if bytes.ContainsFunc(text, isHiddenInText) || !utf8.Valid(text) {
		plain = []byte(spellOutFunc(string(text), isHiddenInText))
	}
	if _, err := w.Out.Write(plain); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Unwrap returns what is behind a PlainWriter, and any other writer as it is. It
// is for what is no text of others, such as the sequences of a screen.
func Unwrap(out io.Writer) io.Writer {
	if w, ok := out.(*PlainWriter); ok {
		return w.Out
	}
	return out
}

// SpellOut returns one value, such as a name or a message, in one line and in
// characters that a terminal shows as they are. Others are written as in JSON, and
// bytes that are no UTF-8 as \xNN.
func SpellOut(value string) string {
	if strings.IndexFunc(value, isHidden) < 0 && utf8.ValidString(value) {
		return value
	}
	return spellOutFunc(value, isHidden)
}

// isHidden reports whether a character is obeyed or hidden in place of shown:
// everything but letters, marks, digits, punctuation, symbols and the plain blank.
func isHidden(r rune) bool { return !unicode.IsPrint(r) }

// isHiddenInText is isHidden within text that has lines.
func isHiddenInText(r rune) bool { return r != '\n' && r != '\t' && isHidden(r) }

// spellOutFunc spells out the characters of a text for which hidden says so.
func spellOutFunc(text string, hidden func(rune) bool) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !hidden(r):
			b.WriteString(text[:size])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
		text = text[size:]
	}
	return b.String()
}
