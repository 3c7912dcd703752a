// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifests tests what `kubectl apply -k manifests` installs: that each
// object is what it says, and that a scheduler which has nothing but these
// objects can do all of its work.
package manifests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	psaapi "k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/scheduler"
	"github.com/muster-scheduler/muster/pkg/workload"
)

const (
	root      = "../../manifests"
	namespace = "muster-system"
	name      = "muster-scheduler"
)

// render builds the kustomization and decodes each object strictly: a field
// that its type does not have is an error.
func render(t *testing.T) []runtime.Object {
	t.Helper()
	return renderFolder(t, root)
}

// renderOverlay builds a kustomization of a user that installs the manifests, and
// more. MANIFESTS in it stands for their folder.
func renderOverlay(t *testing.T, more string) []runtime.Object {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	manifests, err := filepath.Abs(root)
	require.NoError(t, err)
	relative, err := filepath.Rel(dir, manifests)
	require.NoError(t, err)
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - ../muster/manifests\n" + more
	text = strings.ReplaceAll(text, "../muster/manifests", relative)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
	return renderFolder(t, dir)
}

func renderFolder(t *testing.T, dir string) []runtime.Object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	require.NoError(t, err)
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []runtime.Object
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		require.NoError(t, err)
		object, _, err := decoder.Decode(text, nil, nil)
		require.NoError(t, err, "%s", text)
		objects = append(objects, object)
	}
	return objects
}

// find returns the only object of a type with the given name.
func find[T metav1.Object](t *testing.T, objects []runtime.Object, name string) T {
	t.Helper()
	var found []T
	for _, object := range objects {
		if typed, ok := object.(T); ok && typed.GetName() == name {
			found = append(found, typed)
		}
	}
	require.Len(t, found, 1, "objects called %s", name)
	return found[0]
}

// configuration returns the ConfigMap that the Deployment mounts.
func configuration(t *testing.T, objects []runtime.Object) *v1.ConfigMap {
	t.Helper()
	volumes := find[*appsv1.Deployment](t, objects, name).Spec.Template.Spec.Volumes
	require.Len(t, volumes, 1)
	return find[*v1.ConfigMap](t, objects, volumes[0].ConfigMap.Name)
}

// writeConfiguration puts the configuration into a file, as the mount does.
func writeConfiguration(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func schedulerConfiguration(t *testing.T, objects []runtime.Object) *schedulerconfig.KubeSchedulerConfiguration {
	t.Helper()
	file := writeConfiguration(t, configuration(t, objects).Data["config.yaml"])
	loaded, err := options.LoadConfigFromFile(klog.Background(), file)
	require.NoError(t, err)
	return loaded
}

func TestTheConfigurationIsForASecondScheduler(t *testing.T) {
	objects := render(t)
	loaded := schedulerConfiguration(t, objects)

	scheduler.CompleteConfig(loaded)
	require.NoError(t, scheduler.CheckConfig(loaded))
	require.Len(t, loaded.Profiles, 1)
	assert.Equal(t, "muster", loaded.Profiles[0].SchedulerName)
	assert.False(t, loaded.EnableProfiling)
	assert.False(t, loaded.EnableContentionProfiling)

	lease := loaded.LeaderElection
	assert.True(t, lease.LeaderElect)
	assert.Equal(t, namespace, lease.ResourceNamespace)
	role := find[*rbacv1.Role](t, objects, name)
	assert.Equal(t, []string{lease.ResourceName}, role.Rules[1].ResourceNames, "the lease that the Role allows")
}

func TestTheConfigurationIsTheCommandsDefaultWrittenOut(t *testing.T) {
	want, err := scheduler.DefaultConfig(true)
	require.NoError(t, err)
	got := schedulerConfiguration(t, render(t))
	settings := got.Profiles[0].PluginConfig
	got.Profiles[0].PluginConfig = slices.DeleteFunc(settings, func(c schedulerconfig.PluginConfig) bool { return c.Name == "Muster" })
	assert.Equal(t, want, got)
}

func TestTheArgumentsOfThePluginAreItsDefaultsWrittenOut(t *testing.T) {
	settings := schedulerConfiguration(t, render(t)).Profiles[0].PluginConfig
	at := slices.IndexFunc(settings, func(c schedulerconfig.PluginConfig) bool { return c.Name == "Muster" })
	require.GreaterOrEqual(t, at, 0)
	got, err := config.Decode(settings[at].Args)
	require.NoError(t, err)
	defaults, err := config.Decode(nil)
	require.NoError(t, err)
	assert.Equal(t, defaults, got)
}

func TestTheLevelsShownInTheConfigurationAreValid(t *testing.T) {
	text := configuration(t, render(t)).Data["config.yaml"]
	_, shown, found := strings.Cut(text, "# levels:\n")
	require.True(t, found)
	shown, _, found = strings.Cut(shown, "          #\n")
	require.True(t, found)
	shown = "levels:\n" + regexp.MustCompile(`(?m)^ *# `).ReplaceAllString(shown, "")
	args, err := config.Decode(&runtime.Unknown{Raw: []byte(shown)})
	require.NoError(t, err, shown)
	assert.Equal(t, []string{"zone", "spine", "rack", "host"}, args.TopologyLevels().LevelNames())
}

func TestTheDeploymentMeetsTheRestrictedPodSecurityStandard(t *testing.T) {
	objects := render(t)
	template := find[*appsv1.Deployment](t, objects, name).Spec.Template
	evaluator, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	require.NoError(t, err)
	level := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	result := psa.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec))
	assert.True(t, result.Allowed, result.ForbiddenDetail())

	assert.True(t, *template.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem)
	labels := find[*v1.Namespace](t, objects, namespace).Labels
	assert.Equal(t, string(psaapi.LevelRestricted), labels[psaapi.EnforceLevelLabel])
}

