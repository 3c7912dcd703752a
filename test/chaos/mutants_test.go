// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/chaos/checker"
)

// mutant is a small error in the scheduler, and the rule by which the checker is to find
// it. The product has none of it: the text is replaced while a scheduler is built for
// TestMutants.
type mutant struct {
	name     string
	file     string // from the root
	old, new string
	rule     checker.Rule
	// faults are the only ones that are made, none for all of them.
	faults string
}

// mutation is the condition in a replaced text.
func mutation(name string) string { return `os.Getenv("MUSTER_MUTANT") == "` + name + `"` }

var allMutants = []mutant{
	{
		name: "bind-elsewhere", file: "pkg/dialect/shim/client.go", rule: checker.NoOvercommit, faults: "none",
		old: "return c.binder.Bind(ctx, binding, options)",
		new: "if " + mutation("bind-elsewhere") + " { binding = binding.DeepCopy(); binding.Target.Name = \"n7\" }; return c.binder.Bind(ctx, binding, options)",
	},
	{
		name: "lose-pods", file: "pkg/dialect/shim/outcome.go", rule: checker.NothingLost, faults: "none",
		old: "if err == nil || ctx.Err() != nil {",
		new: "if err == nil && " + mutation("lose-pods") + " { _ = c.Delete(ctx, binding.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}) }; if err == nil || ctx.Err() != nil {",
	},
	{
		name: "ignore-racks", file: "pkg/kube/gang.go", rule: checker.RequiredTopology, faults: "none",
		old: "c.nameUnknownResource(roles)\n",
		new: "if " + mutation("ignore-racks") + " { m.Required = topology.NoLevel }\n\tc.nameUnknownResource(roles)\n",
	},
	{
		name: "leave-one-behind", file: "pkg/plugin/barrier.go", rule: checker.GangAtomic, faults: "none",
		old: "for uid := range b.reserved {\n\t\tif waiting := b.all.handle.GetWaitingPod(uid); waiting != nil {\n\t\t\twaiting.Allow(Name)",
		new: "left := false; for uid := range b.reserved {\n\t\tif waiting := b.all.handle.GetWaitingPod(uid); waiting != nil {\n\t\t\tif !left && " + mutation("leave-one-behind") + " { left = true; continue }\n\t\t\twaiting.Allow(Name)",
	},
	{
		name: "no-fence", file: "pkg/lease/term.go", rule: checker.OneWriter, faults: "stop-leader",
		old: "if t == nil {\n\t\treturn true, nil",
		new: "if t == nil || " + mutation("no-fence") + " {\n\t\treturn true, nil",
	},
	{
		name: "no-election", file: "pkg/scheduler/fence.go", rule: checker.OneWriter, faults: "none",
		old: "if c.LeaderElection == nil {",
		new: "if " + mutation("no-election") + " { c.LeaderElection = nil; c.ComponentConfig.LeaderElection.LeaderElect = false }; if c.LeaderElection == nil {",
	},
	{
		name: "leak", file: "pkg/plugin/barrier.go", rule: checker.BoundedState, faults: "none",
		old: "return &barrier{\n\t\tall: s,",
		new: "if " + mutation("leak") + " { go func() { select {} }() }\n\treturn &barrier{\n\t\tall: s,",
	},
	{
		name: "never-wake", file: "pkg/plugin/gangqueue.go", rule: checker.Progress, faults: "none",
		old: "case queue.Activate:\n\t\tq.activateGang(ctx, e)",
		new: "case queue.Activate:\n\t\tif " + mutation("never-wake") + " { return }\n\t\tq.activateGang(ctx, e)",
	},
	{
		name: "say-nothing", file: "pkg/dialect/shim/podstatus.go", rule: checker.TruthfulStatus, faults: "none",
		old: "if pod == nil {\n\t\treturn nil",
		new: "if pod == nil || " + mutation("say-nothing") + " {\n\t\treturn nil",
	},
	{
		name: "take-any", file: "pkg/scheduler/setup.go", rule: checker.OwnPodsOnly, faults: "rival",
		old: "CompleteConfig(&c.ComponentConfig)\n",
		new: "if " + mutation("take-any") + " { other := *c.ComponentConfig.Profiles[0].DeepCopy(); other.SchedulerName = \"rival\"; c.ComponentConfig.Profiles = append(c.ComponentConfig.Profiles, other) }\n\tCompleteConfig(&c.ComponentConfig)\n",
	},
	{
		name: "panic", file: "pkg/plugin/barrier.go", rule: checker.StaysAlive, faults: "none",
		old: "b.reserved.Insert(pod.UID)\n",
		new: "if " + mutation("panic") + " { panic(\"a mutant\") }\n\tb.reserved.Insert(pod.UID)\n",
	},
}

