// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// spot is where the middle of a GPU of a node with 8 is, in the window.
type spot struct{ X, Y float64 }

func (p *tab) spot(node string, gpu int) spot {
	p.Helper()
	return value[spot](p, fmt.Sprintf(`(() => {
		const map = document.getElementById('map'), r = map.getBoundingClientRect(), at = muster.place(%s), step = (at.w + muster.plan().gap) / 8;
		return {X: r.left - map.scrollLeft + at.x + (%d + .45) * step, Y: r.top - map.scrollTop + at.y + at.h / 2};
	})()`, quote(node), gpu))
}

// colour is what is painted in the middle of a GPU, as red,green,blue.
func (p *tab) colour(node string, gpu int) string {
	p.Helper()
	p.until(`muster.idle()`)
	at := p.spot(node, gpu)
	return value[string](p, fmt.Sprintf(`(() => {
		const canvas = document.getElementById('canvas'), r = canvas.getBoundingClientRect();
		return [...canvas.getContext('2d').getImageData((%g - r.left) * devicePixelRatio, (%g - r.top) * devicePixelRatio, 1, 1).data].slice(0, 3).join();
	})()`, at.X, at.Y))
}

// names are the gangs of a list, in its order.
func (p *tab) names(list string) string {
	p.Helper()
	return value[string](p, `[...document.querySelectorAll('#`+list+` .name')].map((e) => e.textContent).join(' ')`)
}

const (
	white  = "255,255,255"
	dimmed = "227,231,236" // --dim of the style sheet
	orange = "230,159,0"
	green  = "0,158,115"
)

func TestPage(t *testing.T) {
	address := example(t).file("")
	p := open(t, address, 1440, 860)

	assert.Equal(t, green, p.colour("node-1", 2), "the third gang has the third colour")
	assert.Equal(t, green, p.colour("node-24", 7), "wherever its pods are")
	assert.Equal(t, "86,180,233", p.colour("node-9", 3))
	assert.Equal(t, white, p.colour("node-41", 0), "free")
	assert.NotEqual(t, p.colour("node-41", 0), p.colour("node-1", 2))
	assert.Equal(t, value[string](p, `[...document.querySelector('#running .swatch').getContext('2d').getImageData(2, 2, 1, 1).data].slice(0, 3).join()`), orange,
		"the lists show the same colours")

	assert.Equal(t, map[string]string{
		"nodes": "72", "GPUs": "544", "MIG": "144", "in gangs": "330", "other pods": "13", "free": "321", "out of use": "24", "gangs wait": "3",
	}, value[map[string]string](p, `Object.fromEntries([...document.querySelectorAll('#figures div')].map((d) => [d.querySelector('dt').textContent, d.querySelector('dd').textContent]))`))
	waiting := p.text("#waiting")
	assert.Contains(t, waiting, "gang llama-405b needs 32 pods in one block; the best, block-2, has room for 20 (1 node not ready; short of nvidia.com/gpu)")
	assert.Contains(t, waiting, "NoFittingDomain · 0 of 32 placed")
	assert.Equal(t, "research/llama-405b speech/codec vision/video-gen", p.names("waiting"), "who waits longest comes first")
	assert.Equal(t, "42m0s", p.text("#waiting .time"))
	assert.Equal(t, "as of 2026-03-01 12:00 UTC", p.text("#clock"))

	p.shoot("light")
	assert.Equal(t, []string{address}, p.asked(), "a file asks nobody for anything")
	p.calm()
}

func TestPage_HoverSaysWho(t *testing.T) {
	p := open(t, example(t).file(""), 1440, 860)
	for _, test := range []struct {
		node string
		gpu  int
		want []string
	}{
		{"node-5", 3, []string{"research/llama-70b · C", "pod llama-70b-4, rank 4, 8 GPUs", "waited 1m30s, runs for 1d1h", "node-5 · NVIDIA-H100-80GB-HBM3 · block-1/rack-1", "0 of 8 free"}},
		{"node-41", 3, []string{"free", "GPU", "8 of 8 free"}},
		{"node-11", 3, []string{"free, but cordoned", "0 of 8 free"}},
		{"node-64", 0, []string{"notebooks/jupyter-ada", "in no gang that is shown, 2 GPUs", "5 of 8 free"}},
	} {
		at := p.spot(test.node, test.gpu)
		p.hover(at.X, at.Y)
		tip := p.text("#tip")
		for _, want := range test.want {
			assert.Contains(t, strings.Split(tip, "\n"), want, test.node)
		}
	}
	box := value[spot](p, `(() => { const b = muster.plan().boxes[0], r = document.getElementById('map').getBoundingClientRect(); return {X: r.left + b.left + 10, Y: r.top + b.top + 8}; })()`)
	p.hover(box.X, box.Y)
	assert.Equal(t, "block-1/rack-1\nrack · 8 nodes\n0 of 64 free", p.text("#tip"))
	p.calm()
}

