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

// readPart is the reader of a part of the object; a part that is missing is empty.
func (r *reader) readPart(path string, part any) *reader {
	fields, ok := part.(map[string]any)
	if !ok && part != nil {
		r.recordProblem(path, part, "an object")
	}
	return &reader{object: fields, path: r.fullPath(path)}
}

// adoptProblem takes over the problem of a part.
func (r *reader) adoptProblem(part *reader) {
	if r.problem == "" {
		r.problem = part.problem
	}
}

func (r *reader) fullPath(path string) string {
	if r.path == "" {
		return path
	}
	return r.path + "." + path
}

// recordReason records a problem that is no wrong value of a field.
func (r *reader) recordReason(text string) {
	if r.problem == "" {
		r.problem = text
	}
}

func (r *reader) recordProblem(path string, found any, want string) {
	if r.problem == "" {
		r.problem = fmt.Sprintf("%s: found %s, want %s", r.fullPath(path), quoteValue(found), want)
	}
}

// getValue finds the value at a path such as "spec.parallelism", nil for none.
func (r *reader) getValue(path string) any {
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

// readNumber reads a number of pods or of groups of pods, or returns the given one.
func (r *reader) readNumber(path string, otherwise int) int {
	n, ok := r.readOptional(path)
	if !ok {
		return otherwise
	}
	return n
}

// readOptional reads a number that may be missing.
func (r *reader) readOptional(path string) (int, bool) {
	switch n := r.getValue(path).(type) {
	case nil:
		return 0, false
	case int64:
		if n >= 0 && n <= MaxPods {
			return int(n), true
		}
		r.recordProblem(path, n, fmt.Sprintf("a number from 0 to %d", MaxPods))
	default:
		r.recordProblem(path, n, fmt.Sprintf("a number from 0 to %d", MaxPods))
	}
	return 0, true
}

// readText reads a string; what is none is like "".
func (r *reader) readText(path string) string {
	value, _ := r.getValue(path).(string)
	return value
}

// readFlag reads a boolean; what is none is like false.
func (r *reader) readFlag(path string) bool {
	value, _ := r.getValue(path).(bool)
	return value
}

// readList reads a list of objects.
func (r *reader) readList(path string) []any {
	switch value := r.getValue(path).(type) {
	case nil:
		return nil
	case []any:
		return value
	default:
		r.recordProblem(path, value, "a list")
		return nil
	}
}

// readObject reads an object.
func (r *reader) readObject(path string) map[string]any {
	switch value := r.getValue(path).(type) {
	case nil:
		return nil
	case map[string]any:
		return value
	default:
		r.recordProblem(path, value, "an object")
		return nil
	}
}

// multiplyPods multiplies two numbers of pods, and takes no more than MaxPods.
func (r *reader) multiplyPods(path string, a, b int) int {
	if a*b > MaxPods { // both are at most MaxPods
		r.recordProblem(path, int64(a)*int64(b), fmt.Sprintf("at most %d pods in all", MaxPods))
		return 0
	}
	return a * b
}

// quoteValue puts a value into a sentence, not more of it than fits.
func quoteValue(value any) string {
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
