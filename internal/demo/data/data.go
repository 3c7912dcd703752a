// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package data holds the traces and the fabric that come with Muster. The README
// beside it says where each is from, under which license, and what was changed.
package data

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"strings"

	"github.com/muster-scheduler/muster/internal/trace"
)

//go:embed *.csv *.csv.gz
var files embed.FS

// KalosGangs returns 160 jobs of an LLM training cluster, most of them of many
// nodes.
func KalosGangs() ([]trace.Gang, error) { return readFile("gangs_kalos.csv", trace.ReadGangs) }

// PhillyGangs returns the 47,192 jobs that a shared cluster of Microsoft
// received in October 2017, most of them of one GPU.
func PhillyGangs() ([]trace.Gang, error) {
	return readFile("gangs_philly_oct2017.csv.gz", trace.ReadGangs)
}

// LingjunNodes returns the 847 hosts of a production cluster with their
// switches.
func LingjunNodes() ([]trace.Node, error) { return readFile("fabric_lingjun2023.csv", trace.ReadNodes) }

// readFile parses an embedded file, which may be compressed. The parser gets
// the name without ".gz" for its error messages.
func readFile[T any](name string, parse func(string, io.Reader) ([]T, error)) ([]T, error) {
	content, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	plain, packed := strings.CutSuffix(name, ".gz")
	if !packed {
		return parse(plain, bytes.NewReader(content))
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return parse(plain, unpacked)
}