func TestTheDeploymentStaysUp(t *testing.T) {
	objects := render(t)
	deployment := find[*appsv1.Deployment](t, objects, name)
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]

	assert.Greater(t, *deployment.Spec.Replicas, int32(1))
	assert.NotNil(t, pod.Affinity.PodAntiAffinity, "replicas keep apart")
	assert.Equal(t, "system-cluster-critical", pod.PriorityClassName)
	assert.Equal(t, v1.DefaultSchedulerName, pod.SchedulerName, "Muster does not need itself to start")
	budget := find[*policyv1.PodDisruptionBudget](t, objects, name)
	assert.Equal(t, deployment.Spec.Selector, budget.Spec.Selector)
	assert.Equal(t, intstr.FromInt32(1), *budget.Spec.MaxUnavailable)

	for probe, path := range map[*v1.Probe]string{
		container.StartupProbe: "/livez", container.LivenessProbe: "/livez", container.ReadinessProbe: "/readyz",
	} {
		assert.Equal(t, path, probe.HTTPGet.Path)
		assert.Equal(t, v1.URISchemeHTTPS, probe.HTTPGet.Scheme)
		assert.Equal(t, container.Ports[0].Name, probe.HTTPGet.Port.StrVal)
	}
	assert.Equal(t, int32(10259), container.Ports[0].ContainerPort)
	assert.Equal(t, "ghcr.io/muster-scheduler/muster-scheduler:v0.1.0", container.Image)
	assert.Contains(t, container.Args, "--config="+container.VolumeMounts[0].MountPath+"/config.yaml")
}

