// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// readNumber reads a whole number. bad shows what stands there instead.
func readNumber(u *unstructured.Unstructured, fields ...string) (n int64, found bool, bad string) {
	value, found, err := unstructured.NestedFieldNoCopy(u.Object, fields...)
	if err != nil {
		return 0, true, "no object in " + strings.Join(fields[:len(fields)-1], ".")
	}
	n, bad = wholeNumber(value)
	return n, found && value != nil, bad
}

// wholeNumber reads a value as a whole number. bad shows what it is instead.
func wholeNumber(value any) (n int64, bad string) {
	switch v := value.(type) {
	case nil:
		return 0, ""
	case int64:
		return v, ""
	default:
		return 0, showValue(v)
	}
}

// decodeFields reads the fields that it knows into a struct, and reports whether they
// have its types. A number with a fraction is no whole number.
func decodeFields(fields map[string]any, into any) bool {
	text, err := json.Marshal(fields)
	return err == nil && json.Unmarshal(text, into) == nil
}

// showValue quotes a value of any type.
func showValue(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("a %T", value)
	}
	return kube.Quote(string(text))
}

// showNumber shows a number, or what stands there instead.
func showNumber(bad string, n int64) string {
	if bad != "" {
		return bad
	}
	return strconv.FormatInt(n, 10)
}

// podInvalid is why what a pod says cannot be read.
func podInvalid(pod *v1.Pod, format string, args ...any) *kube.Invalid {
	return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "pod " + pod.Name + ": " + fmt.Sprintf(format, args...)}
}
