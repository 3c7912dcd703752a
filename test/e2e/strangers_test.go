// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// strangersWanted names, with commas, the controllers of other projects that
// are built and tested, or is "all"; empty for those of strangersByDefault.
const strangersWanted = "MUSTER_TEST_STRANGERS"

// strangersByDefault are enough to see that the path works; `make strangers`
// builds all, which takes many minutes.
const strangersByDefault = "jobset,lws"

// stranger is a workload controller of another project, built from its own
// module in test/strangers and run as its project's manifests say.
type stranger struct {
	name string
	// module holds the manifests, main is the package of the command.
	module, main string
	// crds and webhooks are files or folders in the module. Webhooks for pods are called
	// only for pods with the label podLabel, as in the project's manifests.
	crds     []string
	webhooks []string
	podLabel string
	// config is the command's configuration; see strangerData.
	config string
	// flags are the command's flags, with {{.Config}} and {{.Kubeconfig}}.
	flags []string
	// needs are other strangers that have to run.
	needs []string
	// setup and object are files in testdata/strangers: what a cluster needs
	// once, and a workload named {{.Name}} whose pods, of 8 GPUs, are to start
	// together.
	setup, object string
	pods          int
}

// strangerData fills the templates of a stranger.
type strangerData struct {
	Name, Config, Kubeconfig, Certs string
	WebhookPort, HealthPort         int
}

var strangers = []stranger{
	{
		name: "jobset", module: "sigs.k8s.io/jobset", main: "sigs.k8s.io/jobset",
		crds:     []string{"config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml"},
		webhooks: []string{"config/components/webhook/manifests.yaml"}, podLabel: "jobset.sigs.k8s.io/jobset-name",
		config: "apiVersion: config.jobset.x-k8s.io/v1alpha1" + controllerConfig,
		flags:  []string{"--config={{.Config}}"},
		object: "jobset.yaml", pods: 5,
	},
	{
		name: "lws", module: "sigs.k8s.io/lws", main: "sigs.k8s.io/lws/cmd",
		crds:     []string{"config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"},
		webhooks: []string{"config/webhook/manifests.yaml"}, podLabel: "leaderworkerset.sigs.k8s.io/name",
		config: "apiVersion: config.lws.x-k8s.io/v1alpha1" + controllerConfig,
		flags:  []string{"--config={{.Config}}"},
		object: "lws.yaml", pods: 4,
	},
	{
		name: "trainer", module: "github.com/kubeflow/trainer/v2", main: "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager",
		crds: []string{
			"manifests/base/crds/trainer.kubeflow.org_clustertrainingruntimes.yaml",
			"manifests/base/crds/trainer.kubeflow.org_trainingruntimes.yaml",
			"manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml",
		},
		webhooks: []string{"manifests/base/webhook/manifests.yaml"},
		config: `apiVersion: config.trainer.kubeflow.org/v1alpha1
kind: Configuration
health: {healthProbeBindAddress: "127.0.0.1:{{.HealthPort}}", readinessEndpointName: readyz, livenessEndpointName: healthz}
metrics: {bindAddress: "0"}
webhook: {host: 127.0.0.1, port: {{.WebhookPort}}}
leaderElection: {leaderElect: false}
certManagement: {enable: false}
`,
		flags: []string{"--config={{.Config}}"},
		needs: []string{"jobset"},
		setup: "trainer-runtime.yaml", object: "trainjob.yaml", pods: 4,
	},
	{
		name: "mpi-operator", module: "github.com/kubeflow/mpi-operator", main: "github.com/kubeflow/mpi-operator/cmd/mpi-operator",
		crds:   []string{"manifests/base/kubeflow.org_mpijobs.yaml"},
		flags:  []string{"--kubeConfig={{.Kubeconfig}}", "--lock-namespace=default", "--kube-api-qps=100", "--kube-api-burst=200"},
		object: "mpijob.yaml", pods: 4,
	},
	{
		name: "training-operator", module: "github.com/kubeflow/training-operator", main: "github.com/kubeflow/training-operator/cmd/training-operator.v1",
		crds:   []string{"manifests/base/crds/kubeflow.org_pytorchjobs.yaml"},
		flags:  []string{"--enable-scheme=pytorchjob", "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:{{.HealthPort}}"},
		object: "pytorchjob.yaml", pods: 4,
	},
	{
		name: "kueue", module: "sigs.k8s.io/kueue", main: "sigs.k8s.io/kueue/cmd/kueue",
		crds:     []string{"config/components/crd/bases"},
		webhooks: []string{"config/components/webhook/manifests.yaml"}, podLabel: "kueue.x-k8s.io/queue-name",
		config: "apiVersion: config.kueue.x-k8s.io/v1beta1" + controllerConfig + `integrations: {frameworks: [batch/job]}
`,
		flags: []string{"--config={{.Config}}", "--feature-gates=VisibilityOnDemand=false"},
		setup: "kueue-queue.yaml", object: "kueue-job.yaml", pods: 4,
	},
}

const controllerConfig = `
kind: Configuration
health: {healthProbeBindAddress: "127.0.0.1:{{.HealthPort}}"}
metrics: {bindAddress: "0"}
webhook: {host: 127.0.0.1, port: {{.WebhookPort}}, certDir: "{{.Certs}}"}
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
`

// TestStrangers lets controllers that were written elsewhere create the pods of
// two workloads of which one fits: one starts whole, the other not at all until
// the first is gone. The workloads only say muster.sh/gang: auto.
func TestStrangers(t *testing.T) {
	wanted := os.Getenv(strangersWanted)
	if wanted == "" {
		wanted = strangersByDefault
	}
	for _, s := range strangers {
		t.Run(s.name, func(t *testing.T) {
			if wanted != "all" && !slices.Contains(strings.Split(wanted, ","), s.name) {
				t.Skip("not asked for: `make strangers` builds and runs every controller")
			}
			box := startSandbox(t, sandbox.Options{})
			c := on(t, box, racks(6, 6)...)
			startScheduler(t, box)
			k := newKubectl(t, c)
			for _, name := range s.needs {
				at := slices.IndexFunc(strangers, func(other stranger) bool { return other.name == name })
				strangers[at].start(t, k)
			}
			s.start(t, k)
			if s.setup != "" {
				k.apply(k.read(s.setup, strangerData{}))
			}
			k.apply(k.read(s.object, strangerData{Name: "one"}))
			c.awaitBound("one", s.pods)
			k.apply(k.read(s.object, strangerData{Name: "two"}))
			c.awaitReason("two", kube.NoFittingDomain)
			assert.Empty(t, c.bound("two"), "a gang that does not fit holds nothing")
			k.delete(k.read(s.object, strangerData{Name: "one"}))
			require.Eventually(t, func() bool { return len(c.pods("one-")) == 0 }, 2*patience, poll, "the pods of a deleted workload have to go")
			c.awaitBound("two", s.pods)
		})
	}
}
