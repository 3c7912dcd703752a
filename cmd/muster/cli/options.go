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

// addFlags adds the flags that every verb has. Of client-go's flags the rare
// ones are hidden, not left out, so that they work as with kubectl.
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

// outputFormat returns the format of --output.
func (o *options) outputFormat() (report.Format, error) { return report.ParseFormat(o.output) }

// clientConfig returns the kubeconfig as the flags select it. It is read when
// it is asked for something.
func (o *options) clientConfig() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(o.loading, &o.overrides)
}

// targetNamespace returns the namespace to look in. A snapshot has no current
// namespace.
func (o *options) targetNamespace() (string, error) {
	if o.overrides.Context.Namespace != "" {
		return o.overrides.Context.Namespace, nil
	}
	if o.snapshot != "" {
		return metav1.NamespaceDefault, nil
	}
	namespace, _, err := o.clientConfig().Namespace()
	return namespace, o.describeConfigError(err)
}

// describeConfigError adds to an error what to do about a kubeconfig that
// cannot be used.
func (o *options) describeConfigError(err error) error {
	if err == nil {
		return nil
	}
	if clientcmd.IsEmptyConfig(err) {
		err = fmt.Errorf("no kubeconfig at %s", strings.Join(o.loading.GetLoadingPrecedence(), ", "))
	}
	return fmt.Errorf("no cluster to read: %w; name one with --kubeconfig or --context, or a folder with --snapshot", err)
}

// clusterClients returns clients of the cluster.
func (o *options) clusterClients() (snapshot.Clients, error) {
	c, err := o.clientConfig().ClientConfig()
	if err != nil {
		return snapshot.Clients{}, o.describeConfigError(err)
	}
	settings, err := o.readSettings(nil)
	if err != nil {
		return snapshot.Clients{}, err
	}
	clients, err := snapshot.NewClients(c, "muster-cli")
	clients.AutoGangNamespaces = settings.AutoGangNamespaces
	return clients, err
}

// readSnapshot reads the cluster, or the folder of --snapshot.
func (o *options) readSnapshot(ctx context.Context) (*snapshot.Snapshot, error) {
	if o.snapshot != "" {
		return snapshot.LoadFolder(o.snapshot)
	}
	clients, err := o.clusterClients()
	if err != nil {
		return nil, err
	}
	return snapshot.ReadCluster(ctx, clients)
}

// timedView is a view of the cluster with the time at which it was taken, from
// which ages count.
type timedView struct {
	*explain.ClusterView
	now      time.Time
	settings config.Settings
}

// buildView returns the view of a snapshot.
func (o *options) buildView(s *snapshot.Snapshot) (*timedView, error) {
	settings, err := o.readSettings(s)
	if err != nil {
		return nil, err
	}
	s.SetSettings(settings)
	view := explain.ConfigOf(settings)
	view.Devices = s.DeviceSource()
	p, err := explain.NewClusterView(view, s.Nodes, s.Pods, s.Gangs(settings.SchedulerNames...))
	if err != nil {
		return nil, err
	}
	return &timedView{p, s.ReferenceTime(time.Now()), settings}, nil
}

// readView reads the cluster once.
func (o *options) readView(ctx context.Context) (*timedView, error) {
	s, err := o.readSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	return o.buildView(s)
}

// groupOf returns what names the gang of a pod, as the scheduler reads it.
func groupOf(s config.Settings) func(*v1.Pod) string {
	return store.Objects{Dialects: s.Dialects, AutoNamespaces: s.AutoGangNamespaces}.GroupOf
}

// readSettings reads --config, else what the snapshot says, else the defaults.
func (o *options) readSettings(s *snapshot.Snapshot) (config.Settings, error) {
	if o.config != "" {
		return readConfig(o.config)
	}
	header := &snapshot.Header{}
	if s != nil {
		header = &s.Header
	}
	settings, err := header.Settings()
	if len(settings.SchedulerNames) == 0 {
		settings.SchedulerNames = []string{defaultScheduler}
	}
	return settings, err
}
