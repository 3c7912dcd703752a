// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// startAPIServerProcess runs the kube-apiserver at path on a loopback port that
// is free. It returns before the server is ready.
func startAPIServerProcess(path string, flags []string, logTo io.Writer) (*apiServer, error) {
	address, port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, append(flags, "--secure-port="+strconv.Itoa(port))...)
	cmd.Stdout, cmd.Stderr = logTo, logTo
	cmd.WaitDelay = drainLimit
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start kube-apiserver %s: %w", path, err)
	}
	server := &apiServer{address: address, ended: make(chan struct{})}
	go func() {
		defer close(server.ended)
		server.err = cmd.Wait()
	}()
	server.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-server.ended:
		case <-time.After(drainLimit):
			// Watches keep it for up to a minute, and its data goes anyway.
			_ = cmd.Process.Kill()
			<-server.ended
		}
	}
	return server, nil
}

// freePort finds a port for a server that cannot be given a listener. Another
// process may take it first; the server then ends with an error that says so.
func freePort() (address string, port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", 0, fmt.Errorf("listen for the API server: %w", err)
	}
	address, port = listener.Addr().String(), listener.Addr().(*net.TCPAddr).Port
	return address, port, listener.Close()
}
