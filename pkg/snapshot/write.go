// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// SyntheticUID returns the UID of an object that never was in an API server. It
// starts with a word that no API server writes.
func SyntheticUID(namespace, name string) types.UID {
	return types.UID("handmade-" + namespace + "-" + name)
}

// Write writes the snapshot to a folder that is absent or empty, or that holds
// an earlier snapshot. The files are readable by their owner only.
func (s *Snapshot) Write(dir string) error {
	if err := prepareFolder(dir); err != nil {
		return err
	}
	s.APIVersion, s.Kind = headerVersion, headerKind
	header, err := yaml.Marshal(s.Header)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		text func() ([]byte, error)
	}{
		{headerFile, func() ([]byte, error) { return header, nil }},
		{"nodes.json", func() ([]byte, error) { return marshalList(stripAll(s.Nodes, StripNode)) }},
		{"pods.json", func() ([]byte, error) { return marshalList(stripAll(s.allPods(), StripPod)) }},
		{"podgroups.json", func() ([]byte, error) { return marshalList(stripAll(s.Groups, StripGroup)) }},
	} {
		text, err := file.text()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file.name), text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("writing the snapshot: %w", err)
		}
	}
	if err := s.writeDevices(dir); err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	return nil
}

// prepareFolder creates the folder, or refuses one that holds something else.
func prepareFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, headerFile)); err != nil {
		return fmt.Errorf("writing the snapshot: %s holds %d other files; name a new folder", dir, len(entries))
	}
	return nil
}

// marshalList returns a v1 List with one item a line, so that two snapshots can
// be compared with diff.
func marshalList(items []any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`{"apiVersion":"v1","kind":"List","items":[`)
	for i, item := range items {
		text, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(bytes.TrimSpace(text))
	}
	b.WriteString("\n]}\n")
	return b.Bytes(), nil
}

// stripAll strips objects again, whoever put them into the snapshot: this is
// the last step before they are written.
func stripAll[T any](objects []T, strip func(T) T) []any {
	all := make([]any, len(objects))
	for i, o := range objects {
		all[i] = strip(o)
	}
	return all
}