// The image is built from nothing but one image of the Go that go.mod names, with a
// digest behind its tag where it was pinned, and holds nothing but the scheduler.
func TestTheImageIsBuiltFromOneImageThatCanBePinned(t *testing.T) {
	text, err := os.ReadFile(root + "/Dockerfile")
	require.NoError(t, err)
	var from []string
	for _, line := range regexp.MustCompile(`(?m)^(?:FROM|COPY --from=\S+) .*`).FindAllString(string(text), -1) {
		from = append(from, line)
	}
	assert.Equal(t, []string{"FROM ${GO_IMAGE} AS build", "FROM scratch", "COPY --from=build /muster-scheduler /muster-scheduler"}, from)
	image := regexp.MustCompile(`(?m)^ARG GO_IMAGE=golang:(\d+\.\d+)(\.\d+)?(@sha256:[0-9a-f]{64})?$`).FindStringSubmatch(string(text))
	require.NotNil(t, image, "%s", text)
	module, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^go `+regexp.QuoteMeta(image[1])+`\b`, string(module))
}

func TestTheCollectorIsToldNineTenthsOfTheMemoryLimit(t *testing.T) {
	container := find[*appsv1.Deployment](t, render(t), name).Spec.Template.Spec.Containers[0]
	require.Equal(t, "GOMEMLIMIT", container.Env[0].Name)
	limit := container.Resources.Limits.Memory().Value() >> 20
	assert.Equal(t, fmt.Sprintf("%dMiB", limit*9/10), container.Env[0].Value)
}

func TestNoRuleIsWiderThanItsName(t *testing.T) {
	never := []string{"secrets", "configmaps", "serviceaccounts", "customresourcedefinitions", "nodes/status", "pods/exec", "bindings"}
	for _, object := range render(t) {
		for _, rule := range rulesOf(object) {
			for _, part := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
				assert.NotContains(t, part, "*")
			}
			for _, resource := range never {
				assert.NotContains(t, rule.Resources, resource)
			}
			assert.Empty(t, rule.NonResourceURLs)
		}
	}
}

func TestEveryBindingIsForTheOneServiceAccount(t *testing.T) {
	objects := render(t)
	find[*v1.ServiceAccount](t, objects, name)
	want := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: namespace}}
	bindings := 0
	for _, object := range objects {
		switch binding := object.(type) {
		case *rbacv1.ClusterRoleBinding:
			bindings++
			assert.Equal(t, want, binding.Subjects, binding.Name)
			find[*rbacv1.ClusterRole](t, objects, binding.RoleRef.Name)
		case *rbacv1.RoleBinding:
			bindings++
			assert.Equal(t, want, binding.Subjects, binding.Name)
		}
	}
	assert.Equal(t, 4+4+1+2*len(dialects(t)), bindings) // workloads are only read
}

// dialects lists the dialects with a file of permissions for group objects.
func dialects(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(root + "/dialects/*.yaml")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); name != "kustomization" && name != string(kube.DialectAuto) {
			names = append(names, name)
		}
	}
	return names
}

// Each kind of group object that is read has the permissions of its dialect's
// file, and no file has more.
func TestEveryDialectHasItsOwnPermissions(t *testing.T) {
	objects := render(t)
	for _, name := range dialects(t) {
		var want, resources, statuses []string
		for _, kind := range dialect.Kinds(kube.Dialect(name)) {
			want = append(want, kind.Group)
			resources, statuses = append(resources, kind.Resource), append(statuses, kind.Resource+"/status")
		}
		require.NotEmpty(t, want, name)
		want, resources, statuses = slices.Compact(want), slices.Compact(resources), slices.Compact(statuses)
		read := find[*rbacv1.ClusterRole](t, objects, "muster-scheduler-"+name)
		write := find[*rbacv1.ClusterRole](t, objects, "muster-scheduler-workloads-"+name)
		assert.Equal(t, []rbacv1.PolicyRule{{APIGroups: want, Resources: resources, Verbs: []string{"get", "list", "watch"}}}, read.Rules)
		assert.Equal(t, []rbacv1.PolicyRule{{APIGroups: want, Resources: statuses, Verbs: []string{"patch"}}}, write.Rules)
	}
	for _, name := range dialect.Names() {
		if len(dialect.Kinds(name)) > 0 {
			assert.Contains(t, dialects(t), string(name))
		}
	}
}

func TestFlowSchemasComeBeforeTheOneForAllServiceAccounts(t *testing.T) {
	objects := render(t)
	levels := map[string]bool{}
	for _, level := range bootstrap.SuggestedPriorityLevelConfigurations {
		levels[level.Name] = true
	}
	lease := find[*flowcontrolv1.FlowSchema](t, objects, "muster-leader-election").Spec
	rest := find[*flowcontrolv1.FlowSchema](t, objects, name).Spec
	assert.Less(t, lease.MatchingPrecedence, rest.MatchingPrecedence)
	assert.Less(t, rest.MatchingPrecedence, bootstrap.SuggestedFlowSchemaServiceAccounts.Spec.MatchingPrecedence)
	assert.Greater(t, lease.MatchingPrecedence, bootstrap.SuggestedFlowSchemaSystemLeaderElection.Spec.MatchingPrecedence)
	for _, schema := range []flowcontrolv1.FlowSchemaSpec{lease, rest} {
		assert.True(t, levels[schema.PriorityLevelConfiguration.Name], schema.PriorityLevelConfiguration.Name)
	}
}

func TestExamplesAskForMuster(t *testing.T) {
	files, err := filepath.Glob(root + "/examples/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 4)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Contains(t, string(text), "schedulerName: muster", file)
		assert.Contains(t, string(text), "muster.sh/topology-required: ", file)
		assert.False(t, strings.Contains(string(text), "\t"), file)
	}
}

func rulesOf(object runtime.Object) []rbacv1.PolicyRule {
	switch role := object.(type) {
	case *rbacv1.ClusterRole:
		return role.Rules
	case *rbacv1.Role:
		return role.Rules
	}
	return nil
}

// Workloads behind gangs are read, and never written.
func TestEveryKindOfWorkloadMayBeRead(t *testing.T) {
	var got []string
	for _, rule := range find[*rbacv1.ClusterRole](t, render(t), "muster-scheduler-auto").Rules {
		assert.Equal(t, []string{"get", "list", "watch"}, rule.Verbs)
		for _, resource := range rule.Resources {
			got = append(got, resource+"."+rule.APIGroups[0])
		}
	}
	var want []string
	for _, kind := range workload.SupportedKinds() {
		want = append(want, kind.Resource+"."+kind.Group)
	}
	assert.ElementsMatch(t, want, got)
}

// documented returns the first block of YAML in docs/install.md after a sentence.
func documented(t *testing.T, sentence string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), sentence)
	require.True(t, found, sentence)
	_, after, found = strings.Cut(after, "```yaml\n")
	require.True(t, found)
	block, _, found := strings.Cut(after, "```\n")
	require.True(t, found)
	return block
}

