// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page_test looks at the topology page with a real browser.
package page_test

import (
	"context"
	"fmt"
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

// browser is the one browser of all tests, each of which has a tab in it. It is
// nil where there is no Chromium.
var browser context.Context

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path := find()
	if path == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "muster-page-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // the temporary folder is cleaned anyway
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(dir),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer stop()
	ctx, closeBrowser := chromedp.NewContext(ctx)
	defer closeBrowser()
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "starting %s: %v\n", path, err)
		return 1
	}
	browser = ctx
	return m.Run()
}

// find returns the path of a browser, "" if there is none.
func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
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

// ready is true of a page that shows data.
const ready = `document.documentElement.dataset.ready === "true"`

// open visits an address and waits until data is shown.
func open(t testing.TB, address string, width, height int64) *tab {
	t.Helper()
	p := visit(t, address, width, height)
	p.until(ready + ` && muster.work.frames > 0`)
	return p
}

// visit opens an address in a tab of its own, in a window of that size. It skips
// the test where there is no browser.
func visit(t testing.TB, address string, width, height int64) *tab {
	t.Helper()
	if browser == nil {
		t.Skip("there is no Chromium on this machine; to look at the page: apt-get install chromium")
	}
	ctx, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	p := &tab{TB: t, ctx: ctx}
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, height)))
	require.NoError(t, chromedp.Listen(ctx, p.note))
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
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
