// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseTopo reads the output of nvidia-smi topo -m (or --matrix). Columns of
// network cards, affinities, the legend and terminal escapes are passed over.
func ParseTopo(output string) (*Links, error) {
	count, rows := 0, 0
	var cells [][]Link
	for line := range strings.Lines(output) {
		words := strings.Fields(stripEscapes(line))
		switch {
		case len(words) == 0:
		case count == 0:
			count = headerDevices(words)
		case words[0] != "GPU"+strconv.Itoa(rows):
		case rows >= count || count > MaxDevices:
			rows++
		default:
			row, err := parseTopoRow(words[1:], rows, count)
			if err != nil {
				return nil, err
			}
			cells = append(cells, row)
			rows++
		}
	}
	if max(count, rows) > MaxDevices {
		return nil, &InvalidLinks{"the header", fmt.Sprintf("%d devices", max(count, rows)), fmt.Sprintf("at most %d", MaxDevices)}
	}
	if count < 2 || rows != count {
		return nil, &InvalidLinks{"the output of nvidia-smi topo -m", fmt.Sprintf("%d devices in the header, %d rows", count, rows),
			"a header and a row for each of 2 or more GPUs"}
	}
	return lowerHalf(cells)
}

// lowerHalf checks that both halves of the matrix agree and keeps one.
func lowerHalf(cells [][]Link) (*Links, error) {
	l := &Links{count: len(cells)}
	for a := range cells {
		for b := range a {
			if cells[a][b] != cells[b][a] {
				return nil, &InvalidLinks{fmt.Sprintf("GPU%d to GPU%d", a, b), cells[a][b].String(),
					cells[b][a].String() + ", as the other way round"}
			}
			l.pairLinks = append(l.pairLinks, cells[a][b])
		}
	}
	return l, nil
}

// headerDevices counts the columns GPU0, GPU1 ... of a header line; 0 if the
// line is no header.
func headerDevices(words []string) int {
	n := 0
	for n < len(words) && words[n] == "GPU"+strconv.Itoa(n) {
		n++
	}
	if n < 2 {
		return 0
	}
	return n
}

func parseTopoRow(words []string, row, count int) ([]Link, error) {
	where := fmt.Sprintf("row GPU%d", row)
	if len(words) < count {
		return nil, &InvalidLinks{where, strings.Join(words, " "), fmt.Sprintf("%d columns", count)}
	}
	links := make([]Link, count)
	for i, word := range words[:count] {
		link, ok := parseLink(word)
		if i == row {
			ok = word == "X"
		}
		if !ok {
			return nil, &InvalidLinks{where, word, "X on the diagonal, elsewhere " + linkSyntax}
		}
		links[i] = link
	}
	return links, nil
}

// stripEscapes drops terminal escapes: nvidia-smi underlines its header.
func stripEscapes(line string) string {
	var s strings.Builder
	for {
		before, after, found := strings.Cut(line, "\x1b[")
		s.WriteString(before)
		if !found {
			return s.String()
		}
		_, line, _ = strings.Cut(after, "m")
	}
}
