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

// csvTable is a CSV file with a header row, read one row at a time. The first
// error stays: after it every field reads as zero and err says what it was, so
// that a reader takes a whole row and asks once.
type csvTable struct {
	name   string
	csv    *csv.Reader
	header []string
	row    []string
	line   int
	names  map[string]bool // see unique
	err    error
}

func openCSVTable(name string, r io.Reader) (*csvTable, error) {
	t := &csvTable{name: name, csv: csv.NewReader(r), names: map[string]bool{}}
	t.csv.ReuseRecord = true
	header, err := t.csv.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: reading the header row: %w", name, err)
	}
	t.header = slices.Clone(header)
	return t, nil
}

// hasColumns reports whether the header names every one of the columns.
func (t *csvTable) hasColumns(columns ...string) bool {
	for _, c := range columns {
		if !slices.Contains(t.header, c) {
			return false
		}
	}
	return true
}

// nextRow moves to the next row and reports whether there is one.
func (t *csvTable) nextRow() bool {
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

// failField sets the error of a field, unless there is an earlier one.
func (t *csvTable) failField(column, value, want string) {
	if t.err == nil {
		t.err = fmt.Errorf("%s:%d: column %s: found %q, want %s", t.name, t.line, column, value, want)
	}
}

// textField returns a field, "" where the header lacks the column.
func (t *csvTable) textField(column string) string {
	i := slices.Index(t.header, column)
	if i < 0 || t.err != nil {
		return ""
	}
	return t.row[i]
}

// requiredField returns a field that must not be empty. The text outlives the
// row.
func (t *csvTable) requiredField(column string) string {
	value := t.textField(column)
	if value == "" {
		t.failField(column, value, "a name")
	}
	return strings.Clone(value)
}

// checkUnique fails for the name of a row that an earlier one had.
func (t *csvTable) checkUnique(what, name string) {
	if t.err == nil && t.names[name] {
		t.err = fmt.Errorf("%s:%d: %s %s stands there twice", t.name, t.line, what, name)
	}
	t.names[name] = true
}

// countField returns a whole number between min and 2^31-1.
func (t *csvTable) countField(column string, min int) int {
	value := t.textField(column)
	n, err := strconv.Atoi(value)
	if err != nil || n < min || n > math.MaxInt32 {
		t.failField(column, value, fmt.Sprintf("a whole number from %d up", min))
		return 0
	}
	return n
}

// secondsField returns a duration that is written as whole seconds.
func (t *csvTable) secondsField(column string) time.Duration {
	return time.Duration(t.countField(column, 0)) * time.Second
}