// TestMutants_AreWhatTheSourceHas checks, at each commit, that every mutant still has its
// place in the source, and that the source has nothing of them.
func TestMutants_AreWhatTheSourceHas(t *testing.T) {
	for _, m := range append(slices.Clone(allMutants), unchecked) {
		text, err := os.ReadFile(filepath.Join("../..", m.file))
		require.NoError(t, err)
		assert.Equal(t, 1, strings.Count(string(text), m.old), "mutant %s has to have one place in %s", m.name, m.file)
		assert.NotContains(t, string(text), "MUSTER_MUTANT", m.file)
	}
}

// TestMutants runs schedulers that each have a small error, until the checker finds it.
func TestMutants(t *testing.T) {
	if *mutants == "" {
		t.Skip("make chaos-mutants runs them")
	}
	binary := buildMutants(t, allMutants)
	for _, m := range allMutants {
		if *mutants != "all" && !strings.Contains(","+*mutants+",", ","+m.name+",") {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			before := *only
			*only = m.faults
			defer func() { *only = before }()
			began := time.Now()
			b := newBench(t, 1, setup{binary: binary, mutant: m.name})
			b.rule = m.rule
			b.runAll()
			found := b.checker.Report()
			for _, v := range found.Violations[:min(len(found.Violations), 3)] {
				t.Logf("%s: %s", v.Rule, v.What)
			}
			t.Logf("mutant %s: %v after %s", m.name, found.Broken, time.Since(began).Round(time.Second))
			assert.NotZero(t, found.Broken[m.rule], "the checker has to find it by %s", m.rule)
		})
	}
}

// buildMutants builds a scheduler that has all of them, and is told by MUSTER_MUTANT which
// one to be. The source stays as it is: the compiler is given other files in its place.
func buildMutants(t *testing.T, mutants []mutant) string {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]string{}
	for _, m := range mutants {
		path, err := filepath.Abs(filepath.Join("../..", m.file))
		require.NoError(t, err)
		if _, known := texts[path]; !known {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			texts[path] = string(text)
			if !strings.Contains(texts[path], "\"os\"\n") {
				texts[path] = strings.Replace(texts[path], "import (\n", "import (\n\t\"os\"\n", 1)
			}
		}
		texts[path] = strings.Replace(texts[path], m.old, m.new, 1)
	}
	overlay := map[string]map[string]string{"Replace": {}}
	for path, text := range texts {
		changed := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		require.NoError(t, os.WriteFile(changed, []byte(text), 0o600))
		overlay["Replace"][path] = changed
	}
	data, err := json.Marshal(overlay)
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, data, 0o600))
	binary := filepath.Join(dir, "mutant-scheduler")
	output, err := exec.Command("go", "build", "-overlay", list, "-o", binary, "github.com/muster-scheduler/muster/cmd/muster-scheduler").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return binary
}

// isCaught reports whether the mutant that runs was found out, so that the run can end.
func (b *bench) isCaught() bool {
	return b.mutant != "" && b.checker.Report().Broken[b.rule] > 0
}
