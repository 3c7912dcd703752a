// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page_test looks at the topology page with a real browser.
package page_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// patience is far above what anything here takes; a loaded machine is slow.
const patience = time.Minute

// find returns the browser, or skips the test.
func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium on this machine; to look at the page: apt-get install chromium")
	return ""
}

// tab is an open page, and all it asked for and complained of.
type tab struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	requests []string
	faults   []string
}

// open opens an address in a browser of its own, in a window of that size.
func open(t testing.TB, address string, width, height int64, flags ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), append(options, flags...)...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	p := &tab{TB: t, ctx: ctx}
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, height)))
	require.NoError(t, chromedp.Listen(ctx, p.note))
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
	p.until(`document.documentElement.dataset.ready === "true"`)
	return p
}

func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	}
}

// asked lists the addresses that the page has asked for, except the ones that
// stand for data within the page.
func (p *tab) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// value evaluates an expression in the page.
func value[T any](p *tab, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(p, err, expression)
	return v
}

// until waits for a claim about the page to come true.
func (p *tab) until(claim string) {
	p.Helper()
	require.Eventually(p, func() bool { return value[bool](p, "Boolean("+claim+")") }, patience, 20*time.Millisecond, claim)
}

// text is what an element says.
func (p *tab) text(selector string) string {
	p.Helper()
	return value[string](p, `document.querySelector(`+quote(selector)+`).innerText`)
}

// press presses keys, one after the other. A name such as "Enter" is one key.
func (p *tab) press(keys ...string) {
	p.Helper()
	for _, key := range keys {
		require.NoError(p, chromedp.Do(p.ctx, chromedp.KeyEvent(key)))
	}
}

// hover moves the mouse.
func (p *tab) hover(x, y float64) {
	p.Helper()
	require.NoError(p, chromedp.Do(p.ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y)))
}

// shoot keeps a picture of the page for people to look at: in the folder
// MUSTER_PAGE_SHOTS, else among the test's artifacts.
func (p *tab) shoot(name string) {
	p.Helper()
	dir := os.Getenv("MUSTER_PAGE_SHOTS")
	if dir == "" {
		dir = p.ArtifactDir()
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	require.NoError(p, err)
	require.NoError(p, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// calm fails if the page threw an error.
func (p *tab) calm() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p, p.faults)
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `\'`) + "'" }

func TestBrowserRuns(t *testing.T) {
	p := open(t, "data:text/html,<html data-ready=true><body>hello</body>", 800, 600)
	require.Equal(t, "hello", p.text("body"))
	p.shoot("hello")
	p.calm()
}
