// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// gangState is all that is known of one gang.
type gangState struct {
	key         Key
	dialectName kube.Dialect
	// dialect is nil for a gang of a pod whose markers contradict one another.
	dialect *dialect.Dialect
	// members are the pods that are alive, and byTerms the same ones by what
	// they say of the gang: a single entry as long as they agree.
	members map[types.UID]*member
	byTerms map[dialect.PodTerms]map[types.UID]*member
	// bound, running and problems count the members with a node, those that
	// run, and those whose own markers make no sense. staying counts those with a
	// node that do not terminate.
	bound, running, problems, staying int
	// gated counts the members that scheduling gates hold back, gates those of
	// each gate. The scheduler knows them as single pods until their gates go.
	gated int
	gates map[string]int
	// startedWith counts the members on nodes by the number that had to start together
	// when they were bound. startingWith is that of the members that are bound now.
	startedWith  map[int]int
	startingWith int
	// livingRuns counts the members of each run, readRun finds its workload.
	livingRuns map[workload.Run]int
	readRun    runCatalog
	// jobs counts the members of each Job, readJob finds what that has counted.
	jobs    map[jobRef]int
	readJob jobCatalog
	// finished are the pods that have done their work under the gang's name.
	// declaredCount is what the gang declares, before they are left out.
	finished      map[types.UID]*finishedPod
	declaredCount int
	// object is the group object behind the gang, or nil. Objects of two kinds
	// may have its name: the first one of objects counts.
	object  *dialect.Object
	objects []*dialect.Object
	// parentage is what the groups above a native PodGroup make of it.
	parentage parentage
	// auto is set for a gang of a workload.
	auto *auto
	// uid and created stand for a gang without an object as long as any member
	// lives. They come from the member that was the first.
	uid     types.UID
	created metav1.Time
	// uncounted is set when a member with a node disappeared, and not all that
	// ended are counted yet. succeeded and failed are those that were.
	uncounted         bool
	succeeded, failed int
	// published is what the scheduler sees. dirty is set when it may have to see
	// something else: most events of a gang's pods do not change that.
	published publication
	dirty     bool
}

// publication is what the scheduler sees of a gang: both nil, or both set.
type publication struct {
	group       *schedulingapi.PodGroup
	declaration *kube.Declaration
}

// sameAs reports whether two publications differ in nothing but the version that
// the PodGroup was given.
func (p publication) sameAs(o publication) bool {
	if p.group == nil || o.group == nil {
		return p.group == o.group
	}
	versionless := *p.group
	versionless.ResourceVersion = o.group.ResourceVersion
	return equality.Semantic.DeepEqual(&versionless, o.group) && equality.Semantic.DeepEqual(p.declaration, o.declaration)
}

func (s *Store) newGang(key Key) *gangState {
	name, _ := kube.SplitGroupName(key.Group)
	return &gangState{
		key: key, dialectName: name, dialect: s.dialects.Find(name),
		members: map[types.UID]*member{}, finished: s.finished[key],
		byTerms: map[dialect.PodTerms]map[types.UID]*member{}, readRun: s.readRun, readJob: s.readJob,
	}
}

// upToDate reports whether the scheduler need not see anything else than it
// does. A gang with a problem names pods in it, and those come and go.
func (g *gangState) upToDate() bool {
	return g.published.group != nil && !g.dirty && g.problems == 0 && len(g.byTerms) <= 1 && len(g.livingRuns) <= 1 && len(g.finished) == 0 &&
		g.published.declaration.Invalid == nil && g.hasDisruptionMode(g.published.group)
}

// withoutKind lists the objects that are of another kind.
func (g *gangState) withoutKind(k *dialect.Kind) []*dialect.Object {
	return slices.DeleteFunc(g.objects, func(o *dialect.Object) bool { return o.Kind == k })
}

// minCount is the number of members that must start together, at least 1.
func (g *gangState) minCount() int {
	if g.published.group != nil && g.declaredCount > 0 {
		return g.declaredCount
	}
	if g.object != nil {
		return max(g.object.MinCount, 1)
	}
	return 1
}

// countKey is the annotation on the members that gives their number, or "".
func (g *gangState) countKey() string {
	if g.dialect == nil {
		return ""
	}
	return g.dialect.Count
}

// hasGroupObject reports whether a group object stands behind the gang, and not
// just its pods or a workload.
func (g *gangState) hasGroupObject() bool { return g.object != nil && g.object.Shape == nil }

// isNative reports whether one of Kubernetes' own PodGroups that can be read
// stands behind the gang.
func (g *gangState) isNative() bool { return g.object != nil && g.object.Native != nil }

// isComposite reports whether a CompositePodGroup stands behind the gang.
func (g *gangState) isComposite() bool { return g.object != nil && g.object.Composite != nil }
