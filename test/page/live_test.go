// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/page"
)

// changing is a source whose data a test replaces.
type changing struct {
	mu      sync.Mutex
	data    *page.Data
	version int
}

func (c *changing) set(data *page.Data) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = data
	c.version++
}

func (c *changing) source() page.Source {
	return page.Source{
		Version: func() string {
			c.mu.Lock()
			defer c.mu.Unlock()
			return strconv.Itoa(c.version)
		},
		Build: func(context.Context) (*page.Data, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.data == nil {
				return nil, errors.New("nothing yet")
			}
			return c.data, nil
		},
	}
}

// serve serves the page until the test ends.
func (c *changing) serve(t *testing.T) *httptest.Server {
	server := httptest.NewServer(page.NewServer(c.source()))
	t.Cleanup(server.Close)
	return server
}

// live opens the page of a cluster, which the returned source changes.
func (c *cluster) live(t *testing.T) (*changing, *httptest.Server, *tab) {
	t.Helper()
	source := &changing{}
	source.set(c.data(""))
	server := source.serve(t)
	return source, server, open(t, server.URL+"/", 1440, 700)
}

func TestPage_Live(t *testing.T) {
	c := example(t)
	source, server, p := c.live(t)
	assert.Equal(t, "live", p.text("#clock"))
	assert.Equal(t, white, p.colour("node-57", 3))

	// The reader has chosen something, stands somewhere and has the focus on
	// a gang of a list.
	value[any](p, `(() => {
		document.getElementById('larger').click(); document.getElementById('larger').click();
		document.getElementById('map').scrollTop = 40;
		document.querySelector('[data-key="speech/codec"] button').focus();
		window.kept = document.activeElement;
	})()`)
	marked := p.colour("node-1", 3)

	for _, pod := range c.pods { // codec starts
		if pod.Namespace == "speech" && strings.HasPrefix(pod.Name, "codec-") {
			n, err := strconv.Atoi(strings.TrimPrefix(pod.Name, "codec-"))
			require.NoError(t, err)
			c.bind(pod, "node-"+strconv.Itoa(41+n))
		}
	}
	c.node("node-2").Spec.Unschedulable = true
	source.set(c.data(""))
	p.until(`document.getElementById('waiting').textContent.includes('codec') === false`)
	assert.Equal(t, "speech/codec started", p.text("#news"), "what a screen reader hears")
	assert.Contains(t, p.names("running"), "speech/codec")
	assert.Equal(t, "research/llama-405b vision/video-gen", p.names("waiting"))
	assert.InDelta(t, 40, value[float64](p, `document.getElementById('map').scrollTop`), 0)
	assert.Equal(t, marked, p.colour("node-1", 3), "a gang keeps its colour")
	assert.NotEqual(t, white, p.colour("node-41", 3))
	assert.Contains(t, value[string](p, `muster.model().byName.get('node-2').state`), "cordoned")

	// A node that is gone moves the others.
	c.nodes = c.nodes[1:]
	c.pods = withoutNode(c, "node-1")
	source.set(c.data(""))
	p.until(`!muster.model().byName.has('node-1')`)
	assert.NotEqual(t, white, p.colour("node-2", 3))

	for _, asked := range p.asked() {
		assert.Contains(t, []string{server.URL + "/", server.URL + "/data.json"}, asked)
	}
	p.shoot("live")
	server.CloseClientConnections()
	server.Close()
	p.until(`document.getElementById('clock').textContent.startsWith('no news since ')`)
	p.calm()
}

// withoutNode are the pods that are not on a node.
func withoutNode(c *cluster, name string) []*v1.Pod {
	var left []*v1.Pod
	for _, pod := range c.pods {
		if pod.Spec.NodeName != name {
			left = append(left, pod)
		}
	}
	return left
}

