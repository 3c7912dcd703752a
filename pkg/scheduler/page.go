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
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/client-go/tools/cache"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/shim"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/page"
	"github.com/muster-scheduler/muster/pkg/plugin"
	pluginconfig "github.com/muster-scheduler/muster/pkg/plugin/config"
)

// pagePath is where the secure port serves the topology page.
const pagePath = "/topology"

// servePage serves the topology page on the secure port. Pictures come from
// the scheduler's informers and are made beside its work, only while somebody
// looks. fail is called if that does not come about.
func servePage(ctx context.Context, cc *appconfig.CompletedConfig, translator *shim.Translator, fail func(error)) error {
	ladder, err := ladderOf(&cc.ComponentConfig)
	if err != nil {
		return err
	}
	s := &pageSource{
		ladder: ladder,
		nodes:  cc.InformerFactory.Core().V1().Nodes().Informer(),
		pods:   cc.InformerFactory.Core().V1().Pods().Informer(),
		groups: cc.InformerFactory.Scheduling().V1beta1().PodGroups().Informer(),

		declarationOf: translator.DeclarationOf,
	}
	served := page.NewServer(page.Source{Version: s.version, Take: s.take})
	mux := http.NewServeMux()
	mux.Handle(pagePath+"/", http.StripPrefix(pagePath, served))
	mux.Handle(pagePath, http.RedirectHandler(pagePath+"/", http.StatusMovedPermanently))
	return serveBeside(ctx, cc, mux, fail)
}

// ladderOf is the levels of the first profile that configures them.
func ladderOf(cfg *config.KubeSchedulerConfiguration) (kube.Ladder, error) {
	for _, profile := range cfg.Profiles {
		for _, one := range profile.PluginConfig {
			if one.Name == plugin.Name {
				args, err := pluginconfig.Decode(one.Args)
				if err != nil {
					return nil, err
				}
				return args.Ladder(), nil
			}
		}
	}
	return kube.DefaultLadder(), nil
}

// pageSource makes pictures of what the scheduler knows.
type pageSource struct {
	ladder              kube.Ladder
	nodes, pods, groups cache.SharedIndexInformer
	declarationOf       func(*schedulingapi.PodGroup) *kube.Declaration
}

func (s *pageSource) version() string {
	return s.nodes.LastSyncResourceVersion() + " " + s.pods.LastSyncResourceVersion() + " " + s.groups.LastSyncResourceVersion()
}

func (s *pageSource) take(context.Context) (*page.Data, error) {
	if !s.nodes.HasSynced() || !s.pods.HasSynced() || !s.groups.HasSynced() {
		return nil, errors.New("the scheduler still reads the cluster")
	}
	now := time.Now()
	pods := listed[*v1.Pod](s.pods)
	pods = slices.DeleteFunc(pods, podutil.IsPodTerminal)
	p, err := explain.NewPicture(s.ladder, listed[*v1.Node](s.nodes), pods, s.gangs(listed[*schedulingapi.PodGroup](s.groups), pods))
	if err != nil {
		return nil, err
	}
	return page.Build(p, now, "")
}

// listed is what an informer knows, by namespace and name.
func listed[T any](informer cache.SharedIndexInformer) []T {
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
