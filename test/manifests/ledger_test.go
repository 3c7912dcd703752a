// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
)

// permission is what RBAC grants and a request needs: a verb on a resource.
type permission struct {
	group, resource, verb string
}

func (p permission) String() string { return p.verb + " " + p.group + "/" + p.resource }

// ledger stands between the scheduler and the API server and keeps a record of
// what was asked and how it was answered.
type ledger struct {
	requests *request.RequestInfoFactory
	server   *httptest.Server

	mu      sync.Mutex
	granted map[permission]bool
	denied  sets.Set[string]
	// schemas is the UID of the flow schema that each kind of request fell
	// under.
	schemas map[permission]string
}

// newLedger starts a ledger in front of the API server of cfg. Callers
// authenticate themselves: their headers go through untouched.
func newLedger(t *testing.T, cfg *rest.Config) *ledger {
	t.Helper()
	target, err := url.Parse(cfg.Host)
	require.NoError(t, err)
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(cfg))
	require.NoError(t, err)
	l := &ledger{
		requests: &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")},
		granted:  map[permission]bool{},
		denied:   sets.New[string](),
		schemas:  map[permission]string{},
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	proxy.FlushInterval = -1 // watches
	proxy.ModifyResponse = l.note
	l.server = httptest.NewUnstartedServer(proxy)
	l.server.EnableHTTP2 = true
	l.server.StartTLS()
	t.Cleanup(func() {
		l.server.CloseClientConnections()
		l.server.Close()
	})
	return l
}

// redirect makes cfg call the ledger instead of the API server.
func (l *ledger) redirect(cfg *rest.Config) {
	cfg.Host = l.server.URL
	cfg.TLSClientConfig = rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.server.Certificate().Raw}),
	}
}

func (l *ledger) note(answer *http.Response) error {
	info, err := l.requests.NewRequestInfo(answer.Request)
	if err != nil {
		return err
	}
	asked := permission{info.APIGroup, info.Resource, info.Verb}
	if info.Subresource != "" {
		asked.resource += "/" + info.Subresource
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		l.denied.Insert(fmt.Sprintf("%d %s %s", answer.StatusCode, answer.Request.Method, info.Path))
	case info.IsResourceRequest: // also when the object was not there: it was allowed to ask
		l.granted[asked] = true
	}
	if schema := answer.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID); schema != "" {
		l.schemas[asked] = schema
	}
	return nil
}

// refusals are the requests that were answered 401 or 403.
func (l *ledger) refusals() sets.Set[string] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.denied.Clone()
}

// flows returns the UID of the flow schema that each kind of request fell under.
func (l *ledger) flows() map[permission]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.schemas)
}

// unused lists what the rules grant and nobody asked for. Whoever lists or
// watches a resource may read all of it, so get counts with them.
func (l *ledger) unused(rules []rbacv1.PolicyRule) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := sets.New[string]()
	for _, rule := range rules {
		for _, p := range permissionsOf(rule) {
			if l.granted[p] || isRead(p.verb) && l.read(p) {
				continue
			}
			idle.Insert(p.String())
		}
	}
	return sets.List(idle)
}

func (l *ledger) read(p permission) bool {
	return l.granted[permission{p.group, p.resource, "list"}] || l.granted[permission{p.group, p.resource, "watch"}]
}

func isRead(verb string) bool { return strings.Contains("get list watch", verb) }

func permissionsOf(rule rbacv1.PolicyRule) []permission {
	var all []permission
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				all = append(all, permission{group, resource, verb})
			}
		}
	}
	return all
}