func TestPage_LiveFocusStays(t *testing.T) {
	c := example(t)
	source, _, p := c.live(t)
	value[any](p, `document.querySelector('[data-key="vision/video-gen"] button').focus()`)
	c.gang("aaa", "first", 99, 8, 50*time.Hour)
	source.set(c.data(""))
	p.until(`document.getElementById('waiting').textContent.includes('aaa/first')`)
	assert.Equal(t, "aaa/first research/llama-405b speech/codec vision/video-gen", p.names("waiting"))
	assert.Equal(t, "vision/video-gen", value[string](p, `document.activeElement.parentNode.dataset.key || ''`))
	assert.Equal(t, "aaa/first waiting", p.text("#news"))
	p.calm()
}

func TestPage_LiveBeforeThereIsData(t *testing.T) {
	source := &changing{}
	p := visit(t, source.serve(t).URL+"/", 1000, 600)
	p.until(`document.getElementById('clock').textContent.startsWith('no news since ')`)
	assert.Equal(t, "nothing yet", value[string](p, `document.getElementById('clock').title`))
	source.set(fleet(t, 8).data(""))
	p.until(ready)
	assert.Equal(t, "live", p.text("#clock"))
	p.calm()
}

// The first seven gangs differ in colour alone. Whoever sees fewer colours must
// be able to tell them apart nevertheless.
func TestPage_ReadableByTheColourBlind(t *testing.T) {
	p := open(t, example(t).file(""), 1440, 860)
	nodes := []string{"node-9", "node-1", "node-34", "node-25", "node-51", "node-16"}
	see := func(kind emulation.SetEmulatedVisionDeficiencyType) image.Image {
		p.emulate(call(emulation.SetEmulatedVisionDeficiency, emulation.SetEmulatedVisionDeficiencyParams{Type: kind}))
		shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		img, err := png.Decode(bytes.NewReader(shot))
		require.NoError(t, err)
		return img
	}
	for _, kind := range []emulation.SetEmulatedVisionDeficiencyType{"none", "protanopia", "deuteranopia", "tritanopia"} {
		img := see(kind)
		for i, one := range nodes {
			for _, other := range nodes[:i] {
				assert.Greater(t, distance(img, p.spot(one, 2), p.spot(other, 2)), 30, "%s: %s and %s", kind, one, other)
			}
		}
	}
	see("achromatopsia")
	p.shoot("grey")
	letters := value[string](p, `[...new Set(muster.model().gangs.map((g) => g.mark).filter((m) => m !== undefined))].length + ' of ' + muster.model().gangs.filter((g) => g.cells).length`)
	assert.Equal(t, "9 of 9", letters, "without any colour, letters are left")
}

// call is an action that calls a command of the browser.
func call[P any](command cdp.Command[P, cdp.Empty], params P) chromedp.Action[cdp.Empty] {
	return func(ctx context.Context, target *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, target, command, params)
	}
}

// emulate lets the browser be another one.
func (p *tab) emulate(how chromedp.Action[cdp.Empty]) {
	p.Helper()
	_, err := chromedp.Run(p.ctx, how)
	require.NoError(p, err)
}

// distance is how far two pixels are apart, as the sum over red, green and blue.
func distance(img image.Image, a, b spot) int {
	r0, g0, b0, _ := img.At(int(a.X), int(a.Y)).RGBA()
	r1, g1, b1, _ := img.At(int(b.X), int(b.Y)).RGBA()
	sum := 0
	for _, d := range []int{int(r0>>8) - int(r1>>8), int(g0>>8) - int(g1>>8), int(b0>>8) - int(b1>>8)} {
		sum += max(d, -d)
	}
	return sum
}

func TestPage_Dark(t *testing.T) {
	p := open(t, example(t).file(""), 1280, 760)
	p.emulate(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}))
	assert.Equal(t, "15,18,22", value[string](p, `getComputedStyle(document.body).backgroundColor.replace(/[^0-9,]/g, '')`))
	require.Eventually(t, func() bool { return p.colour("node-41", 3) == "28,34,42" }, patience, 20*time.Millisecond, "free is dark")
	assert.Equal(t, green, p.colour("node-1", 3))
	p.shoot("dark")
	p.calm()
}
