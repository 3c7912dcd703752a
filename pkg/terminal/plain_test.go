// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpellOutLeavesOnlyWhatIsShown(t *testing.T) {
	for value, want := range map[string]string{
		"train-0":               "train-0",
		"":                      "",
		"größe 東京 ½ █":          "größe 東京 ½ █",
		`C:\dir "quoted"`:       `C:\dir "quoted"`,
		"\x1b[31mred\x1b[0m":    `\u001b[31mred\u001b[0m`,
		"\x1b]0;title\x07":      `\u001b]0;title\u0007`,
		"a\u009b2J":             `a\u009b2J`, // the control sequence introducer in one character
		"a\x9b2J":               `a\x9b2J`,   // and as a byte
		"user\u202egnp.exe":     `user\u202egnp.exe`,
		"\u2066a\u2069\u200f":   `\u2066a\u2069\u200f`,
		"zero\u200bwidth\ufeff": `zero\u200bwidth\ufeff`,
		"two\nlines\r\tand":     `two\nlines\r\tand`,
		"a\u2028b\u00a0c\x7f":   `a\u2028b\u00a0c\u007f`,
		"tag\U000e0041":         `tag\udb40\udc41`,
		"replaced \ufffd":       "replaced \ufffd",
	} {
		got := SpellOut(value)
		assert.Equal(t, want, got, "%q", value)
		assert.Equal(t, got, SpellOut(got), "a second time")
	}
}

func TestPlainWriterKeepsLinesAndReportsTheLengthOfTheText(t *testing.T) {
	var out bytes.Buffer
	w := &PlainWriter{Out: &out}
	n, err := fmt.Fprint(w, "a\tb\n\x1b[2Jc\n")
	require.NoError(t, err)
	assert.Equal(t, len("a\tb\n\x1b[2Jc\n"), n)
	assert.Equal(t, "a\tb\n"+`\u001b[2Jc`+"\n", out.String())
	assert.Same(t, &out, Unwrap(w))
	assert.Same(t, &out, Unwrap(&out))
}

func TestJSONIsTheSameBehindAPlainWriter(t *testing.T) {
	value := map[string]string{"name": "a\x1b[0m\u202e\u009b\x7f\U000e0041\n"}
	text, err := json.Marshal(value)
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = (&PlainWriter{Out: &out}).Write(text)
	require.NoError(t, err)
	var got map[string]string
	require.NoError(t, json.Unmarshal(out.Bytes(), &got), out.String())
	assert.Equal(t, value, got)
}

func FuzzSpellOut(f *testing.F) {
	for _, seed := range []string{"train", "\x1b[31m", "\u202e", "\x9b", "a\nb", "\U000e0041", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		plain := SpellOut(value)
		assert.True(t, utf8.ValidString(plain))
		for _, r := range plain {
			assert.True(t, unicode.IsPrint(r), "%U in %q", r, plain)
		}
		assert.Equal(t, plain, SpellOut(plain))
	})
}
