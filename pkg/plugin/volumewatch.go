// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/queue"
)

// watchVolumes has the gangs tried again whose volumes other plugins refused, when
// volumes, claims for them or their classes change.
func watchVolumes(gangs *gangQueue, factory informers.SharedInformerFactory) error {
	changed := func() {
		gangs.constraintChanges.Add(1)
		gangs.step(queue.VolumesChanged{})
	}
	all := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	}
	core := factory.Core().V1()
	for _, informer := range []cache.SharedIndexInformer{
		core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer(), factory.Storage().V1().StorageClasses().Informer(),
	} {
		if _, err := informer.AddEventHandler(all); err != nil {
			return err
		}
	}
	return nil
}
