// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/client-go/tools/cache"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/page"
)

// pagePath is where the secure port serves the topology page.
const pagePath = "/topology"

// pageRoutes serves the topology page. Pictures come from the scheduler's
// informers and are made beside its work, only while somebody looks. declarationOf
// returns what the user declared of a gang.
func pageRoutes(cc *appconfig.CompletedConfig, declarationOf func(*schedulingapi.PodGroup) *kube.Declaration) ([]route, error) {
	settings, err := settingsOf(cc.ComponentConfig.Profiles)
	if err != nil {
		return nil, err
	}
	s := &pageSource{
		picture: explain.ConfigOf(settings),
		nodes:   cc.InformerFactory.Core().V1().Nodes().Informer(),
		pods:    cc.InformerFactory.Core().V1().Pods().Informer(),
		groups:  cc.InformerFactory.Scheduling().V1beta1().PodGroups().Informer(),
		slices:  cc.InformerFactory.Resource().V1().ResourceSlices().Informer(),
		classes: cc.InformerFactory.Resource().V1().DeviceClasses().Informer(),
		claims:  cc.InformerFactory.Resource().V1().ResourceClaims().Informer(),

		declarationOf: declarationOf,
	}
	served := page.NewServer(page.Source{Version: s.clusterVersion, Build: s.buildData})
	return []route{
		{pagePath + "/", http.StripPrefix(pagePath, served)},
		{pagePath, http.RedirectHandler(pagePath+"/", http.StatusMovedPermanently)},
	}, nil
}

// pageSource builds the page from what the scheduler knows.
type pageSource struct {
	picture             explain.Config
	nodes, pods, groups cache.SharedIndexInformer
	// Devices and what is claimed of them.
	slices, classes, claims cache.SharedIndexInformer
	declarationOf           func(*schedulingapi.PodGroup) *kube.Declaration
}

// clusterVersion changes with every event of the informers.
func (s *pageSource) clusterVersion() string {
	return s.nodes.LastSyncResourceVersion() + " " + s.pods.LastSyncResourceVersion() + " " + s.groups.LastSyncResourceVersion() +
		" " + s.slices.LastSyncResourceVersion() + " " + s.classes.LastSyncResourceVersion() + " " + s.claims.LastSyncResourceVersion()
}

// buildData returns an error until the informers have read the cluster: half a
// cluster would look like free GPUs.
func (s *pageSource) buildData(context.Context) (*page.Data, error) {
	if !s.nodes.HasSynced() || !s.pods.HasSynced() || !s.groups.HasSynced() {
		return nil, errors.New("the scheduler still reads the cluster")
	}
	now := time.Now()
	pods := listObjects[*v1.Pod](s.pods)
	pods = slices.DeleteFunc(pods, func(pod *v1.Pod) bool { return kube.MemberStateOf(pod).HasEnded() })
	picture := s.picture
	picture.Devices = &dra.Objects{
		ResourceSlices: listObjects[*resourceapi.ResourceSlice](s.slices), DeviceClasses: listObjects[*resourceapi.DeviceClass](s.classes),
		Claims: listObjects[*resourceapi.ResourceClaim](s.claims),
	}
	p, err := explain.NewClusterView(picture, listObjects[*v1.Node](s.nodes), pods, s.gangs(listObjects[*schedulingapi.PodGroup](s.groups), pods))
	if err != nil {
		return nil, err
	}
	return page.BuildData(p, now, "")
}

// listObjects returns the objects of an informer, by namespace and name.
func listObjects[T any](informer cache.SharedIndexInformer) []T {
	store := informer.GetStore()
	keys := store.ListKeys()
	slices.Sort(keys)
	list := make([]T, 0, len(keys))
	for _, key := range keys {
		if obj, ok, err := store.GetByKey(key); ok && err == nil {
			if one, ok := obj.(T); ok {
				list = append(list, one)
			}
		}
	}
	return list
}

// gangs puts the pods to their groups, as the scheduler sees both. A group whose
// declaration is not known any more is left out: a newer one is on the way.
func (s *pageSource) gangs(groups []*schedulingapi.PodGroup, pods []*v1.Pod) []dialect.Gang {
	members := map[string][]*v1.Pod{}
	for _, pod := range pods {
		if group := kube.GroupOf(pod); group != "" {
			key := pod.Namespace + "/" + group
			members[key] = append(members[key], pod)
		}
	}
	list := make([]dialect.Gang, 0, len(groups))
	for _, group := range groups {
		if d := s.declarationOf(group); d != nil {
			list = append(list, dialect.Gang{Group: group, Declaration: d, Pods: members[group.Namespace+"/"+group.Name]})
		}
	}
	return list
}
