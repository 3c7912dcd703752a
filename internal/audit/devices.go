// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
)

// deviceID is the name of a device of a DRA driver.
type deviceID struct{ driver, pool, device string }

// deviceHolders are the claims that have each device, with their names. A claim
// that shares its device, or has it for administration only, is left out, and of
// devices that use the same counters nothing is checked.
type deviceHolders map[deviceID]map[types.UID]string

// addClaim records the devices that are allocated to a claim, and returns a
// sentence for each that another one has too.
func (h deviceHolders) addClaim(c *resourceapi.ResourceClaim) (twice []string) {
	if c.Status.Allocation == nil {
		return nil
	}
	for _, result := range c.Status.Allocation.Devices.Results {
		if result.ShareID != nil || result.AdminAccess != nil && *result.AdminAccess {
			continue
		}
		id := deviceID{result.Driver, result.Pool, result.Device}
		name := c.Namespace + "/" + c.Name
		for _, other := range h[id] {
			twice = append(twice, fmt.Sprintf("claim %s: device %s of pool %s is allocated to claim %s", name, id.device, id.pool, other))
			break
		}
		if h[id] == nil {
			h[id] = map[types.UID]string{}
		}
		h[id][c.UID] = name
	}
	return twice
}

// removeClaim takes the devices of a claim back.
func (h deviceHolders) removeClaim(uid types.UID) {
	for id, holders := range h {
		delete(holders, uid)
		if len(holders) == 0 {
			delete(h, id)
		}
	}
}
