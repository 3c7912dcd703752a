// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/manifests/crds"
)

const (
	readyPoll  = 20 * time.Millisecond
	readyLimit = 2 * time.Minute // a loaded two-core machine has needed 20 s
)

// waitForServer returns when the API server says that it is ready and the
// namespace "default" is there. It gives up as soon as the server ends, but not
// when ctx is done: a server that is stopped before its start hooks are through
// ends the whole process, and leaves the data folder behind.
func (s *Sandbox) waitForServer(ctx context.Context) error {
	err := s.pollUntil(context.WithoutCancel(ctx), "the API server is ready", func(ctx context.Context) error {
		if _, err := s.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
			return err
		}
		_, err := s.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}

// waitForServiceAccount returns when pods may be created in "default".
func (s *Sandbox) waitForServiceAccount(ctx context.Context) error {
	return s.pollUntil(ctx, "the ServiceAccount default/default exists", func(ctx context.Context) error {
		_, err := s.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// InstallPodGroupCRD installs the scheduling.x-k8s.io/v1alpha1 PodGroup CRD and
// returns when PodGroups of that kind are served.
func (s *Sandbox) InstallPodGroupCRD(ctx context.Context) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(crds.PodGroup, crd); err != nil {
		return fmt.Errorf("read the PodGroup CRD: %w", err)
	}
	client, err := apiextensions.NewForConfig(s.config)
	if err != nil {
		return err
	}
	if _, err := client.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, crd, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("install the PodGroup CRD: %w", err)
	}
	list := "/apis/" + crd.Spec.Group + "/" + crd.Spec.Versions[0].Name + "/" + crd.Spec.Names.Plural
	return s.pollUntil(ctx, list+" is served", func(ctx context.Context) error {
		return s.client.Discovery().RESTClient().Get().AbsPath(list).Do(ctx).Error()
	})
}

// pollUntil polls check until it returns nil. The error says what was awaited
// and what check returned last.
func (s *Sandbox) pollUntil(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, readyPoll, readyLimit, true, func(ctx context.Context) (bool, error) {
		select {
		case <-s.server.ended:
			return false, errors.Join(errServerEnded, s.server.err)
		default:
		}
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait until %s: %w (last answer: %w)", what, err, last)
	}
	return nil
}
