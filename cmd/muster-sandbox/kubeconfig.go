// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// mayReplace reports an error if path holds anything but the kubeconfig of a
// sandbox that has ended: it could be the way into a real cluster, or into a
// sandbox that somebody uses.
func mayReplace(path string) error {
	cfg, err := clientcmd.LoadFromFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s is there and is no kubeconfig (%w); name another file with --kubeconfig", path, err)
	case cfg.CurrentContext != sandbox.ContextName:
		return fmt.Errorf("%s is there and was not written by a sandbox (its context is %q); name another file with --kubeconfig", path, cfg.CurrentContext)
	}
	if cluster := cfg.Clusters[sandbox.ContextName]; cluster != nil && answers(cluster.Server) {
		return fmt.Errorf("%s leads to a sandbox that still runs, at %s; stop that one, or name another file with --kubeconfig", path, cluster.Server)
	}
	return nil
}

// answers reports whether something listens at an address of this machine.
func answers(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close() // only asked
	return true
}

// removeOwn removes the kubeconfig at path if it still leads to host: another
// sandbox may have replaced it meanwhile.
func removeOwn(path, host string) {
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return
	}
	if cluster := cfg.Clusters[sandbox.ContextName]; cluster != nil && cluster.Server == host {
		_ = os.Remove(path) // it leads nowhere any more
	}
}
