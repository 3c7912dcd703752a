// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report writes the output of the command muster: as aligned text for
// people, as JSON or YAML for programs. Text holds no colors and no control
// characters, so that it can be piped, pasted and compared.
package report
