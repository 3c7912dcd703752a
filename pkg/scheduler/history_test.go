// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIsGang(t *testing.T) {
	for name, row := range map[string]struct {
		group, gang string
		want        bool
	}{
		"a label's gang goes by its own name":          {"a/label~train", "a/train", true},
		"and by the full name of its group":            {"a/label~train", "a/label~train", true},
		"a native group has no other name":             {"a/train", "a/train", true},
		"the gang of a workload goes by kind and name": {"a/auto~job~train~x7", "a/job/train", true},
		"or by the workload's name alone":              {"a/auto~job~train~x7", "a/train", true},
		"another namespace is another gang":            {"b/label~train", "a/train", false},
		"the end of a name is not the name":            {"a/label~pretrain", "a/train", false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, row.want, isGang(row.group, row.gang)) })
	}
}

func TestHistory_RefusesWhatItCannotAnswer(t *testing.T) {
	ask := func(method, target string) (int, string) {
		answer := httptest.NewRecorder()
		(&historySource{}).ServeHTTP(answer, httptest.NewRequest(method, target, http.NoBody))
		return answer.Code, answer.Body.String()
	}
	status, body := ask(http.MethodGet, historyPath)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "[]\n", body, "no decision is a list too")
	status, body = ask(http.MethodGet, historyPath+"?gang=train")
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "want NAMESPACE/NAME")
	status, _ = ask(http.MethodPost, historyPath)
	assert.Equal(t, http.StatusMethodNotAllowed, status)
}