func TestPage_WithoutAMouse(t *testing.T) {
	p := open(t, example(t).file(""), 1440, 860)
	for range 10 {
		if value[string](p, `document.activeElement.id`) == "map" {
			break
		}
		p.press(kb.Tab)
	}
	require.Equal(t, "map", value[string](p, `document.activeElement.id`))
	focused := func() string {
		return value[string](p, `document.getElementById(document.getElementById('map').getAttribute('aria-activedescendant')).getAttribute('aria-label')`)
	}
	assert.Equal(t, "node-1; in block-1/rack-1; NVIDIA-H100-80GB-HBM3; 0 of 8 free; research/llama-70b holds 8, rank 0", focused())
	assert.Contains(t, p.text("#tip"), "research/llama-70b", "what hovering says")
	for _, step := range []struct{ key, want string }{
		{kb.ArrowDown, "node-2"}, {kb.ArrowRight, "node-10"}, {kb.ArrowRight, "node-18"}, {kb.ArrowUp, "node-17"}, {kb.ArrowLeft, "node-9"},
		{kb.PageDown, "node-17"}, {kb.PageUp, "node-9"}, {kb.End, "mig-8"}, {kb.Home, "node-1"}, {kb.ArrowUp, "node-1"},
	} {
		p.press(step.key)
		assert.Equal(t, step.want, strings.Split(focused(), ";")[0], "%q", step.key)
	}

	p.press(kb.PageDown, kb.PageDown, kb.PageDown, kb.PageDown, kb.Enter)
	assert.Equal(t, "block-2/rack-5", p.text("#rack-title"))
	assert.Equal(t, "node-33\t0 of 8\tresearch/reward-model 8 (rank 0)", value[string](p, `document.querySelector('#rows .here').innerText`))
	assert.Equal(t, 8, value[int](p, `document.querySelectorAll('#rows tr').length`))
	p.shoot("rack")
	p.press(kb.Escape)
	assert.False(t, value[bool](p, `document.querySelector('#rack').checkVisibility()`))

	p.press("/")
	for _, key := range "whisper" {
		p.press(string(key))
	}
	assert.Equal(t, "speech/whisper-ft", p.names("running"))
	assert.Equal(t, dimmed, p.colour("node-1", 2))
	p.press(kb.Escape)
	assert.Equal(t, green, p.colour("node-1", 2))
	assert.Equal(t, "map", value[string](p, `document.activeElement.id`), "back to where the reader was")

	p.press("?")
	assert.True(t, value[bool](p, `document.getElementById('guide').open`))
	p.shoot("guide")
	p.press(kb.Escape)
	assert.False(t, value[bool](p, `document.getElementById('guide').open`))
	before := value[float64](p, `muster.place('node-1').h`)
	p.press("+")
	assert.Greater(t, value[float64](p, `muster.place('node-1').h`), before)
	p.press("-", "-")
	assert.Less(t, value[float64](p, `muster.place('node-1').h`), before)
	p.press("0")
	assert.InDelta(t, before, value[float64](p, `muster.place('node-1').h`), 0)
	p.calm()
}

func TestPage_FilterByNamespace(t *testing.T) {
	address := example(t).file("")
	p := open(t, address, 1440, 860)
	assert.Equal(t, " evals notebooks research serving speech vision",
		value[string](p, `[...document.getElementById('namespace').options].map((o) => o.value).join(' ')`))
	value[bool](p, `(() => { const n = document.getElementById('namespace'); n.value = 'vision'; return n.dispatchEvent(new Event('change')); })()`)
	check := func(p *tab) {
		p.Helper()
		assert.Equal(t, "vision/dino-vit vision/seg-small vision/sweep-1", p.names("running"))
		assert.Equal(t, "vision/video-gen", p.names("waiting"))
		assert.Equal(t, dimmed, p.colour("node-1", 2), "other namespaces are dimmed")
		assert.NotEqual(t, dimmed, p.colour("node-16", 2))
		assert.Equal(t, white, p.colour("node-41", 2), "free stays free")
	}
	check(p)
	p.shoot("filter")
	assert.Equal(t, "#namespace=vision", value[string](p, `location.hash`))
	check(open(t, address+"#namespace=vision", 1440, 860))
	p.calm()
}

