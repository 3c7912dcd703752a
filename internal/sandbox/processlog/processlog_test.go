// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package processlog_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"

	"github.com/muster-scheduler/muster/internal/sandbox/processlog"
)

func TestRedirect(t *testing.T) {
	var first, second bytes.Buffer
	fmt.Fprint(processlog.Writer, "nobody hears ")
	releaseFirst := processlog.RedirectLog(&first)
	fmt.Fprint(processlog.Writer, "one ")
	releaseSecond := processlog.RedirectLog(&second)
	fmt.Fprint(processlog.Writer, "two ")
	releaseFirst() // the second keeps it
	fmt.Fprint(processlog.Writer, "three")
	releaseSecond()
	fmt.Fprint(processlog.Writer, "nobody hears")
	assert.Equal(t, "one ", first.String())
	assert.Equal(t, "two three", second.String())
}

func TestRedirect_TakesLoggersOfTheEtcdClient(t *testing.T) {
	var log bytes.Buffer
	defer processlog.RedirectLog(&log)()
	logger, err := logutil.CreateDefaultZapLogger(zap.InfoLevel)
	require.NoError(t, err)
	logger.Warn("retrying")
	assert.Contains(t, log.String(), "retrying")
}
