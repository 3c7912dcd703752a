// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/report"
	"github.com/muster-scheduler/muster/pkg/snapshot"
)

// options are the flags of every verb.
type options struct {
	loading   *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
	snapshot  string
	config    string
	output    string
}

// shownFlags are those of client-go's many that the help shows.
var shownFlags = map[string]bool{"context": true, "namespace": true, "as": true}

func (o *options) addFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.SortFlags = false
	o.loading = clientcmd.NewDefaultClientConfigLoadingRules()
	flags.StringVar(&o.snapshot, "snapshot", "", "read this `folder` in place of a cluster")
	flags.StringVar(&o.config, "config", "", "the scheduler's configuration `file`, for its levels and scheduler names")
	flags.StringVarP(&o.output, "output", "o", "", "output `format`: text, json or yaml")
	flags.StringVar(&o.loading.ExplicitPath, "kubeconfig", "", "kubeconfig `file` to use")
	names := clientcmd.RecommendedConfigOverrideFlags("")
	clientcmd.BindOverrideFlags(&o.overrides, flags, names)
	for _, name := range []string{
		"as", "as-group", "as-uid", "as-user-extra", "certificate-authority", "client-certificate", "client-key", "cluster", "context",
		"insecure-skip-tls-verify", "namespace", "password", "proxy-url", "request-timeout", "server", "tls-server-name", "token", "user",
		"username", "disable-compression",
	} {
		if f := flags.Lookup(name); f != nil {
			f.Hidden = !shownFlags[name]
		}
	}
	if f := flags.Lookup("namespace"); f != nil {
		f.Usage = "the `namespace` of the gang"
	}
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("namespace", o.completeNamespace)
	_ = root.RegisterFlagCompletionFunc("context", o.completeContext)
	_ = root.MarkPersistentFlagDirname("snapshot")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml", "json")
}

func (o *options) format() (report.Format, error) { return report.ParseFormat(o.output) }

func (o *options) client() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(o.loading, &o.overrides)
}

// namespace is the one to look in. A snapshot has no current namespace.
func (o *options) namespace() (string, error) {
	if o.overrides.Context.Namespace != "" {
		return o.overrides.Context.Namespace, nil
	}
	if o.snapshot != "" {
		return metav1.NamespaceDefault, nil
	}
	namespace, _, err := o.client().Namespace()
	return namespace, o.unconfigured(err)
}

// unconfigured says what to do about a kubeconfig that cannot be used.
func (o *options) unconfigured(err error) error {
	if err == nil {
		return nil
	}
	if clientcmd.IsEmptyConfig(err) {
		err = fmt.Errorf("no kubeconfig at %s", strings.Join(o.loading.GetLoadingPrecedence(), ", "))
	}
	return fmt.Errorf("no cluster to read: %w; name one with --kubeconfig or --context, or a folder with --snapshot", err)
}

// clients connect to the cluster.
func (o *options) clients() (snapshot.Clients, error) {
	c, err := o.client().ClientConfig()
	if err != nil {
		return snapshot.Clients{}, o.unconfigured(err)
	}
	setup, err := o.setup(nil)
	if err != nil {
		return snapshot.Clients{}, err
	}
	clients, err := snapshot.Connect(c, "muster-cli")
	clients.AutoGangNamespaces = setup.autoNamespaces
	return clients, err
}

// read takes a picture of the cluster, or loads the folder.
func (o *options) read(ctx context.Context) (*snapshot.Snapshot, error) {
	if o.snapshot != "" {
		return snapshot.Load(o.snapshot)
	}
	clients, err := o.clients()
	if err != nil {
		return nil, err
	}
	return snapshot.Read(ctx, clients)
}

// view is a picture with the moment to which it belongs.
type view struct {
	*explain.Picture
	now   time.Time
	setup setup
}

// view turns a snapshot into what the verbs ask.
func (o *options) view(s *snapshot.Snapshot) (*view, error) {
	setup, err := o.setup(s)
	if err != nil {
		return nil, err
	}
	s.Dialects, s.AutoGangNamespaces = setup.dialects, setup.autoNamespaces
	p, err := explain.NewPicture(setup.ladder, s.Nodes, s.Pods, s.Gangs(setup.schedulers...))
	if err != nil {
		return nil, err
	}
	p.SetSharing(setup.sharing)
	return &view{p, s.Now(time.Now()), setup}, nil
}

// look reads the cluster once.
func (o *options) look(ctx context.Context) (*view, error) {
	s, err := o.read(ctx)
	if err != nil {
		return nil, err
	}
	return o.view(s)
}

// setup is what matters here of how the scheduler is configured.
type setup struct {
	ladder     kube.Ladder
	schedulers []string
	// sharing is the policy for plain requests for GPUs.
	sharing kube.Sharing
	// dialects are those that the scheduler reads; none means all.
	dialects []kube.Dialect
	// autoNamespaces are those whose pods are gangs of their workloads unasked.
	autoNamespaces []string
}

// groupOf returns what names the gang of a pod, as the scheduler reads it.
func (s setup) groupOf() func(*v1.Pod) string {
	return store.Objects{Dialects: s.dialects, AutoNamespaces: s.autoNamespaces}.GroupOf
}

// setup reads --config, else what the snapshot says, else the defaults.
func (o *options) setup(s *snapshot.Snapshot) (setup, error) {
	if o.config != "" {
		return readConfig(o.config)
	}
	out := setup{ladder: kube.DefaultLadder(), schedulers: []string{defaultScheduler}}
	if s != nil && len(s.Levels) > 0 {
		args := config.Args{Levels: s.Levels}
		out.ladder = args.Ladder()
		if err := out.ladder.Validate(); err != nil {
			return setup{}, fmt.Errorf("reading the snapshot: %w", err)
		}
	}
	if s != nil {
		out.dialects, out.autoNamespaces = s.Dialects, s.AutoGangNamespaces
	}
	if s != nil && len(s.SchedulerNames) > 0 {
		out.schedulers = s.SchedulerNames
	}
	return out, nil
}
