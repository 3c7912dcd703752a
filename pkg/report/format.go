// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/terminal"
)

// Format is an output format.
type Format string

// The formats.
const (
	Text Format = "text"
	JSON Format = "json"
	YAML Format = "yaml"
)

// ParseFormat reads the name of a format; "" is Text.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case "":
		return Text, nil
	case Text, JSON, YAML:
		return f, nil
	}
	return "", fmt.Errorf("output format %q is not known; want text, json or yaml", name)
}

// WriteValue writes value in a format; text writes it for people.
func WriteValue(w io.Writer, format Format, value any, text func(io.Writer)) error {
	switch format {
	case JSON:
		out, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", out)
		return err
	case YAML:
		out, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		// Spelled out, a value that YAML leaves without quotes would be another one.
		_, err = terminal.Unwrap(w).Write(out)
		return err
	case Text: // written below
	}
	text(w)
	return nil
}

// writeText writes formatted text in which the values keep to their line: names and
// messages are those of users.
func writeText(w io.Writer, format string, values ...any) {
	plain := make([]any, len(values))
	for i, value := range values {
		plain[i] = value
		if v := reflect.ValueOf(value); v.Kind() == reflect.String {
			plain[i] = terminal.SpellOut(v.String())
		}
	}
	fmt.Fprintf(w, format, plain...)
}

// Table is rows of cells that are written in aligned columns. text/tabwriter
// cannot align single columns on the right.
type Table struct {
	rows [][]string
	// rightAligned marks the columns of numbers.
	rightAligned []bool
}

// NewTable returns a table with a header row. A title that starts with ">"
// heads a column of numbers, which are aligned on the right.
func NewTable(titles ...string) *Table {
	t := &Table{}
	row := make([]string, len(titles))
	for i, title := range titles {
		number := strings.HasPrefix(title, ">")
		t.rightAligned = append(t.rightAligned, number)
		row[i] = terminal.SpellOut(strings.TrimPrefix(title, ">"))
	}
	t.rows = append(t.rows, row)
	return t
}

// AddRow adds a row; cells are written with fmt.Sprint, in one line each.
func (t *Table) AddRow(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = terminal.SpellOut(fmt.Sprint(c))
	}
	t.rows = append(t.rows, row)
}

// Write writes the table, each line after an indent of so many blanks.
// Columns without any content are left out.
func (t *Table) Write(w io.Writer, indent int) {
	widths := t.columnWidths()
	for _, row := range t.rows {
		var line strings.Builder
		line.WriteString(strings.Repeat(" ", indent))
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.rightAligned[i] {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// columnWidths returns the width of each column in characters, 0 for one
// without content: Write leaves it out, title and all.
func (t *Table) columnWidths() []int {
	widths := make([]int, len(t.rightAligned))
	// The first row is the titles, which do not count as content.
	for n, row := range t.rows {
		for i, cell := range row {
			if n > 0 && cell != "" || widths[i] > 0 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for i, title := range t.rows[0] {
		if widths[i] > 0 {
			widths[i] = max(widths[i], utf8.RuneCountInString(title))
		}
	}
	return widths
}

// FormatAge returns a time span with its two largest units, such as "5m12s".
// Beyond ten days hours do not matter.
func FormatAge(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	day := 24 * time.Hour
	switch {
	case d >= 10*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// formatCount returns a number with its noun.
func formatCount(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
