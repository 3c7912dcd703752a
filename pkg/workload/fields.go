// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// reader reads fields of an object and keeps the first that makes no sense. An
// API server checks most of them, but not those of a CRD with a loose schema.
type reader struct {
	object  map[string]any
	path    string
	problem string
}

// in is the reader of a part of the object; a part that is missing is empty.
func (r *reader) in(path string, part any) *reader {
	fields, ok := part.(map[string]any)
	if !ok && part != nil {
		r.fail(path, part, "an object")
	}
	return &reader{object: fields, path: r.at(path)}
}

// done takes over the problem of a part.
func (r *reader) done(part *reader) {
	if r.problem == "" {
		r.problem = part.problem
	}
}

func (r *reader) at(path string) string {
	if r.path == "" {
		return path
	}
	return r.path + "." + path
}

func (r *reader) fail(path string, found any, want string) {
	if r.problem == "" {
		r.problem = fmt.Sprintf("%s: found %s, want %s", r.at(path), show(found), want)
	}
}

// get finds the value at a path such as "spec.parallelism", nil for none.
func (r *reader) get(path string) any {
	var value any = r.object
	for field := range strings.SplitSeq(path, ".") {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[field]
	}
	return value
}

// number reads a number of pods or of groups of pods, or returns the given one.
func (r *reader) number(path string, otherwise int) int {
	n, ok := r.optional(path)
	if !ok {
		return otherwise
	}
	return n
}

// optional reads a number that may be missing.
func (r *reader) optional(path string) (int, bool) {
	switch n := r.get(path).(type) {
	case nil:
		return 0, false
	case int64:
		if n >= 0 && n <= Most {
			return int(n), true
		}
		r.fail(path, n, fmt.Sprintf("a number from 0 to %d", Most))
	default:
		r.fail(path, n, fmt.Sprintf("a number from 0 to %d", Most))
	}
	return 0, true
}

// text reads a string; what is none is like "".
func (r *reader) text(path string) string {
	value, _ := r.get(path).(string)
	return value
}

// flag reads a boolean; what is none is like false.
func (r *reader) flag(path string) bool {
	value, _ := r.get(path).(bool)
	return value
}

// list reads a list of objects.
func (r *reader) list(path string) []any {
	switch value := r.get(path).(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		r.fail(path, value, "a list")
		return nil
	}
}

// fields reads an object.
func (r *reader) fields(path string) map[string]any {
	switch value := r.get(path).(type) {
	case nil:
		return nil
	case map[string]any:
		return value
	default:
		r.fail(path, value, "an object")
		return nil
	}
}

// times multiplies two numbers of pods, and takes no more than Most.
func (r *reader) times(path string, a, b int) int {
	if a*b > Most { // both are at most Most
		r.fail(path, int64(a)*int64(b), fmt.Sprintf("at most %d pods in all", Most))
		return 0
	}
	return a * b
}

// show puts a value into a sentence, not more of it than fits.
func show(value any) string {
	const most = 40
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("a %T", value)
	}
	shown := strconv.QuoteToASCII(string(text))
	shown = strings.ReplaceAll(shown[1:len(shown)-1], `\"`, `"`)
	if len(shown) > most {
		return shown[:most] + "..."
	}
	return shown
}
