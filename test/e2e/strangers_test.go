// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/muster-scheduler/muster/internal/sandbox"
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
	// conversions are the resources whose versions the controller converts.
	conversions []string
	// service and secret are what the command's certificate manager looks for, if
	// it cannot be turned off, and awaits a file that has to be there, whatever it
	// holds.
	service, secret, awaits string
	// config is the command's configuration; see strangerData.
	config string
	// flags are the command's flags, with {{.Config}} and {{.Kubeconfig}}.
	flags []string
	// needs are other strangers that have to run.
	needs []string
	// setup is a file in testdata/strangers: what a cluster needs once.
	setup string
	lives []lifetime
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
		config: "apiVersion: config.jobset.x-k8s.io/v1alpha1" + controllerConfig + ownCerts,
		flags:  []string{"--config={{.Config}}"},
		lives: []lifetime{{object: "jobset.yaml", pods: 5, steps: []step{
			{verb: "lose a pod"},
			{verb: "suspend", patch: `{"spec": {"suspend": true}}`},
			{verb: "resume", patch: `{"spec": {"suspend": false}}`, pods: 5},
			{verb: "restart"},
			{verb: "finish partly", ending: "one-leader", pods: 4},
			{verb: "lose a pod"},
			{verb: "finish", ending: "one-workers"},
		}}, {object: "jobset-restarts.yaml", pods: 4, steps: []step{
			{verb: "lose a pod", restarts: true},
			{verb: "finish", ending: "one"},
		}}},
	},
	{
		name: "lws", module: "sigs.k8s.io/lws", main: "sigs.k8s.io/lws/cmd",
		crds:     []string{"config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"},
		webhooks: []string{"config/webhook/manifests.yaml"}, podLabel: "leaderworkerset.sigs.k8s.io/name",
		config: "apiVersion: config.lws.x-k8s.io/v1alpha1" + controllerConfig + ownCerts,
		flags:  []string{"--config={{.Config}}"},
		lives: []lifetime{{object: "lws.yaml", pods: 4, steps: []step{
			{verb: "lose a pod", restarts: true},
			{verb: "suspend", patch: `{"spec": {"replicas": 0}}`},
			{verb: "resume", patch: `{"spec": {"replicas": 1}}`, pods: 4},
			{verb: "restart"},
			{verb: "scale up", patch: `{"spec": {"replicas": 2}}`, pods: 8, waiting: "one-1", nodes: 2},
			{verb: "roll out", patch: `{"spec": {"leaderWorkerTemplate": {"workerTemplate": {"metadata": {"annotations": {"muster.sh/topology-preferred": "rack"}}}}}}`},
			{verb: "scale down", patch: `{"spec": {"replicas": 1}}`, pods: 4},
			{verb: "finish"},
		}}},
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
		setup: "trainer-runtime.yaml",
		lives: []lifetime{{object: "trainjob.yaml", pods: 4, steps: []step{
			{verb: "lose a pod"},
			{verb: "suspend", patch: `{"spec": {"suspend": true}}`},
			{verb: "resume", patch: `{"spec": {"suspend": false}}`, pods: 4},
			{verb: "restart"},
			{verb: "finish", ending: "one"},
		}}},
	},
	{
		name: "mpi-operator", module: "github.com/kubeflow/mpi-operator", main: "github.com/kubeflow/mpi-operator/cmd/mpi-operator",
		crds:  []string{"manifests/base/kubeflow.org_mpijobs.yaml"},
		flags: []string{"--kubeConfig={{.Kubeconfig}}", "--lock-namespace=default", "--kube-api-qps=100", "--kube-api-burst=200"},
		lives: []lifetime{{object: "mpijob.yaml", pods: 4, steps: []step{
			{verb: "lose a pod"},
			{verb: "suspend", patch: `{"spec": {"runPolicy": {"suspend": true}}}`},
			{verb: "resume", patch: `{"spec": {"runPolicy": {"suspend": false}}}`, pods: 4},
			{verb: "restart"},
			{verb: "scale up", patch: `{"spec": {"mpiReplicaSpecs": {"Worker": {"replicas": 5}}}}`, pods: 6},
			{verb: "scale down", patch: `{"spec": {"mpiReplicaSpecs": {"Worker": {"replicas": 3}}}}`, pods: 4},
			{verb: "finish", ending: "one-launcher"},
		}}},
	},
	{
		name: "training-operator", module: "github.com/kubeflow/training-operator", main: "github.com/kubeflow/training-operator/cmd/training-operator.v1",
		crds:     []string{"manifests/base/crds/kubeflow.org_pytorchjobs.yaml"},
		webhooks: []string{"manifests/base/webhook/manifests.yaml"},
		service:  "training-operator", secret: "training-operator-webhook-cert", awaits: "/tmp/k8s-webhook-server/serving-certs/tls.crt",
		flags: []string{"--enable-scheme=pytorchjob", "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:{{.HealthPort}}", "--webhook-server-port={{.WebhookPort}}"},
		lives: []lifetime{{object: "pytorchjob.yaml", pods: 4, steps: []step{
			{verb: "lose a pod"},
			{verb: "suspend", patch: `{"spec": {"runPolicy": {"suspend": true}}}`},
			{verb: "resume", patch: `{"spec": {"runPolicy": {"suspend": false}}}`, pods: 4},
			{verb: "restart"},
			{verb: "scale up", patch: `{"spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 5}}}}`, pods: 6},
			{verb: "scale down", patch: `{"spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 3}}}}`, pods: 4},
			{verb: "finish", ending: "one"},
		}}},
	},
	{
		name: "kuberay", module: "github.com/ray-project/kuberay/ray-operator", main: "github.com/ray-project/kuberay/ray-operator",
		crds:  []string{"config/crd/bases"},
		flags: []string{"--metrics-addr=0", "--enable-leader-election=false", "--health-probe-bind-address=127.0.0.1:{{.HealthPort}}"},
		lives: []lifetime{
			{object: "raycluster.yaml", pods: 4, steps: []step{
				{verb: "lose a pod"},
				{verb: "suspend", patch: `{"spec": {"suspend": true}}`},
				{verb: "resume", patch: `{"spec": {"suspend": false}}`, pods: 4},
				{verb: "restart"},
				{verb: "scale up", patch: `[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 5}]`, pods: 6},
				{verb: "roll out", patch: `[
					{"op": "add", "path": "/spec/headGroupSpec/template/metadata/annotations", "value": {"muster.sh/topology-preferred": "rack"}},
					{"op": "add", "path": "/spec/workerGroupSpecs/0/template/metadata/annotations", "value": {"muster.sh/topology-preferred": "rack"}}
				]`},
				{verb: "scale down", patch: `[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 3}]`, pods: 4},
				{verb: "finish"},
			}},
			{object: "rayjob.yaml", pods: 4, steps: []step{
				{verb: "suspend", patch: `{"spec": {"suspend": true}}`},
				{verb: "resume", patch: `{"spec": {"suspend": false}}`, pods: 4},
				{verb: "restart"},
				{verb: "finish"},
			}},
		},
	},
	{
		name: "kueue", module: "sigs.k8s.io/kueue", main: "sigs.k8s.io/kueue/cmd/kueue",
		crds:        []string{"config/components/crd/bases"},
		conversions: []string{"clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads"},
		webhooks:    []string{"config/components/webhook/manifests.yaml"}, podLabel: "kueue.x-k8s.io/queue-name",
		service: "kueue-webhook-service", secret: "kueue-webhook-server-cert",
		config: "apiVersion: config.kueue.x-k8s.io/v1beta2" + controllerConfig + `namespace: default
internalCertManagement: {enable: true, webhookServiceName: kueue-webhook-service, webhookSecretName: kueue-webhook-server-cert}
integrations: {frameworks: [batch/job, jobset.x-k8s.io/jobset]}
`,
		flags: []string{"--config={{.Config}}", "--feature-gates=VisibilityOnDemand=false"},
		needs: []string{"jobset"},
		setup: "kueue-queue.yaml",
		lives: []lifetime{
			{object: "kueue-job.yaml", pods: 4, steps: []step{
				{verb: "lose a pod"},
				{verb: "suspend", of: "ClusterQueue/all", patch: `{"spec": {"stopPolicy": "HoldAndDrain"}}`},
				{verb: "resume", of: "ClusterQueue/all", patch: `{"spec": {"stopPolicy": "None"}}`, pods: 4},
				{verb: "restart"},
				{verb: "scale up", patch: `{"spec": {"parallelism": 6, "completions": 6}}`, pods: 6, restarts: true},
				{verb: "scale down", patch: `{"spec": {"parallelism": 4, "completions": 4}}`, pods: 4, restarts: true},
				{verb: "finish", ending: "one"},
			}},
			{object: "kueue-topology-jobset.yaml", pods: 4, heldBack: true, steps: []step{
				{verb: "lose a pod"},
				{verb: "suspend", of: "ClusterQueue/racks", patch: `{"spec": {"stopPolicy": "HoldAndDrain"}}`},
				{verb: "resume", of: "ClusterQueue/racks", patch: `{"spec": {"stopPolicy": "None"}}`, pods: 4},
				{verb: "finish", ending: "one"},
			}},
			{object: "kueue-topology-job.yaml", pods: 4, heldBack: true, steps: []step{
				{verb: "lose a pod"},
				{verb: "suspend", of: "ClusterQueue/racks", patch: `{"spec": {"stopPolicy": "HoldAndDrain"}}`},
				{verb: "resume", of: "ClusterQueue/racks", patch: `{"spec": {"stopPolicy": "None"}}`, pods: 4},
				{verb: "finish", ending: "one"},
			}},
		},
	},
}

const controllerConfig = `
kind: Configuration
health: {healthProbeBindAddress: "127.0.0.1:{{.HealthPort}}"}
metrics: {bindAddress: "0"}
webhook: {host: 127.0.0.1, port: {{.WebhookPort}}, certDir: "{{.Certs}}"}
leaderElection: {leaderElect: false}
`

// ownCerts lets a command serve the certificates that it finds.
const ownCerts = `internalCertManagement: {enable: false}
`

// TestStrangers lets controllers that were written elsewhere create the pods of
// workloads that only say muster.sh/gang: auto, and leads each through its life.
// It starts whole whenever it starts; a second one for which there is no room
// starts when the first is done.
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
			box := startSandbox(t, sandbox.Options{StopSeconds: 0.3})
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
			for _, each := range s.lives {
				if t.Failed() {
					break // something of the one before may be left
				}
				t.Run(strings.TrimSuffix(each.object, ".yaml"), func(t *testing.T) {
					(&life{c: c, k: k, lifetime: each}).run(t)
				})
			}
			c.on(t)
		})
	}
}
