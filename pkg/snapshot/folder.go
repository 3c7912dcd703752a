// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// LoadFolder reads a snapshot from a folder. Files that hold other kinds are
// passed over, so that the output of kubectl can be put there as it is.
func LoadFolder(dir string) (*Snapshot, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the snapshot: %w", err)
	}
	s := &Snapshot{}
	for _, entry := range entries {
		if entry.IsDir() || !slices.Contains([]string{".json", ".yaml", ".yml"}, filepath.Ext(entry.Name())) {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the snapshot: %w", err)
		}
		if err := EachObject(text, s.addObject); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	if len(s.Nodes) == 0 {
		return nil, fmt.Errorf("the snapshot %s holds no nodes; write one with \"muster snapshot DIR\", or put the output of \"kubectl get nodes,pods -A -o yaml\" into a file there", dir)
	}
	s.sortObjects()
	return s, s.checkUnique()
}

// checkUnique returns an error for two objects of one kind and name.
func (s *Snapshot) checkUnique() error {
	for i := 1; i < len(s.Nodes); i++ {
		if s.Nodes[i].Name == s.Nodes[i-1].Name {
			return fmt.Errorf("the snapshot holds node %s twice", s.Nodes[i].Name)
		}
	}
	pods := slices.SortedFunc(slices.Values(s.allPods()), compareNames)
	for i := 1; i < len(pods); i++ {
		if a, b := pods[i], pods[i-1]; compareNames(a, b) == 0 {
			return fmt.Errorf("the snapshot holds pod %s/%s twice", a.Namespace, a.Name)
		}
	}
	return nil
}

// EachObject calls take with each object of a YAML or JSON text, as JSON. Lists
// are taken apart.
func EachObject(text []byte, take func(kind metav1.TypeMeta, object []byte) error) error {
	if first := bytes.TrimSpace(text); len(first) > 0 && first[0] == '{' {
		return eachItem(first, metav1.TypeMeta{}, take)
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		object, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return err
		}
		if string(object) == "null" {
			continue
		}
		if err := eachItem(object, metav1.TypeMeta{}, take); err != nil {
			return err
		}
	}
}

// eachItem calls take with one object, or with each item of a list. Items of a
// typed list such as a PodList carry no kind of their own.
func eachItem(object []byte, kind metav1.TypeMeta, take func(metav1.TypeMeta, []byte) error) error {
	var own metav1.TypeMeta
	if err := json.Unmarshal(object, &own); err != nil {
		return err
	}
	if own.Kind == "" {
		own = kind
	}
	if own.Kind == "" {
		return errors.New("found an object without a kind, want Kubernetes objects")
	}
	of, list := strings.CutSuffix(own.Kind, "List")
	if !list {
		return take(own, object)
	}
	var items struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(object, &items); err != nil {
		return err
	}
	for _, item := range items.Items {
		if err := eachItem(item, metav1.TypeMeta{APIVersion: own.APIVersion, Kind: of}, take); err != nil {
			return err
		}
	}
	return nil
}

// addObject adds one object of a folder. What may be secret is removed here
// too: a folder may come from kubectl.
func (s *Snapshot) addObject(kind metav1.TypeMeta, object []byte) error {
	switch kind.Kind + "." + kind.APIVersion {
	case "Node.v1":
		node := &v1.Node{}
		if err := json.Unmarshal(object, node); err != nil {
			return err
		}
		s.Nodes = append(s.Nodes, StripNode(node))
	case "Pod.v1":
		pod := &v1.Pod{}
		if err := json.Unmarshal(object, pod); err != nil {
			return err
		}
		s.addPod(pod)
	case headerKind + "." + headerVersion:
		return yaml.UnmarshalStrict(object, &s.Header)
	default:
		if kind.APIVersion == devicesAPI {
			if s.Devices == nil {
				s.Devices = &dra.Objects{}
			}
			_, err := AddDeviceObject(s.Devices, kind, object)
			return err
		}
		if !dialect.IsGroup(kind.APIVersion, kind.Kind) {
			return nil
		}
		u := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(object, &u.Object); err != nil { // whole numbers as int64, as from the API server
			return err
		}
		u.SetAPIVersion(kind.APIVersion)
		u.SetKind(kind.Kind)
		s.Groups = append(s.Groups, StripGroup(u))
	}
	return nil
}

// addPod adds a pod unless it has failed. A pod written by hand may lack a UID,
// by which everything else tells pods apart.
func (s *Snapshot) addPod(pod *v1.Pod) {
	state := kube.MemberStateOf(pod)
	if state == kube.MemberFailed {
		return
	}
	pod = StripPod(pod)
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	if pod.UID == "" {
		pod.UID = SyntheticUID(pod.Namespace, pod.Name)
	}
	if state == kube.MemberFinished {
		s.Finished = append(s.Finished, pod)
		return
	}
	s.Pods = append(s.Pods, pod)
}
