// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/sim/chart"
	"github.com/muster-scheduler/muster/internal/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// picture replays a few gangs on eight nodes below two leaves. Those that loose
// starts together stand in each other's way for ever.
func picture(t *testing.T, policies ...string) *chart.Chart {
	t.Helper()
	ch := &chart.Chart{Title: "Gangs & <others>", About: "5 jobs on 8 nodes"}
	var nodes []trace.Node
	for i := range 8 {
		nodes = append(nodes, trace.Node{Name: fmt.Sprint("n", i), Core: "c", Spine: "s", Leaf: fmt.Sprint("l", i/4)})
	}
	job := func(name string, arrival, run time.Duration, pods, gpus int) trace.Gang {
		return trace.Gang{Name: name, Arrival: arrival * time.Minute, Run: run * time.Minute, Pods: pods, GPUs: gpus}
	}
	for _, name := range policies {
		policy, err := sim.PolicyNamed(name)
		require.NoError(t, err)
		cfg := sim.Config{Nodes: nodes, Shape: sim.Shape{GPUs: 8}, Policy: policy, Gangs: []trace.Gang{
			job("a", 10, 60, 1, 2), job("b", 10, 30, 2, 8), job("c", 80, 45, 5, 8), job("d", 80, 45, 5, 8), job("e", 100, 300, 1, 8),
		}}
		r, err := sim.Run(cfg)
		require.NoError(t, err)
		ch.Runs = append(ch.Runs, chart.Run{Summary: sim.NewSummary(&cfg, r), Result: r})
	}
	return ch
}

func svg(t *testing.T, ch *chart.Chart) string {
	var out bytes.Buffer
	require.NoError(t, ch.WriteSVG(&out))
	return out.String()
}

// The golden file is a picture: look at it after -update.
func TestSVG_Golden(t *testing.T) {
	golden := filepath.Join("testdata", "replay.svg")
	got := svg(t, picture(t, "muster", "spread", "loose"))
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.True(t, string(want) == got, "the picture differs from %s; run with -update and look at it", golden)
}

func TestSVG_IsWellFormedAndNeedsNothingElse(t *testing.T) {
	for _, policies := range [][]string{
		nil,
		{"muster"},
		{"muster", "muster/planned", "muster/most-allocated", "muster/least-allocated", "first-fit", "best-fit", "spread", "loose"},
	} {
		got := svg(t, picture(t, policies...))
		decoder := xml.NewDecoder(strings.NewReader(got))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
		}
		assert.NotContains(t, strings.ReplaceAll(got, "http://www.w3.org/2000/svg", ""), "http")
		assert.NotContains(t, got, "NaN")
		assert.NotContains(t, got, "Inf")
		assert.Contains(t, got, "Gangs &amp; &lt;others&gt;")
	}
}

func TestSVG_SaysInWordsWhatItShows(t *testing.T) {
	got := svg(t, picture(t, "muster", "loose"))
	for _, want := range []string{
		`role="img" aria-labelledby="chart-title chart-desc"`,
		"<desc id=\"chart-desc\">5 jobs on 8 nodes. muster: ",
		"; waits of all: median 0, 95th percentile 45 min. loose: ",
		", 2 of 5 placed; ",
		">3 never placed<",
	} {
		assert.True(t, strings.Contains(got, want), "the picture lacks %s", want)
	}
}

func TestHTML_HoldsThePictureAndTheFigures(t *testing.T) {
	ch := picture(t, "muster", "spread")
	var out bytes.Buffer
	require.NoError(t, ch.WriteHTML(&out))
	for _, want := range []string{
		svg(t, ch), "<title>Gangs &amp; &lt;others&gt;</title>", "partly started                        0            0\n",
	} {
		assert.True(t, strings.Contains(out.String(), want), "the page lacks %s", want)
	}
}
