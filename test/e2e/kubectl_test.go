// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	texttemplate "text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// kubectl creates and deletes objects of any kind.
type kubectl struct {
	t      *testing.T
	c      *cluster
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newKubectl(t *testing.T, c *cluster) *kubectl {
	client, err := dynamic.NewForConfig(c.box.Config())
	require.NoError(t, err)
	return &kubectl{t: t, c: c, client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))}
}

// read fills the templates of a file in testdata/strangers.
func (k *kubectl) read(name string, data strangerData) []*unstructured.Unstructured {
	text, err := os.ReadFile(filepath.Join("testdata", "strangers", name))
	require.NoError(k.t, err)
	return k.decode([]byte(fill(k.t, string(text), data)))
}

func (k *kubectl) decode(text []byte) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); err != nil {
			require.ErrorContains(k.t, err, "EOF")
			return objects
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

func fill(t *testing.T, text string, data strangerData) string {
	var out bytes.Buffer
	require.NoError(t, texttemplate.Must(texttemplate.New("").Parse(text)).Execute(&out, data))
	return out.String()
}

// resource finds the client for an object, in the namespace of the test if its
// kind has one.
func (k *kubectl) resource(u *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := u.GroupVersionKind()
	mapping, err := k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		k.mapper.Reset()
		return nil, err
	}
	if mapping.Scope.Name() == "namespace" {
		return k.client.Resource(mapping.Resource).Namespace(k.c.namespace), nil
	}
	return k.client.Resource(mapping.Resource), nil
}

// awaitKinds waits until the kinds of CRDs are served.
func (k *kubectl) awaitKinds(definitions []*unstructured.Unstructured) {
	for _, u := range definitions {
		group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
		require.Eventually(k.t, func() bool {
			k.mapper.Reset()
			_, err := k.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind})
			return err == nil
		}, patience, 10*poll, "%s has to be served", u.GetName())
	}
}

// apply creates objects, each as soon as its kind and its webhooks answer.
func (k *kubectl) apply(objects []*unstructured.Unstructured) {
	for _, u := range objects {
		var last error
		ok := assert.Eventually(k.t, func() bool {
			var resource dynamic.ResourceInterface
			if resource, last = k.resource(u); last == nil {
				_, last = resource.Create(background, u, metav1.CreateOptions{})
			}
			return last == nil
		}, patience, 10*poll, "create %s %s", u.GetKind(), u.GetName())
		if !ok {
			require.NoError(k.t, last)
		}
	}
}

func (k *kubectl) delete(objects []*unstructured.Unstructured) {
	behind := metav1.DeletePropagationBackground
	for _, u := range objects {
		resource, err := k.resource(u)
		require.NoError(k.t, err)
		require.NoError(k.t, resource.Delete(background, u.GetName(), metav1.DeleteOptions{PropagationPolicy: &behind}))
	}
}
