// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/manifest"
	"github.com/muster-scheduler/muster/pkg/report"
	"github.com/muster-scheduler/muster/pkg/terminal"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// planVerb returns the command plan.
func planVerb(o *options) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Say where the gangs of a manifest would go, without creating anything",
		Long: `Say where the gangs of a manifest would go if it were applied now, without
creating anything. Pods, pod groups and the workloads of docs/workloads.md are
read; the gangs are placed one after the other, in the order of the file. What
waits in the cluster already is not placed first.`,
		Example: `  muster plan -f job.yaml
  helm template train ./chart | muster plan -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := o.outputFormat()
			if err != nil {
				return err
			}
			m, err := o.readManifest(cmd.Context(), files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			v, err := o.readViewWith(cmd.Context(), m)
			if err != nil {
				return err
			}
			plans, err := v.planManifest(m)
			if err != nil {
				return err
			}
			for _, note := range m.Notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", terminal.SpellOut(note))
			}
			if err := report.WriteValue(cmd.OutOrStdout(), format, plans, func(w io.Writer) { report.WritePlans(w, plans) }); err != nil {
				return err
			}
			if slices.ContainsFunc(plans, func(p *explain.PlacementPreview) bool { return !p.Fits }) {
				return errRefused
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "the manifest `file`, - for standard input; may be given more than once")
	_ = cmd.MarkFlagRequired("filename")
	return cmd
}

// readManifest reads the files as one manifest. A file that has something else
// only is an error: an empty plan would look like success.
func (o *options) readManifest(ctx context.Context, files []string, stdin io.Reader) (*manifest.Manifest, error) {
	namespace, err := o.targetNamespace()
	if err != nil {
		return nil, err
	}
	texts := make([][]byte, len(files))
	var runtimes []*unstructured.Unstructured
	for i, name := range files {
		if texts[i], err = readFile(name, stdin); err != nil {
			return nil, err
		}
		found, err := manifest.ReadRuntimes(texts[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		runtimes = append(runtimes, found...)
	}
	var all manifest.Manifest
	for i, name := range files {
		m, err := manifest.Parse(texts[i], namespace, o.findRuntime(ctx, runtimes))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all.Pods, all.Notes = append(all.Pods, m.Pods...), append(all.Notes, m.Notes...)
		all.Skipped = append(all.Skipped, m.Skipped...)
		all.Groups = append(all.Groups, m.Groups...)
		all.Devices.Claims = append(all.Devices.Claims, m.Devices.Claims...)
		all.Devices.Templates = append(all.Devices.Templates, m.Devices.Templates...)
	}
	if len(all.Pods) == 0 {
		found := "nothing"
		if len(all.Skipped) > 0 {
			found = strings.Join(all.Skipped, ", ")
		}
		// Why something was skipped says what to do.
		return nil, fmt.Errorf("%s", strings.Join(append([]string{fmt.Sprintf("%s: found %s, want a Pod, %s; of other workloads, plan the pods that they create",
			strings.Join(files, ", "), found, workload.PlannedText())}, all.Notes...), "\nnote: "))
	}
	return &all, nil
}

// findRuntime returns what finds the runtime of a TrainJob: among those of the
// files, else in the cluster. A snapshot has none.
func (o *options) findRuntime(ctx context.Context, here []*unstructured.Unstructured) workload.Finder {
	return func(apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error) {
		if found := manifest.FindRuntime(here, apiVersion, kind, namespace, name); found != nil || o.snapshot != "" {
			return found, nil
		}
		version, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			return nil, err
		}
		clients, err := o.clusterClients()
		if err != nil {
			return nil, err
		}
		objects := clients.Dynamic.Resource(version.WithResource(strings.ToLower(kind) + "s"))
		found, err := objects.Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return found, err
	}
}

// readFile reads a file, or standard input for "-".
func readFile(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

// readViewWith reads the cluster and adds a manifest to it. Of a gang or pod
// that is in both, the waiting pods of the cluster are replaced.
func (o *options) readViewWith(ctx context.Context, m *manifest.Manifest) (*timedView, error) {
	s, err := o.readSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	settings, err := o.readSettings(s)
	if err != nil {
		return nil, err
	}
	adoptForeignPods(m, settings.SchedulerNames)
	group := groupOf(settings)
	replaced := map[string]bool{}
	for _, pod := range m.Pods {
		replaced[planUnit(pod, group(pod))] = true
		replaced[planUnit(pod, "")] = true
	}
	kept := s.Pods[:0:0]
	for _, pod := range s.Pods {
		switch {
		case !replaced[planUnit(pod, group(pod))] && !replaced[planUnit(pod, "")]:
			kept = append(kept, pod)
		case pod.Spec.NodeName != "": // holds its node, but is no member of the new gang
			kept = append(kept, withoutGang(pod))
		}
	}
	s.Pods = append(kept, m.Pods...)
	s.Finished = slices.DeleteFunc(s.Finished, func(pod *v1.Pod) bool { return replaced[planUnit(pod, group(pod))] })
	s.Groups = replaceObjects(s.Groups, m.Groups)
	replaceClaims(s.Devices, &m.Devices)
	s.Absent = slices.DeleteFunc(s.Absent, func(kind string) bool {
		return slices.ContainsFunc(m.Groups, func(g *unstructured.Unstructured) bool { return g.GetAPIVersion() == kind })
	})
	return o.buildView(s)
}

// planUnit returns the name of what is planned at once: the gang of a pod, or,
// without one, the pod itself. No name of a group begins with a blank.
func planUnit(pod *v1.Pod, group string) string {
	if group == "" {
		return pod.Namespace + "/ " + pod.Name
	}
	return pod.Namespace + "/" + group
}

// adoptForeignPods plans pods of other schedulers as if they were Muster's,
// with a note: a manifest is often tried before it is changed.
func adoptForeignPods(m *manifest.Manifest, schedulers []string) {
	strangers, found := 0, ""
	for _, pod := range m.Pods {
		if !slices.Contains(schedulers, pod.Spec.SchedulerName) {
			strangers, found = strangers+1, pod.Spec.SchedulerName
			pod.Spec.SchedulerName = schedulers[0]
		}
	}
	if strangers > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("schedulerName is %s on %d of %d pods; with that, Muster would not place them: write schedulerName: %s",
			found, strangers, len(m.Pods), schedulers[0]))
	}
}

// withoutGang returns a copy of a pod without its gang, under a name that no
// other pod has.
func withoutGang(pod *v1.Pod) *v1.Pod {
	out := pod.DeepCopy()
	out.Name += " (running)"
	out.Labels, out.Annotations, out.Spec.SchedulingGroup = nil, nil, nil
	return out
}

// replaceObjects returns old with the objects of new in place of those of the
// same kind and name.
func replaceObjects(old, new []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := slices.DeleteFunc(slices.Clone(old), func(o *unstructured.Unstructured) bool {
		return slices.ContainsFunc(new, func(n *unstructured.Unstructured) bool {
			return o.GetAPIVersion() == n.GetAPIVersion() && o.GetKind() == n.GetKind() && o.GetNamespace() == n.GetNamespace() && o.GetName() == n.GetName()
		})
	})
	return append(out, new...)
}

// replaceClaims puts the claims and templates of a manifest in the place of those of the
// same name. What is allocated stays taken: pods run on it.
func replaceClaims(into, from *dra.Objects) {
	if into == nil {
		return
	}
	named := map[string]bool{}
	for _, claim := range from.Claims {
		named[claim.Namespace+"/"+claim.Name] = true
	}
	claims := slices.Clone(from.Claims)
	for _, claim := range into.Claims {
		if named[claim.Namespace+"/"+claim.Name] {
			if claim.Status.Allocation == nil {
				continue
			}
			claim = claim.DeepCopy()
			claim.Name += " (running)"
		}
		claims = append(claims, claim)
	}
	into.Claims = claims
	into.Templates = append(slices.Clone(from.Templates), into.Templates...) // the first of a name counts
}

// planManifest places the gangs and single pods of a manifest one after the
// other, in the order of the file.
func (v *timedView) planManifest(m *manifest.Manifest) ([]*explain.PlacementPreview, error) {
	var plans []*explain.PlacementPreview
	done := map[string]bool{}
	group := groupOf(v.settings)
	for _, pod := range m.Pods {
		u := planUnit(pod, group(pod))
		if done[u] {
			continue
		}
		done[u] = true
		outline, err := v.PreviewPlacement(pod)
		if err != nil {
			return nil, err
		}
		plans = append(plans, outline)
	}
	return plans, nil
}
