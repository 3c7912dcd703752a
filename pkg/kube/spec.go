// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strconv"
	"strings"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
)

// MaxMinCount is the largest gang that is taken for one that was meant.
const MaxMinCount = 100_000

// separator stands between the dialect and the name of a translated group. No
// object in the API can have it in its name, so that translated groups and
// native ones never meet.
const separator = "~"

// GroupName is the name under which the scheduler knows a group.
func GroupName(dialect Dialect, name string) string {
	if dialect == DialectNative {
		return name
	}
	return string(dialect) + separator + strings.ReplaceAll(name, "/", separator)
}

// GangName is what users call the gang behind a group.
func GangName(pg *schedulingapi.PodGroup) string {
	_, name := SplitGroupName(pg.Name)
	return name
}

// SplitGroupName returns the dialect of a group and what users call its gang.
func SplitGroupName(group string) (Dialect, string) {
	dialect, name, ok := strings.Cut(group, separator)
	switch {
	case !ok:
		return DialectNative, group
	case Dialect(dialect) == DialectAuto:
		// Kind, name and what tells the workload from earlier ones of its name.
		kind, rest, _ := strings.Cut(name, separator)
		workload, _, _ := strings.Cut(rest, separator)
		return DialectAuto, kind + "/" + workload
	}
	return Dialect(dialect), name
}

// IsTranslated reports whether a group's name is one that GroupName made for a
// dialect other than the native one.
func IsTranslated(group string) bool { return strings.Contains(group, separator) }

// ParseMinCount reads the number of pods that start together. Only plain
// decimal digits from 1 to MaxMinCount are taken: a number that two readers
// could read in two ways is none.
func ParseMinCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < 1 || n > MaxMinCount {
		return 0, fmt.Errorf("found %s, want a number from 1 to %d in plain digits, such as \"8\"", Quote(text), MaxMinCount)
	}
	return n, nil
}

// Quote shows text that a user wrote, so that what is wrong with it can be
// seen, and not more of it than fits a message.
func Quote(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
