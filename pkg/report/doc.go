// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report writes what the command muster has to say: as aligned text for
// people, as JSON or YAML for programs. Text holds no colours and no control
// characters, so that it can be piped, pasted and compared.
package report
