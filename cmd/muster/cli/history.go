// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/report"
)

const (
	// historyPath is where the scheduler serves its last decisions.
	historyPath = "/muster/history"
	// historyTimeout bounds one request for them.
	historyTimeout = 30 * time.Second
	// historyLimit is more than a scheduler answers, in bytes.
	historyLimit = 64 << 20
)

// historyServer is the scheduler whose history is read.
type historyServer struct {
	address   string
	tokenFile string
	authority string
	insecure  bool
}

func historyVerb(o *options) *cobra.Command {
	s := &historyServer{}
	cmd := &cobra.Command{
		Use:   "history [GANG]",
		Short: "List the scheduler's last decisions on gangs, or on one gang",
		Long: `List the scheduler's last decisions on gangs, or on one gang: placed, refused,
passed, preempted, evicted, bindFailed, reserved, released.

The scheduler that leads keeps the last 1,000 in memory and serves them on its
secure port, to those who may get the path /muster/history. The credentials are
those of your kubeconfig, or the token in --token-file; they go to --address, so
name no server that you do not trust. A certificate that the scheduler signed
itself is accepted with --insecure-skip-tls-verify, which also accepts anybody
else's.`,
		Example: `  kubectl -n muster-system port-forward deployment/muster-scheduler 10259 &
  muster history --address https://127.0.0.1:10259 --insecure-skip-tls-verify
  muster history -n research train --address https://127.0.0.1:10259 --certificate-authority ca.crt`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeGang,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := o.outputFormat()
			if err != nil {
				return err
			}
			if o.snapshot != "" {
				return errors.New("--snapshot holds no history: it is in the memory of the scheduler; name that with --address")
			}
			gang := ""
			if len(args) > 0 {
				namespace, err := o.targetNamespace()
				if err != nil {
					return err
				}
				gang = namespace + "/" + strings.TrimPrefix(args[0], "gang/")
			}
			list, err := o.fetchHistory(cmd.Context(), s, gang)
			if err != nil {
				return err
			}
			if namespace := o.overrides.Context.Namespace; gang == "" && namespace != "" {
				list = slices.DeleteFunc(list, func(d queue.Decision) bool { return !strings.HasPrefix(d.Gang, namespace+"/") })
			}
			return report.WriteValue(cmd.OutOrStdout(), format, list, func(out io.Writer) { report.WriteHistory(out, list) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.address, "address", "https://127.0.0.1:10259", "the `URL` of the scheduler's secure port")
	flags.StringVar(&s.tokenFile, "token-file", "", "a `file` with a bearer token, in place of the kubeconfig's credentials")
	flags.StringVar(&s.authority, "certificate-authority", "", "a `file` with the certificates that the scheduler's is checked with")
	flags.BoolVar(&s.insecure, "insecure-skip-tls-verify", false, "accept any certificate of the scheduler")
	cmd.MarkFlagsMutuallyExclusive("certificate-authority", "insecure-skip-tls-verify")
	_ = cmd.MarkFlagFilename("token-file")
	_ = cmd.MarkFlagFilename("certificate-authority", "crt", "pem")
	return cmd
}

// fetchHistory asks the scheduler for its decisions on a gang, as namespace/name, or on
// all.
func (o *options) fetchHistory(ctx context.Context, s *historyServer, gang string) ([]queue.Decision, error) {
	target, err := s.historyURL(gang)
	if err != nil {
		return nil, err
	}
	client, err := o.historyClient(s)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the scheduler for its history: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, historyLimit))
	if err != nil {
		return nil, fmt.Errorf("reading the scheduler's history: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, refusedHistory(answer.StatusCode, body)
	}
	list := []queue.Decision{}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("reading the scheduler's history: %w", err)
	}
	return list, nil
}

// refusedHistory says what to do about an answer that is no history.
func refusedHistory(status int, body []byte) error {
	switch status {
	case http.StatusUnauthorized:
		return errors.New("the scheduler does not know these credentials; a kubeconfig's token or client certificate, or --token-file, is wanted")
	case http.StatusForbidden:
		return fmt.Errorf("getting %s from the scheduler is not allowed; ask for the ClusterRole muster-history-reader", historyPath)
	case http.StatusNotFound:
		return fmt.Errorf("the server at --address has no %s; it may be an older scheduler, or another server", historyPath)
	}
	const most = 200
	return fmt.Errorf("the scheduler answered %d: %.*s", status, most, strings.TrimSpace(string(body)))
}

// historyURL is where the history of a gang is.
func (s *historyServer) historyURL(gang string) (string, error) {
	target, err := url.Parse(s.address)
	if err != nil || target.Scheme != "https" || target.Host == "" {
		return "", fmt.Errorf("--address: found %q, want a URL such as https://127.0.0.1:10259", s.address)
	}
	target.Path = strings.TrimSuffix(target.Path, "/") + historyPath
	if gang != "" {
		target.RawQuery = url.Values{"gang": {gang}}.Encode()
	}
	return target.String(), nil
}

// historyClient takes the credentials of the kubeconfig, or those of the flags, to
// the scheduler. What the kubeconfig says of the API server's certificate does not
// hold for the scheduler's. Credentials follow no redirect.
func (o *options) historyClient(s *historyServer) (*http.Client, error) {
	cfg := &rest.Config{}
	if s.tokenFile != "" {
		cfg.BearerTokenFile = s.tokenFile
	} else {
		known, err := o.clientConfig().ClientConfig()
		if err != nil {
			return nil, o.describeConfigError(err)
		}
		cfg.BearerToken, cfg.BearerTokenFile = known.BearerToken, known.BearerTokenFile
		cfg.ExecProvider, cfg.AuthProvider, cfg.AuthConfigPersister = known.ExecProvider, known.AuthProvider, known.AuthConfigPersister
		cfg.CertData, cfg.CertFile, cfg.KeyData, cfg.KeyFile = known.CertData, known.CertFile, known.KeyData, known.KeyFile
	}
	cfg.Host, cfg.Insecure, cfg.CAFile, cfg.Timeout = s.address, s.insecure, s.authority, historyTimeout
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials for the scheduler: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}
