// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is a CSV file with a header row, read one row at a time. The first
// mistake sticks: after it every field reads as zero and err says what it was,
// so that a reader takes a whole row and asks once.
type table struct {
	name   string
	csv    *csv.Reader
	header []string
	row    []string
	line   int
	names  map[string]bool // see unique
	err    error
}

func openTable(name string, r io.Reader) (*table, error) {
	t := &table{name: name, csv: csv.NewReader(r), names: map[string]bool{}}
	t.csv.ReuseRecord = true
	header, err := t.csv.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: reading the header row: %w", name, err)
	}
	t.header = slices.Clone(header)
	return t, nil
}

// has reports whether the header names every one of the columns.
func (t *table) has(columns ...string) bool {
	for _, c := range columns {
		if !slices.Contains(t.header, c) {
			return false
		}
	}
	return true
}

// next moves to the next row and reports whether there is one.
func (t *table) next() bool {
	if t.err != nil {
		return false
	}
	row, err := t.csv.Read()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		t.err = fmt.Errorf("%s: %w", t.name, err)
		return false
	}
	t.row = row
	t.line, _ = t.csv.FieldPos(0)
	return true
}

func (t *table) fail(column, value, want string) {
	if t.err == nil {
		t.err = fmt.Errorf("%s:%d: column %s: found %q, want %s", t.name, t.line, column, value, want)
	}
}

// text returns a field, "" where the header lacks the column.
func (t *table) text(column string) string {
	i := slices.Index(t.header, column)
	if i < 0 || t.err != nil {
		return ""
	}
	return t.row[i]
}

// word returns a field that must not be empty. The text outlives the row.
func (t *table) word(column string) string {
	value := t.text(column)
	if value == "" {
		t.fail(column, value, "a name")
	}
	return strings.Clone(value)
}

// unique fails for the name of a row that an earlier one had.
func (t *table) unique(what, name string) {
	if t.err == nil && t.names[name] {
		t.err = fmt.Errorf("%s:%d: %s %s stands there twice", t.name, t.line, what, name)
	}
	t.names[name] = true
}

// count returns a whole number between min and 2^31-1.
func (t *table) count(column string, min int) int {
	value := t.text(column)
	n, err := strconv.Atoi(value)
	if err != nil || n < min || n > math.MaxInt32 {
		t.fail(column, value, fmt.Sprintf("a whole number from %d up", min))
		return 0
	}
	return n
}

// seconds returns a duration that is written as whole seconds.
func (t *table) seconds(column string) time.Duration {
	return time.Duration(t.count(column, 0)) * time.Second
}
