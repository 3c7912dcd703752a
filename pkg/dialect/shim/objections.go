// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"regexp"
	"strings"
)

var (
	// noNode is how kube-scheduler begins to say why no node suits a pod: see
	// FitError in pkg/scheduler/framework/types.go of Kubernetes 1.37.
	noNode = regexp.MustCompile(`^0/\d+ nodes are available: `)
	// nodeCount is the number of nodes before each of the reasons.
	nodeCount = regexp.MustCompile(`^\d+ `)
)

// objectionsIn returns the reasons for which no node suits a pod, without the numbers
// of nodes, and without those that Muster gives for every other node than the
// planned one. It returns none for a message of another kind.
func objectionsIn(message string) []string {
	prefix := noNode.FindString(message)
	if prefix == "" {
		return nil
	}
	var objections []string
	for part := range strings.SplitSeq(strings.TrimRight(message[len(prefix):], ". "), ", ") {
		count := nodeCount.FindString(part)
		if count == "" && len(objections) > 0 { // a comma within a reason
			objections[len(objections)-1] += ", " + part
			continue
		}
		objections = append(objections, part[len(count):])
	}
	var others []string
	for _, objection := range objections {
		if objection != "" && !strings.Contains(objection, "[Muster]") && objection != planHasAnother {
			others = append(others, objection)
		}
	}
	return others
}

// planHasAnother is what the plugin's filter says of a node that a member is not
// planned on.
const planHasAnother = "the gang's plan has another node for this pod"
