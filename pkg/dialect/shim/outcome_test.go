// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// lossyBinder is an API server whose answers to bindings are errors.
type lossyBinder struct {
	corev1.PodInterface
	// answer is what a binding is answered, the first few times only if busy is not 0.
	answer error
	busy   int
	// pod is what it has of the pod, nil for nothing; it says so from the
	// time it was asked often enough.
	pod   *v1.Pod
	often int
	asked int
	bound int
}

func (l *lossyBinder) Bind(context.Context, *v1.Binding, metav1.CreateOptions) error {
	l.bound++
	if l.busy > 0 && l.bound > l.busy {
		return nil
	}
	return l.answer
}

func (l *lossyBinder) Get(_ context.Context, name string, _ metav1.GetOptions) (*v1.Pod, error) {
	l.asked++
	switch {
	case l.asked <= l.often:
		return nil, io.ErrUnexpectedEOF
	case l.pod == nil:
		return nil, apierrors.NewNotFound(v1.Resource("pods"), name)
	}
	return l.pod, nil
}

// nodesNamed lists nodes.
func nodesNamed(names ...string) corelisters.NodeLister {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, name := range names {
		_ = indexer.Add(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}) // never fails
	}
	return corelisters.NewNodeLister(indexer)
}

func TestClient_BindsToNoNodeThatWentAway(t *testing.T) {
	api := &lossyBinder{}
	client := podClient{binder: api, t: &Translator{store: emptyStore(), bindings: newBindings(), nodes: nodesNamed("n1")}}
	bind := func(node string) error {
		return client.Bind(t.Context(), &v1.Binding{Target: v1.ObjectReference{Name: node}}, metav1.CreateOptions{})
	}
	require.NoError(t, bind("n1"))
	require.ErrorContains(t, bind("n2"), "node n2 went away before the pod was bound to it")
	assert.Equal(t, 1, api.bound)
	assert.Zero(t, api.asked)
}

// The API server may say when to come again. A pod whose siblings hold their GPUs comes
// again when it has to.
func TestClient_ABindingDoesNotWaitForClientGo(t *testing.T) {
	retry := bindRetryBackoff
	bindRetryBackoff = wait.Backoff{}
	t.Cleanup(func() { bindRetryBackoff = retry })
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.Method+" "+r.URL.Path)
		w.Header().Set("Retry-After", "1")
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/json")
			_, err := io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"uid":"u1"},"spec":{"nodeName":"n1"}}`)
			assert.NoError(t, err)
			return
		}
		http.Error(w, "later", map[string]int{"busy": http.StatusTooManyRequests, "lost": http.StatusServiceUnavailable}[strings.Split(r.URL.Path, "/")[6]])
	}))
	defer server.Close()
	inner, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	pods := client{inner, &Translator{store: emptyStore(), bindings: newBindings(), nodes: nodesNamed("n1")}}.CoreV1().Pods("ns")
	bind := func(name string) error {
		return pods.Bind(t.Context(), &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u1"}, Target: v1.ObjectReference{Name: "n1"}}, metav1.CreateOptions{})
	}
	assert.True(t, apierrors.IsTooManyRequests(bind("busy")))
	require.NoError(t, bind("lost"))
	assert.Equal(t, []string{"POST /api/v1/namespaces/ns/pods/busy/binding", "POST /api/v1/namespaces/ns/pods/lost/binding", "GET /api/v1/namespaces/ns/pods/lost"}, requests)
}

func TestClient_ABindingWithoutAnAnswerIsLookedUp(t *testing.T) {
	check, retry := bindCheckBackoff, bindRetryBackoff
	bindCheckBackoff = wait.Backoff{Duration: time.Microsecond, Factor: 1, Steps: 5}
	bindRetryBackoff = wait.Backoff{Duration: time.Microsecond, Factor: 1, Steps: 2}
	t.Cleanup(func() { bindCheckBackoff, bindRetryBackoff = check, retry })
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	conflict := apierrors.NewConflict(v1.Resource("pods/binding"), "a", errors.New("pod a is already assigned to node n1"))
	denied := apierrors.NewForbidden(v1.Resource("pods/binding"), "a", errors.New("not today"))
	bound := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u1"}, Spec: v1.PodSpec{NodeName: "n1"}}
	elsewhere := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u1"}, Spec: v1.PodSpec{NodeName: "n2"}}
	another := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u2"}, Spec: v1.PodSpec{NodeName: "n1"}}
	waiting := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u1"}}
	ending := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u1", DeletionTimestamp: &metav1.Time{Time: time.Now()}}}
	tooMany := apierrors.NewTooManyRequests("later", 1)
	rows := []struct {
		name  string
		api   lossyBinder
		bound bool
		asked int
		tries int
	}{
		{"an answer that it is bound", lossyBinder{pod: bound}, true, 0, 1},
		{"a lost answer", lossyBinder{answer: io.EOF, pod: bound}, true, 1, 1},
		{"a lost answer, and more of them", lossyBinder{answer: io.EOF, pod: bound, often: 3}, true, 4, 1},
		{"no answer at all", lossyBinder{answer: io.EOF, pod: bound, often: 100}, false, 5, 1},
		{"an error of the API server's own", lossyBinder{answer: apierrors.NewInternalError(io.EOF), pod: bound}, true, 1, 1},
		{"a second try", lossyBinder{answer: conflict, pod: bound}, true, 1, 1},
		{"it was not made", lossyBinder{answer: io.EOF, pod: waiting}, false, 3, 3},
		{"it was not made for want of time, and is then", lossyBinder{answer: tooMany, busy: 2}, true, 0, 3},
		{"it was not made for an error, and is then", lossyBinder{answer: apierrors.NewInternalError(io.EOF), busy: 1, pod: waiting}, true, 1, 2},
		{"it is never made for want of time", lossyBinder{answer: tooMany}, false, 0, 3},
		{"it was not made, and the pod ends", lossyBinder{answer: io.EOF, pod: ending}, false, 1, 1},
		{"another scheduler was faster", lossyBinder{answer: conflict, pod: elsewhere}, false, 1, 1},
		{"another pod of the name", lossyBinder{answer: conflict, pod: another}, false, 1, 1},
		{"the pod is gone", lossyBinder{answer: io.EOF}, false, 1, 1},
		{"the API server does not want to", lossyBinder{answer: denied, pod: bound}, false, 0, 1},
		{"nobody heard of it", lossyBinder{answer: refused, pod: bound}, false, 0, 3},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			client := podClient{binder: &row.api, t: &Translator{store: emptyStore(), bindings: newBindings(), nodes: nodesNamed("n1")}}
			binding := &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u1"}, Target: v1.ObjectReference{Name: "n1"}}
			err := client.Bind(t.Context(), binding, metav1.CreateOptions{})
			if row.bound {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, row.api.answer)
			}
			assert.Equal(t, row.asked, row.api.asked)
			assert.Equal(t, row.tries, row.api.bound, "tries")
		})
	}
}
