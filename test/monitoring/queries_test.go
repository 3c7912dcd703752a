// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const folder = "../../manifests/monitoring/"

var promql = parser.NewParser(parser.Options{})

// targetLabels are those that Prometheus adds to what it scrapes.
var targetLabels = []string{"job", "instance", "namespace", "pod", "service", "endpoint", "container"}

// query is an expression of the dashboard or of an alert.
type query struct{ where, text string }

// queries lists all of them.
func queries(t *testing.T) []query {
	t.Helper()
	var all []query
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			text := strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
			all = append(all, query{fmt.Sprintf("panel %d %s %s", p.ID, p.Title, target.RefID), text})
		}
	}
	for _, rule := range readAlerts(t).Groups[0].Rules {
		all = append(all, query{rule.Alert, rule.Expr})
	}
	require.Greater(t, len(all), 20)
	return all
}

// check parses the query and looks for all that it asks for in a scrape.
func (q query) check(t *testing.T, got families) {
	expr, err := promql.ParseExpr(q.text)
	require.NoError(t, err)
	selectors := 0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			selectors++
			known := labelsOf(t, got, n.Name)
			for _, m := range n.LabelMatchers {
				if m.Name == model.MetricNameLabel {
					continue
				}
				assert.Contains(t, known, m.Name, "labels of %s", n.Name)
				if m.Type == labels.MatchEqual && len(known[m.Name]) > 0 {
					assert.Contains(t, known[m.Name], m.Value, "values of %s of %s", m.Name, n.Name)
				}
				if m.Type == labels.MatchRegexp {
					for value := range strings.SplitSeq(m.Value, "|") {
						assert.True(t, m.Name == "job" || known[m.Name][value], "value %s of %s of %s", value, m.Name, n.Name)
					}
				}
			}
		case *parser.AggregateExpr:
			for _, label := range n.Grouping {
				assert.Contains(t, grouped(t, got, n), label, "what %s is grouped by", n)
			}
		}
		return nil
	})
	assert.Positive(t, selectors)
}

// grouped are the labels of all metrics below an aggregation.
func grouped(t *testing.T, got families, n *parser.AggregateExpr) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	parser.Inspect(n.Expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			maps.Copy(all, labelsOf(t, got, s.Name))
		}
		return nil
	})
	return all
}

// labelsOf are the labels that a series may have, each with the values seen.
func labelsOf(t *testing.T, got families, series string) map[string]map[string]bool {
	family := got[series]
	known := map[string]map[string]bool{}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name, cut := strings.CutSuffix(series, suffix)
		if of := got[name]; cut && of != nil && strings.EqualFold(of.GetType().String(), "histogram") {
			family = of
			if suffix == "_bucket" {
				known[labels.BucketLabel] = nil
			}
		}
	}
	if !assert.NotNil(t, family, "the scheduler has no metric %s", series) {
		return known
	}
	for _, name := range targetLabels {
		known[name] = nil
	}
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			if known[l.GetName()] == nil {
				known[l.GetName()] = map[string]bool{}
			}
			known[l.GetName()][l.GetValue()] = true
		}
	}
	return known
}

// readAlerts reads the rule file as promtool check rules does.
func readAlerts(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	groups, errs := rulefmt.ParseFile(folder+"alerts.yaml", false, model.UTF8Validation, promql)
	require.Empty(t, errs)
	require.Len(t, groups.Groups, 1)
	return groups
}

func TestAlertsSayHowBadAndWhat(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	for _, rule := range readAlerts(t).Groups[0].Rules {
		assert.Contains(t, []string{"critical", "warning", "info"}, rule.Labels["severity"], rule.Alert)
		assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		assert.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		assert.Contains(t, string(text), "| `"+rule.Alert+"` |", "docs/metrics.md")
	}
}

func TestTheOperatorGetsTheSameAlerts(t *testing.T) {
	read := func(file string) map[string]any {
		text, err := os.ReadFile(folder + file)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, yaml.UnmarshalStrict(text, &fields))
		return fields
	}
	assert.Equal(t, read("alerts.yaml"), read("prometheusrule.yaml")["spec"])
}

// dashboard is what the test looks at of a dashboard in Grafana's JSON model.
type dashboard struct {
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID          int
		Type, Title string
		Datasource  struct{ UID string }
		GridPos     struct{ H, W, X, Y int }
		Targets     []struct {
			RefID, Expr string
			Datasource  struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile(folder + "dashboard.json")
	require.NoError(t, err)
	d := &dashboard{}
	require.NoError(t, json.Unmarshal(text, d))
	return d
}

func TestTheDashboardCanBeImported(t *testing.T) {
	d := readDashboard(t)
	assert.GreaterOrEqual(t, d.SchemaVersion, 36)
	assert.Equal(t, "muster-scheduler", d.UID)
	assert.Equal(t, "datasource", d.Templating.List[0].Type)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "panel %d twice", p.ID)
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				assert.Empty(t, taken[[2]int{x, y}], "panel %s lies over another", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		for _, target := range p.Targets {
			assert.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
			assert.Contains(t, target.Expr, `job=~"$job"`, p.Title)
		}
	}
}

// TestTheComponentIsInstalledWithMuster builds an overlay as docs/metrics.md
// shows it.
func TestTheComponentIsInstalledWithMuster(t *testing.T) {
	memory := filesys.MakeFsInMemory()
	require.NoError(t, memory.WriteFile("/kustomization.yaml", []byte("resources: [manifests]\ncomponents: [manifests/monitoring]\n")))
	disk := os.DirFS("../..")
	require.NoError(t, copyTree(memory, disk, "manifests"))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/")
	require.NoError(t, err)
	found := map[string]map[string]any{}
	for _, one := range built.Resources() {
		fields, err := one.Map()
		require.NoError(t, err)
		found[one.GetKind()+"/"+one.GetName()] = fields
		if one.GetKind() != "ClusterRole" && one.GetGvk().Group == "monitoring.coreos.com" {
			assert.Equal(t, "muster-system", one.GetNamespace())
		}
	}
	for _, want := range []string{
		"PrometheusRule/muster-scheduler", "ServiceMonitor/muster-scheduler", "Service/muster-scheduler-metrics", "ClusterRole/muster-metrics-reader",
	} {
		assert.Contains(t, found, want)
	}
	require.Contains(t, found, "ConfigMap/muster-dashboard")
	text, err := os.ReadFile(folder + "dashboard.json")
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"muster.json": string(text)}, found["ConfigMap/muster-dashboard"]["data"])
}

// copyTree copies a folder.
func copyTree(to filesys.FileSystem, from fs.FS, folder string) error {
	return fs.WalkDir(from, folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		return to.WriteFile("/"+path, text)
	})
}
