// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/muster-scheduler/muster/internal/sim"
)

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>body{margin:0 auto;max-width:960px;padding:1em;font:14px system-ui,sans-serif;color:#222;background:#fff}svg{width:100%%;height:auto}pre{overflow-x:auto;font:13px ui-monospace,"DejaVu Sans Mono",monospace}</style>
%s<h2>Figures</h2>
<pre>%s</pre>
</html>
`

// WriteHTML writes a page with the picture, and the table of figures below it.
func (ch *Chart) WriteHTML(w io.Writer) error {
	summaries := make([]sim.Summary, len(ch.Runs))
	for i, r := range ch.Runs {
		summaries[i] = r.Summary
	}
	var table strings.Builder
	sim.WriteTable(&table, summaries)
	_, err := fmt.Fprintf(w, page, html.EscapeString(ch.Title), ch.renderSVG(), html.EscapeString(table.String()))
	return err
}
