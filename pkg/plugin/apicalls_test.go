// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	fwk "k8s.io/kube-scheduler/framework"
)

// A namespace whose call hangs holds back its own calls, which keep their order, and
// nobody else's.
func TestAPICalls(t *testing.T) {
	calls := &apiCalls{}
	hang, done := make(chan struct{}), make(chan string, 8)
	calls.start(t.Context(), "slow", func(context.Context) { <-hang })
	for i := range 3 {
		calls.start(t.Context(), "slow", func(context.Context) { done <- fmt.Sprint("slow ", i) })
	}
	calls.start(t.Context(), "other", func(context.Context) { done <- "other" })
	assert.Equal(t, "other", <-done)
	close(hang)
	for i := range 3 {
		assert.Equal(t, fmt.Sprint("slow ", i), <-done)
	}
	last := make(chan struct{})
	calls.start(t.Context(), "slow", func(context.Context) { close(last) })
	<-last
}

// clientHandle is a scheduler with a client.
type clientHandle struct {
	fwk.Handle
	client kubernetes.Interface
}

func (h clientHandle) ClientSet() kubernetes.Interface { return h.client }

// The API server puts the evictions of one namespace off for an hour, and the client
// waits for that. Those of another are made meanwhile.
func TestAPICalls_AnEvictionThatIsPutOffHoldsUpNoOtherNamespace(t *testing.T) {
	var putOff atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(r.URL.Path, "/namespaces/slow/") {
			putOff.Add(1)
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Success"}`))
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	evict := (&evictor{handle: clientHandle{client: client}}).evictPod
	calls, ctx := &apiCalls{}, t.Context()
	start := func(ctx context.Context, namespace string) chan error {
		answer := make(chan error, 1)
		calls.start(ctx, namespace, func(ctx context.Context) {
			_, err := evict(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p", UID: "p"}}, nil)
			answer <- err
		})
		return answer
	}
	waiting, stop := context.WithCancel(ctx)
	slow := start(waiting, "slow")
	require.Eventually(t, func() bool { return putOff.Load() > 0 }, time.Minute, time.Millisecond)
	behind := start(waiting, "slow")
	for range 10 {
		require.NoError(t, <-start(ctx, "other"))
	}
	assert.Empty(t, slow, "it is put off still")
	assert.Empty(t, behind)
	stop()
	require.Error(t, <-slow)
	require.Error(t, <-behind)
}

// Each namespace has one goroutine for as long as it has calls, however many.
func TestAPICalls_EndWithTheLastOfTheirNamespace(t *testing.T) {
	const namespaces, each = 300, 5
	calls, hang := &apiCalls{}, make(chan struct{})
	before := runtime.NumGoroutine()
	for i := range namespaces * each {
		calls.start(t.Context(), fmt.Sprint("ns", i%namespaces), func(context.Context) { <-hang })
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before+namespaces+10, "others of the test binary may come and go")
	close(hang)
	require.Eventually(t, func() bool {
		calls.mu.Lock()
		defer calls.mu.Unlock()
		return len(calls.waiting) == 0
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+10 }, time.Minute, time.Millisecond)
}
