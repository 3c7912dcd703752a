// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"time"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// Data is a cluster at one moment, as the page shows it. Everything in it is
// absolute: the data of a cluster in which nothing happened differs in Taken
// alone.
type Data struct {
	// Taken is the time at which the data was taken.
	Taken time.Time `json:"taken"`
	// Namespace is the only one whose gangs and pods are named, "" for all.
	Namespace string `json:"namespace,omitempty"`
	// Domains are in depth-first order, the cluster first. Nodes, Models and
	// Resources are referred to by their number.
	Domains   []Domain `json:"domains"`
	Models    []string `json:"models"`
	Resources []string `json:"resources"`
	Nodes     []Node   `json:"nodes"`
	// Gangs are in the order of namespace and name.
	Gangs []Gang `json:"gangs"`
}

// Domain is a domain of the topology. Domains of a single node are left out.
type Domain struct {
	Name  string `json:"name"`
	Level string `json:"level"`
	// Parent is the number of the domain around it, -1 for the cluster.
	Parent int `json:"parent"`
}

// Node is a machine. The keys are short because there are many.
type Node struct {
	Name   string `json:"n"`
	Domain int    `json:"d"`
	// Model is the GPU product, -1 if the node does not say.
	Model int `json:"m"`
	// State is "cordoned" or "not ready", "" for a node that takes pods.
	State string `json:"s,omitempty"`
	// Offers are the GPUs or MIG instances of the node, by resource; Pods are
	// those that hold any, by gang, rank and name.
	Offers []Amount `json:"o,omitempty"`
	Pods   []Pod    `json:"p,omitempty"`
}

// Amount is a number of devices of one resource.
type Amount struct {
	Resource int   `json:"r"`
	Count    int64 `json:"c"`
}

// Pod is a pod and the GPUs that it holds. A pod outside of Data.Namespace has
// no name.
type Pod struct {
	Namespace string `json:"s,omitempty"`
	Name      string `json:"n,omitempty"`
	// Gang is -1 for a pod in none, and for one that may not be named.
	Gang int `json:"g"`
	// Rank is its number in the gang, -1 if it has none.
	Rank  int      `json:"k"`
	Holds []Amount `json:"h"`
}

// Gang is a gang and its status; see explain.Status.
type Gang struct {
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	Dialect   kube.Dialect `json:"dialect"`
	Phase     queue.Phase  `json:"phase"`
	Reason    kube.Reason  `json:"reason,omitempty"`
	Message   string       `json:"message,omitempty"`
	Bound     int          `json:"bound"`
	MinCount  int          `json:"minCount"`
	Pods      int          `json:"pods"`
	Domain    string       `json:"domain,omitempty"`
	// Place is the gang's place in the queue, 0 for one that does not wait.
	Place int `json:"place,omitempty"`
	// Created is when the gang came to be, Started when as many members as
	// must start together had a node, nil before.
	Created *time.Time `json:"created,omitempty"`
	Started *time.Time `json:"started,omitempty"`
}
