// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// hostile is text that a user, or an attacker, may write where a number or a
// name is meant.
var hostile = []string{
	"", " ", " 8", "8 ", "8\n", "+8", "08", "0x8", "0b1000", "8.0", "8e0", "1e9", "-1", "0", "-0", "1_000",
	"2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616",
	"NaN", "Inf", "٨", "８", "8\x00", "\ufeff8", "\u202e8", "8\xff", "eight", "100001", strings.Repeat("9", 10_000),
	"ns/name", "../x", "a/b/c", "~", "label~x", "Train", "train_1", ".", "-", "a..b",
	strings.Repeat("a", 253), strings.Repeat("a", 254), "name with spaces", "名前", "${jndi}", "a\tb", "\x1b[31m",
}

func TestMarkerOf(t *testing.T) {
	const gang, crd, old, count = kube.LabelGang, kube.LabelPodGroup, kube.LabelPodGroupOld, kube.AnnotationMinCount
	tests := []struct {
		name    string
		words   []string
		group   string
		reason  kube.Reason
		message string
	}{
		{"a pod without markers is in no gang", nil, "", "", ""},
		{"a topology wish alone makes no gang", []string{kube.AnnotationTopologyRequired + "=rack"}, "", "", ""},
		{"a label names a gang", []string{gang + "=train", count + "=8"}, "label~train", "", ""},
		{"a gang's count is read elsewhere", []string{gang + "=train"}, "label~train", "", ""},
		{"the coscheduling label names a PodGroup", []string{crd + "=train"}, "crd~train", "", ""},
		{"its older spelling does too", []string{old + "=train"}, "crd~train", "", ""},
		{"both spellings may say the same", []string{crd + "=train", old + "=train"}, "crd~train", "", ""},
		{"a native group keeps its name", []string{"group=train"}, "train", "", ""},
		{"both spellings may not differ", []string{crd + "=a", old + "=b"}, "conflict~p", kube.GangConfigConflict,
			`pod p declares its gang more than once: label scheduling.x-k8s.io/pod-group "a", label pod-group.scheduling.sigs.k8s.io "b"; create it again with one of them`},
		{"two markers are a conflict", []string{gang + "=a", crd + "=a"}, "conflict~p", kube.GangConfigConflict,
			`pod p declares its gang more than once: label scheduling.x-k8s.io/pod-group "a", label muster.sh/gang "a"; create it again with one of them`},
		{"a native group and a label are a conflict", []string{"group=a", gang + "=b"}, "conflict~p", kube.GangConfigConflict,
			`pod p declares its gang more than once: spec.schedulingGroup "a", label muster.sh/gang "b"; create it again with one of them`},
		{"a PodGroup has a count of its own", []string{crd + "=a", count + "=8"}, "conflict~p", kube.GangConfigConflict,
			`pod p declares its gang more than once: label scheduling.x-k8s.io/pod-group "a", annotation muster.sh/min-count "8"; create it again with one of them`},
		{"a count without a gang is invalid", []string{count + "=8"}, "conflict~p", kube.InvalidGangSpec,
			`pod p has annotation muster.sh/min-count but no gang; add the label muster.sh/gang with the name of its gang`},
		{"an empty name is invalid", []string{gang + "="}, "label~", kube.InvalidGangSpec,
			`label muster.sh/gang: found "", want the name of a gang in the pod's own namespace: lower-case letters, digits, '-' and '.', such as "train-1"`},
		{"a name never reaches into another namespace", []string{gang + "=other/train"}, "label~other~train", kube.InvalidGangSpec,
			`label muster.sh/gang: found "other/train", want the name of a gang in the pod's own namespace: lower-case letters, digits, '-' and '.', such as "train-1"`},
		{"upper case is invalid", []string{crd + "=Train"}, "crd~Train", kube.InvalidGangSpec,
			`label scheduling.x-k8s.io/pod-group: found "Train", want the name of a gang in the pod's own namespace: lower-case letters, digits, '-' and '.', such as "train-1"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPod("p", test.words...)
			m, ok := dialect.Enabled(nil, nil).ReadMarker(p)
			assert.Equal(t, test.group != "", ok)
			assert.Equal(t, test.group, m.Group)
			assert.Equal(t, test.group, store.Objects{}.GroupOf(p))
			if test.reason == "" {
				assert.Nil(t, m.Problem)
				return
			}
			require.NotNil(t, m.Problem)
			assert.Equal(t, test.reason, m.Problem.Reason)
			assert.Equal(t, test.message, m.Problem.Message)
		})
	}
}

func TestMarkerOf_AfterTranslation(t *testing.T) {
	tests := []struct {
		name    string
		words   []string
		group   string
		message string
	}{
		{"a translated pod keeps its group", []string{"group=label~train", kube.LabelGang + "=train"}, "label~train", ""},
		{"a name that was invalid stays so", []string{"group=label~Train", kube.LabelGang + "=Train"}, "label~Train", "label muster.sh/gang: found"},
		{"a conflict stays one", []string{"group=conflict~p", kube.LabelGang + "=a", kube.LabelPodGroup + "=a"}, "conflict~p", "pod p declares its gang more than once: label"},
		{"a conflict with the replaced native group stays one", []string{"group=conflict~p", kube.LabelGang + "=a"}, "conflict~p", "pod p declares its gang more than once; create"},
		{"a label that was changed later is told", []string{"group=label~train", kube.LabelGang + "=other"}, "label~train", "pod p was created as a member of gang train"},
		{"a label that was removed later is told", []string{"group=label~train"}, "label~train", "pod p was created as a member of gang train"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, ok := dialect.Enabled(nil, nil).ReadMarker(newPod("p", test.words...))
			assert.True(t, ok)
			assert.Equal(t, test.group, m.Group)
			if test.message == "" {
				assert.Nil(t, m.Problem)
				return
			}
			require.NotNil(t, m.Problem)
			assert.Contains(t, m.Problem.Message, test.message)
		})
	}
}

// FuzzMarkerOf checks what holds for any words on a pod: with a marker there
// is a group, the group has no slash that could reach into another namespace,
// a name that no object can have is refused, messages are of one line of plain
// text, and a pod reads the same after it was given its group.
func FuzzMarkerOf(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, "", "", "", uint8(1))
		f.Add(text, text, "train", text, uint8(15))
		f.Add("train", text, "", "8", uint8(3))
		f.Add("", "", text, "8", uint8(12))
	}
	f.Fuzz(func(t *testing.T, gang, crd, native, count string, which uint8) {
		p := newPod("p")
		if which&1 != 0 {
			p.Labels[kube.LabelGang] = gang
		}
		if which&2 != 0 {
			p.Labels[kube.LabelPodGroup] = crd
		}
		if which&4 != 0 && native != "" && !strings.ContainsAny(native, "~/") {
			p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &native}
		}
		if which&8 != 0 {
			p.Annotations[kube.AnnotationMinCount] = count
		}
		m, ok := dialect.Enabled(nil, nil).ReadMarker(p)
		marked := which&3 != 0 || which&8 != 0 || p.Spec.SchedulingGroup != nil
		if ok != marked || ok != (m.Group != "") {
			t.Fatalf("marked %t, found %t with group %q", marked, ok, m.Group)
		}
		if !ok {
			return
		}
		if strings.Contains(m.Group, "/") {
			t.Fatalf("group %q", m.Group)
		}
		if m.Problem != nil {
			checkMessage(t, m.Problem.Message)
		}
		p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &m.Group}
		if again, _ := dialect.Enabled(nil, nil).ReadMarker(p); again.Group != m.Group || m.Problem != nil && again.Problem == nil {
			t.Fatalf("%+v was read as %+v after translation", m, again)
		}
	})
}

func checkMessage(t *testing.T, message string) {
	t.Helper()
	if len(message) > 600 || !utf8.ValidString(message) {
		t.Fatalf("message %q", message)
	}
	for _, r := range message {
		if r < ' ' || r > '~' {
			t.Fatalf("message %q has %q in it", message, r)
		}
	}
}