func TestPage_ClickOnAGang(t *testing.T) {
	p := open(t, example(t).file(""), 1440, 860)
	at := p.spot("node-5", 3)
	require.NoError(t, chromedp.Do(p.ctx, chromedp.MouseClickXY(at.X, at.Y)))
	assert.Equal(t, "research/llama-70b", value[string](p, `document.querySelector('.gang[aria-pressed=true] .name').textContent`))
	assert.Equal(t, dimmed, p.colour("node-9", 3), "the others step back")
	assert.Equal(t, green, p.colour("node-24", 3))
	p.shoot("gang")
	p.press(kb.Escape)
	assert.Equal(t, "86,180,233", p.colour("node-9", 3))
	p.calm()
}

// The API server refuses most of this as names, but a snapshot is a file that
// anyone may write, and label values and messages are nearly free text.
func TestPage_HostileNamesAreText(t *testing.T) {
	const bad = `</script><script>window.harm=1</script><img src=http://127.0.0.1:9/x onerror=window.harm=1>'"&amp;{{data}}`
	c := fleet(t, 16)
	c.run("default", "good", 2, 8, time.Hour)
	c.nodes[0].Labels[kube.LabelGPUProduct] = bad
	c.nodes[1].Labels[sandbox.RackLabel] = bad
	for i, pod := range c.gang("default", "evil", 2, 8, time.Hour, required, bad) {
		pod.Name, pod.Namespace = fmt.Sprint(bad, i), bad
		pod.Labels[kube.LabelGang] = bad
	}
	c.bind(c.pod(bad, bad, sandbox.GPUResource, 8, time.Hour), "node-10")
	address := c.file("")
	p := open(t, address, 1440, 860)
	at := p.spot("node-10", 1)
	p.hover(at.X, at.Y)
	assert.Contains(t, p.text("#tip"), bad+"/"+bad)
	assert.Contains(t, p.text("#waiting"), bad)
	value[any](p, `document.getElementById('map').focus()`)
	p.press(kb.Home, kb.Enter)
	assert.Empty(t, value[string](p, `String(window.harm || '')`))
	assert.Equal(t, 0, value[int](p, `document.querySelectorAll('img, iframe').length`))
	assert.Equal(t, 2, value[int](p, `document.scripts.length`))
	assert.Equal(t, []string{address}, p.asked())
	p.calm()
}

// Work is bounded by what is in view, whatever the size of the cluster.
func TestPage_5000Nodes(t *testing.T) {
	c := fleet(t, 5000)
	for i := range 400 {
		for j, pod := range c.gang(fmt.Sprintf("team-%d", i%7), fmt.Sprintf("job-%d", i), 12, 8, time.Duration(i+2)*time.Minute) {
			c.bind(pod, fmt.Sprintf("node-%d", 1+i*12+j))
		}
	}
	for i := range 120 {
		c.gang("team-9", fmt.Sprintf("big-%d", i), 40, 8, time.Hour, required, "block")
	}
	p := open(t, c.file(""), 1440, 860)
	assert.Equal(t, 40000, value[int](p, `muster.model().nodes.reduce((sum, n) => sum + n.cells.length, 0)`))
	bounded := func() {
		t.Helper()
		assert.LessOrEqual(t, value[int](p, `muster.work.cells`), 12000, "cells in a frame")
		assert.LessOrEqual(t, value[int](p, `muster.work.fills`), 46, "a fill for each kind of cell")
		assert.LessOrEqual(t, value[int](p, `document.querySelectorAll('*').length`), 1500, "elements")
	}
	bounded()
	p.shoot("5000")
	assert.Equal(t, 50, value[int](p, `document.querySelectorAll('#waiting .gang').length`))
	assert.Contains(t, p.text("#waiting"), "Show 50 more of 70")
	value[any](p, `document.querySelector('#waiting .more').click()`)
	assert.Equal(t, 100, value[int](p, `document.querySelectorAll('#waiting .gang').length`))

	frames := value[int](p, `muster.work.frames`)
	value[any](p, `document.getElementById('map').focus()`)
	p.press(kb.End)
	p.until(fmt.Sprintf(`muster.work.frames > %d`, frames))
	assert.LessOrEqual(t, value[int](p, `muster.work.frames`)-frames, 4, "frames for one key")
	assert.Contains(t, value[string](p, `document.querySelector('[role=option]').getAttribute('aria-label')`), "node-5000;")
	assert.Equal(t, white, p.colour("node-5000", 7), "the end of the map is painted where it is")
	bounded()
	p.calm()
}

func TestPage_ClusterWithoutAnything(t *testing.T) {
	c := &cluster{TB: t, nodes: []*v1.Node{sandbox.NewNode("lonely", sandbox.NodeShape{})}}
	p := open(t, c.file(""), 1000, 600)
	assert.Contains(t, p.text("#waiting"), "no gang waits")
	value[any](p, `document.getElementById('map').focus()`)
	p.press(kb.ArrowDown, kb.Enter)
	assert.Contains(t, p.text("#rows"), "lonely")
	p.calm()
}
