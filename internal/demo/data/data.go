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

// Kalos are 160 jobs of an LLM training cluster, most of them of many nodes.
func Kalos() ([]trace.Gang, error) { return read("gangs_kalos.csv", trace.ReadGangs) }

// Philly are the 47,192 jobs that a shared cluster of Microsoft received in
// October 2017, most of them of one GPU.
func Philly() ([]trace.Gang, error) { return read("gangs_philly_oct2017.csv.gz", trace.ReadGangs) }

// Lingjun are the 847 hosts of a production cluster, by their switches.
func Lingjun() ([]trace.Node, error) { return read("fabric_lingjun2023.csv", trace.ReadNodes) }

func read[T any](name string, parse func(string, io.Reader) ([]T, error)) ([]T, error) {
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
