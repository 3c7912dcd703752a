// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// slowServer is the API server, but for one kind of object that it does not
// hand out yet.
type slowServer struct {
	proxy http.Handler
	// held is the end of the path that has to wait.
	held string
	// asked is closed when somebody waits for it, and go on lets them.
	asked, goOn chan struct{}
	once        sync.Once
}

func (s *slowServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, s.held) {
		s.once.Do(func() { close(s.asked) })
		select {
		case <-s.goOn:
		case <-r.Context().Done():
			return
		}
	}
	s.proxy.ServeHTTP(w, r)
}

// slow puts a slow server before the API server, and returns it with the
// kubeconfig that leads there.
func (c *cluster) slow(held string) (*slowServer, string) {
	c.Helper()
	target, err := url.Parse(c.Config().Host)
	require.NoError(c, err)
	transport, err := rest.TransportFor(c.Config())
	require.NoError(c, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.FlushInterval = transport, -1
	s := &slowServer{proxy: proxy, held: held, asked: make(chan struct{}), goOn: make(chan struct{})}
	server := httptest.NewServer(s)
	c.Cleanup(server.Close)
	path := filepath.Join(c.TempDir(), "kubeconfig")
	require.NoError(c, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"slow": {Server: server.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"slow": {Cluster: "slow"}},
		CurrentContext: "slow",
	}, path))
	return s, path
}

// TestScheduler_PlacesNothingBeforeAllIsKnown starts the scheduler on an API
// server that holds one kind of object back. A pod placed by then could stand
// where another one stands, or without its gang.
func TestScheduler_PlacesNothingBeforeAllIsKnown(t *testing.T) {
	c := start(t, sandbox.Options{PodGroupCRD: true})
	c.podGroup("crd", 1)
	for name, held := range map[string]string{
		"the pods come late":       "/api/v1/pods",
		"the nodes come late":      "/api/v1/nodes",
		"the pod groups come late": "/scheduling.x-k8s.io/v1alpha1/podgroups",
	} {
		t.Run(name, func(t *testing.T) {
			names := []string{"a", "b", "c"}
			c.create(names[:1], kube.LabelGang+"=train", kube.AnnotationMinCount+"=1")
			c.create(names[1:2], kube.LabelPodGroup+"=crd")
			c.create(names[2:])
			server, kubeconfig := c.slow(held)
			p := c.launch("--kubeconfig", kubeconfig)
			<-server.asked
			require.Eventually(t, func() bool { return c.get("/livez") == http.StatusOK }, patience, pause)
			require.Eventually(t, func() bool { return c.get("/readyz") == http.StatusInternalServerError }, patience, pause)
			assert.Never(t, func() bool {
				return c.get("/readyz") == http.StatusOK || c.state("a") == "bound" || c.state("b") == "bound" || c.state("c") == "bound"
			}, time.Second, pause)
			close(server.goOn)
			c.sees(names, "bound")
			assert.Equal(t, http.StatusOK, c.get("/readyz"))
			p.Signal(os.Interrupt)
			require.NoError(t, p.Wait())
			c.remove(names...)
		})
	}
}
