// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

var (
	newPod, train = dialecttest.Pod, dialecttest.Train
	epoch         = dialecttest.Epoch
)

const (
	kueueGroup, kueueCount, kueuePodSet         = dialect.KueueGroup, dialect.KueueCount, dialect.KueuePodSet
	kueueRequired, kueuePreferred               = dialect.KueueRequired, dialect.KueuePreferred
	kueueSlice, kueueSliceSize                  = dialect.KueueSlice, dialect.KueueSliceSize
	kueueSlices, kueueTogether, kueueWorkload   = dialect.KueueSlices, dialect.KueueTogether, dialect.KueueWorkload
	kaiRequired, kaiPreferred                   = dialect.KAIRequired, dialect.KAIPreferred
	koordName, koordCount, koordWait, koordMode = dialect.KoordName, dialect.KoordCount, dialect.KoordWait, dialect.KoordMode
	koordPolicy, koordGroups, koordNetwork      = dialect.KoordPolicy, dialect.KoordGroups, dialect.KoordNetwork
	koordNameLabel, koordCountLabel             = dialect.KoordNameLabel, dialect.KoordCountLabel
)

// world is a store that is driven as informers would, and what it published.
type world struct {
	*store.Store
	assigner *store.Assigner
	gangs    map[store.Key]dialect.Gang
}

func newWorld() *world {
	dialects := dialect.Enabled(nil, nil)
	w := &world{assigner: store.NewAssigner(dialects, []string{"muster"}), gangs: map[store.Key]dialect.Gang{}}
	w.Store = store.New(dialects, w.publish, func(store.Key) {})
	w.assigner.ResolveBy(w.gangOf)
	w.Open()
	for _, k := range dialects.Kinds() {
		w.SetKind(k, store.Served)
	}
	w.SetKind(dialect.KoordinatorGroups, store.Absent)
	return w
}

func (w *world) publish(key store.Key, pg *schedulingapi.PodGroup, d *kube.Declaration) {
	if pg == nil {
		delete(w.gangs, key)
		return
	}
	w.gangs[key] = dialect.Gang{Group: pg, Declaration: d}
}

func (w *world) gangOf(namespace, group string) string {
	gang, _ := w.ResolveGroup(namespace, group)
	return gang
}

func (w *world) pod(p *v1.Pod) {
	p = p.DeepCopy()
	w.assigner.Assign(p)
	w.SetPod(p)
}

// get returns a gang of the namespace ns.
func (w *world) get(group string) (dialect.Gang, bool) {
	g, ok := w.gangs[store.Key{Namespace: "ns", Group: group}]
	return g, ok
}

// groupOf makes an object of a kind, called train, from the rest of its fields.
func groupOf(t testing.TB, k *dialect.Kind, rest string) *unstructured.Unstructured {
	t.Helper()
	return dialecttest.Object(t, k.GroupVersion().String(), k.Name, rest)
}
