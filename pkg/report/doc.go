// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report writes the output of the command muster: as aligned text for
// people, as JSON or YAML for programs. Text holds no colors and no control
// characters, so that it can be piped, pasted and compared.
//
// Each file writes one result of package explain: explanation.go that of muster
// explain, status.go the list of gangs, outline.go plans, topology.go the tree of
// domains. format.go has what they share: the choice of the format, and tables in
// aligned columns. Nothing is computed here, so that JSON has all that text has.
//
// Writers of text ignore errors of their writer: it is a buffer, or the terminal
// of a command that has no other place for the error.
package report
