// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lease keeps a replica from acting as the leader when it is no more. A
// process that was stopped, or whose machine was paused, for longer than its lease
// does not know it when it goes on: client-go's leader election gives it another whole
// renew deadline, while another replica has begun to bind pods to the same nodes.
//
// Term is what is known of the leadership: it is noted before each renewal, on both
// clocks, and ends a renew deadline later, which is before any other replica may take
// over. Term.Lock watches the renewals, Term.Transport holds every write that is sent
// beyond the term, and Term.Wait the scheduling loop.
package lease