// Clusters without volumes that wait for their pod and without device claims can take
// the permissions for them out as docs/install.md says; nothing else goes with them.
func TestThePermissionsForVolumesAndClaimsCanBeLeftOut(t *testing.T) {
	all, left := render(t), renderOverlay(t, documented(t, "leave their roles out in your overlay"))
	assert.Len(t, left, len(all)-8)
	for _, object := range left {
		for _, rule := range rulesOf(object) {
			for _, resource := range rule.Resources {
				if strings.HasPrefix(resource, "resourceclaims") || strings.HasPrefix(resource, "persistentvolume") {
					assert.Equal(t, []string{"get", "list", "watch"}, rule.Verbs, resource)
				}
			}
		}
	}
}

// The policy is about the one service account, refuses where it cannot decide, and
// covers each resource that the scheduler updates or binds.
func TestThePolicyIsAboutTheServiceAccount(t *testing.T) {
	all, held := render(t), renderOverlay(t, documented(t, "opt-in policy"))
	policies := 0
	covered := map[string]bool{}
	for _, object := range held {
		policy, ok := object.(*admissionv1.ValidatingAdmissionPolicy)
		if !ok {
			continue
		}
		policies++
		require.Len(t, policy.Spec.MatchConditions, 1)
		assert.Equal(t, fmt.Sprintf("request.userInfo.username == 'system:serviceaccount:%s:%s'", namespace, name), policy.Spec.MatchConditions[0].Expression)
		assert.Equal(t, admissionv1.Fail, *policy.Spec.FailurePolicy)
		for _, validation := range policy.Spec.Validations {
			assert.Equal(t, metav1.StatusReasonForbidden, *validation.Reason, "the ledger tells it from other answers")
		}
		for _, rule := range policy.Spec.MatchConstraints.ResourceRules {
			for _, resource := range rule.Resources {
				covered[rule.APIGroups[0]+"/"+resource] = true
			}
		}
		binding := find[*admissionv1.ValidatingAdmissionPolicyBinding](t, held, policy.Name)
		assert.Equal(t, []admissionv1.ValidationAction{admissionv1.Deny}, binding.Spec.ValidationActions)
	}
	assert.Len(t, held, len(all)+2*policies)
	// What the other writes are: claims as a whole, whose spec the API server never
	// lets anybody change, events and leases, which are the scheduler's own.
	free := []string{"resourceclaims", "resourceclaims/status", "resourceclaims/binding", "events", "leases"}
	for _, object := range all {
		for _, rule := range rulesOf(object) {
			if !slices.ContainsFunc(rule.Verbs, func(verb string) bool { return verb == "update" || verb == "patch" }) && !slices.Contains(rule.Resources, "pods/binding") {
				continue
			}
			for _, resource := range rule.Resources {
				assert.True(t, covered[rule.APIGroups[0]+"/"+resource] || slices.Contains(free, resource), "nothing holds the writes to %s", resource)
			}
		}
	}
}
