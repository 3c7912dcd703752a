// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestDecode_AutoGangNamespaces(t *testing.T) {
	for text, wrong := range map[string]string{
		`autoGangNamespaces: [training, "*"]`: "",
		`autoGangNamespaces: ["team-*"]`:      `autoGangNamespaces: found "team-*", want the name of a namespace or "*"`,
		`autoGangNamespaces: [""]`:            `autoGangNamespaces: found "", want the name of a namespace or "*"`,
	} {
		args, err := Decode(&runtime.Unknown{Raw: []byte(text)})
		if wrong == "" {
			assert.NoError(t, err)
			assert.Equal(t, []string{"training", "*"}, args.AutoGangNamespaces)
		} else {
			assert.ErrorContains(t, err, wrong)
		}
	}
}
