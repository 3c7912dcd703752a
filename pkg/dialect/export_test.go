// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

// Keys that tests write on pods and objects.
const (
	KueueGroup      = kueueGroup
	KueueCount      = kueueCount
	KueuePodSet     = kueuePodSet
	KueueRequired   = kueueRequired
	KueuePreferred  = kueuePreferred
	KueueSlice      = kueueSlice
	KueueSliceSize  = kueueSliceSize
	KueueSlices     = kueueSlices
	KueueTogether   = kueueTogether
	KueueWorkload   = kueueWorkload
	KAIRequired     = kaiRequired
	KAIPreferred    = kaiPreferred
	KoordName       = koordName
	KoordCount      = koordCount
	KoordWait       = koordWait
	KoordMode       = koordMode
	KoordPolicy     = koordPolicy
	KoordGroups     = koordGroups
	KoordNetwork    = koordNetwork
	KoordNameLabel  = koordNameLabel
	KoordCountLabel = koordCountLabel
)
