// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

//go:embed assets
var assets embed.FS

// scripts are the parts of the page's one script, in their order.
var scripts = []string{"model.js", "marks.js", "layout.js", "paint.js", "lists.js", "words.js", "input.js", "main.js"}

// pollSeconds is the interval at which a served page asks for new data.
const pollSeconds = 2

// The parts of the page are put together once; they do not depend on data.
var (
	style  = readAsset("page.css")
	script = joinScripts()
)

// readAsset returns a file of the folder assets.
func readAsset(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is part of the binary
	}
	return string(text)
}

// joinScripts returns the scripts as one function, so that nothing of them is
// global.
func joinScripts() string {
	var all strings.Builder
	all.WriteString("(() => {\n'use strict';\n")
	for _, name := range scripts {
		all.WriteString(readAsset(name))
	}
	all.WriteString("})();\n")
	return all.String()
}

// WriteFile writes a page that holds its data and makes no request.
func WriteFile(w io.Writer, data *Data) error {
	// Marshal writes <, > and & as escapes, so that no name ends the element
	// around the data.
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	_, err = io.WriteString(w, renderPage(string(text), "0", securityPolicy("'none'")))
	return err
}

// livePage returns the page that fetches data.json beside it.
func livePage() string {
	return renderPage("null", fmt.Sprint(pollSeconds), securityPolicy("'self'"))
}

// renderPage fills in the template. Only the template is searched for
// placeholders, not what is filled in.
func renderPage(data, live, policy string) string {
	return strings.NewReplacer(
		"{{policy}}", policy, "{{live}}", live, "{{style}}", style, "{{data}}", data, "{{script}}", script,
	).Replace(readAsset("page.html"))
}

// securityPolicy returns the Content-Security-Policy: this package's script and
// style, requests to where connect says, and nothing else.
func securityPolicy(connect string) string {
	return "default-src 'none'; script-src " + hashSource(script) + "; style-src " + hashSource(style) +
		"; img-src data:; connect-src " + connect + "; base-uri 'none'; form-action 'none'"
}

// hashSource returns the source expression that allows exactly this text.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
