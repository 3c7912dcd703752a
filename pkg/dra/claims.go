// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"
)

// PodClaims is what one pod claims, by its resource claims and by extended resources
// that device classes are mapped to.
type PodClaims struct {
	// Pinned are the nodes that can use what is allocated already, one selector for
	// each such claim.
	Pinned []*v1.NodeSelector
	// Waits are the claims that are still to be allocated, namespace/name: two pods that
	// name one share its devices.
	Waits []string
	// Unmodelled says what of it cannot be counted, "" if nothing.
	Unmodelled string

	specs    []resourceapi.ResourceClaimSpec
	extended []extendedRequest
	text     string
}

// extendedRequest is so many devices of a class, asked for as an extended resource.
type extendedRequest struct {
	name  v1.ResourceName
	count int64
}

// Key tells pods apart that claim different things.
func (p *PodClaims) Key() string {
	if p == nil {
		return ""
	}
	var text strings.Builder
	text.WriteString(p.text)
	for _, pin := range p.Pinned {
		selector, _ := json.Marshal(pin) // what came as JSON goes as JSON
		text.WriteString("|pin ")
		text.Write(selector)
	}
	sum := sha256.Sum256([]byte(text.String()))
	return string(sum[:16])
}

// podKey is a claim as it was read.
type podKey struct{ claim *resourceapi.ResourceClaim }

// ReadPod returns what a pod claims, nil for nothing. requests are its own.
func (v *Inventory) ReadPod(pod *v1.Pod, requests v1.ResourceList) *PodClaims {
	p := &PodClaims{}
	for i := range pod.Spec.ResourceClaims {
		v.readPodClaim(p, pod, &pod.Spec.ResourceClaims[i])
	}
	for name, quantity := range requests {
		if !quantity.IsZero() && schedutil.IsDRAExtendedResourceName(name) && v.source.ClassOf(name) != nil {
			p.extended = append(p.extended, extendedRequest{name, quantity.Value()})
		}
	}
	slices.SortFunc(p.extended, func(a, b extendedRequest) int { return strings.Compare(string(a.name), string(b.name)) })
	for _, e := range p.extended {
		class := v.source.ClassOf(e.name)
		p.text += fmt.Sprintf("|%s %d %s %s", e.name, e.count, class.Name, selectorText(class.Spec.Selectors))
	}
	if len(pod.Spec.ResourceClaims) == 0 && len(p.extended) == 0 {
		return nil
	}
	return p
}

// unmodelledClaims is what the scheduler alone checks of claims that cannot be counted.
const unmodelledClaims = "resource claims"

// readPodClaim adds one claim of a pod.
func (v *Inventory) readPodClaim(p *PodClaims, pod *v1.Pod, ref *v1.PodResourceClaim) {
	name, _, err := resourceclaim.Name(pod, ref)
	switch {
	case err == nil && name == nil:
		return // it is not needed
	case err != nil && ref.ResourceClaimTemplateName != nil:
		if template := v.source.Template(pod.Namespace, *ref.ResourceClaimTemplateName); template != nil {
			p.add(template.Spec.Spec, v.specText(&template.Spec.Spec))
			return
		}
		fallthrough
	case err != nil:
		p.Unmodelled = unmodelledClaims
		return
	}
	claim := v.source.Claim(pod.Namespace, *name)
	switch {
	case claim == nil || claim.DeletionTimestamp != nil:
		p.Unmodelled = unmodelledClaims
	case claim.Status.Allocation != nil:
		if selector := claim.Status.Allocation.NodeSelector; selector != nil {
			p.Pinned = append(p.Pinned, selector)
		}
	default:
		p.Waits = append(p.Waits, claim.Namespace+"/"+claim.Name)
		read, ok := v.pods.get(podKey{claim})
		if !ok {
			read = &PodClaims{text: v.specText(&claim.Spec)}
			v.pods.put(podKey{claim}, read)
		}
		p.add(claim.Spec, read.text)
	}
}

func (p *PodClaims) add(spec resourceapi.ResourceClaimSpec, text string) {
	p.specs, p.text = append(p.specs, spec), p.text+"|"+text
}

// specText is everything that the allocation of a claim depends on, the classes that it
// names included.
func (v *Inventory) specText(spec *resourceapi.ResourceClaimSpec) string {
	text, _ := json.Marshal(resourceapi.DeviceClaim{Requests: spec.Devices.Requests, Constraints: spec.Devices.Constraints}) // what came as JSON goes as JSON
	out := string(text)
	for _, r := range requestsOf(spec) {
		class := v.classNamed(r.class)
		if class == nil {
			out += " " + r.class + " is missing"
			continue
		}
		out += " " + r.class + " " + selectorText(class.Spec.Selectors)
	}
	return out
}

func selectorText(selectors []resourceapi.DeviceSelector) string {
	text, _ := json.Marshal(selectors) // what came as JSON goes as JSON
	return string(text)
}

// classNamed returns a class, or nil.
func (v *Inventory) classNamed(name string) *resourceapi.DeviceClass {
	at, ok := slices.BinarySearchFunc(v.classes, name, func(c *resourceapi.DeviceClass, name string) int { return strings.Compare(c.Name, name) })
	if !ok {
		return nil
	}
	return v.classes[at]
}

// deviceRequest is a request of a claim, or one of its alternatives.
type deviceRequest struct {
	class     string
	selectors *[]resourceapi.DeviceSelector
	// counted says that it takes a number of devices that are free.
	counted bool
}

// requestsOf lists the requests of a claim and their alternatives.
func requestsOf(spec *resourceapi.ResourceClaimSpec) []deviceRequest {
	var all []deviceRequest
	for i := range spec.Devices.Requests {
		r := &spec.Devices.Requests[i]
		if r.Exactly != nil {
			counted := r.Exactly.AllocationMode == resourceapi.DeviceAllocationModeExactCount && (r.Exactly.AdminAccess == nil || !*r.Exactly.AdminAccess)
			all = append(all, deviceRequest{r.Exactly.DeviceClassName, &r.Exactly.Selectors, counted})
		}
		for j := range r.FirstAvailable {
			counted := r.FirstAvailable[j].AllocationMode == resourceapi.DeviceAllocationModeExactCount
			all = append(all, deviceRequest{r.FirstAvailable[j].DeviceClassName, &r.FirstAvailable[j].Selectors, counted})
		}
	}
	return all
}

// Claims is what each member of a role claims. It implements topology.Claims; equal
// ones are the same object.
type Claims struct {
	// most is the number of members up to which it is counted.
	most     int
	specs    []resourceapi.ResourceClaimSpec
	extended []extendedRequest
	// classes are those that are named, as they are now.
	classes classList
	// classOf is the class of each extended resource.
	classOf map[v1.ResourceName]string
	// attributes are the names of those that matter; all says that any may.
	attributes []string
	all        bool
	label      string
}

// String names the classes.
func (c *Claims) String() string { return c.label }

// maxMembers bounds how many members are counted on one node.
const maxMembers = 256

// ClaimsOf returns the claims of a role of pods like this, of a gang in which so many
// members wait; nil where nothing is to be allocated.
func (v *Inventory) ClaimsOf(p *PodClaims, members int) *Claims {
	if p == nil || len(p.specs) == 0 && len(p.extended) == 0 {
		return nil
	}
	most := 1
	for most < min(members, maxMembers) { // gangs of nearly one size share their counts
		most *= 2
	}
	key := fmt.Sprintf("%d %s", most, p.text)
	if known, ok := v.claims.get(key); ok {
		return known
	}
	c := &Claims{most: most, specs: p.specs, extended: p.extended, classes: classList{}, classOf: map[v1.ResourceName]string{}}
	var names []string
	for i := range c.specs {
		for _, r := range requestsOf(&c.specs[i]) {
			names = append(names, r.class)
			c.readSelectors(*r.selectors)
		}
		for _, constraint := range c.specs[i].Devices.Constraints {
			for _, name := range []*resourceapi.FullyQualifiedName{constraint.MatchAttribute, constraint.DistinctAttribute} {
				if name != nil {
					c.attributes = append(c.attributes, bareName(string(*name)))
				}
			}
		}
	}
	for _, e := range c.extended {
		class := v.source.ClassOf(e.name)
		c.classOf[e.name] = class.Name
		names = append(names, class.Name)
	}
	c.readClasses(v, names)
	v.claims.put(key, c)
	return c
}

// readClasses notes the classes of some names.
func (c *Claims) readClasses(v *Inventory, names []string) {
	slices.Sort(names)
	names = slices.Compact(names)
	missing := ""
	for _, name := range names {
		class := v.classNamed(name)
		if class == nil {
			missing = ", which does not exist"
			continue
		}
		c.classes[name] = class
		c.readSelectors(class.Spec.Selectors)
	}
	slices.Sort(c.attributes)
	c.attributes = slices.Compact(c.attributes)
	if len(names) == 1 {
		c.label = "devices of class " + names[0] + missing
		return
	}
	if missing != "" {
		missing = ", of which one does not exist"
	}
	c.label = "devices of classes " + strings.Join(names, " and ") + missing
}

// attributeUse is an attribute that an expression names: after the map of the
// attributes, one domain and one name, each written out.
var attributeUse = regexp.MustCompile(`^\s*\.?\[\s*\??\s*(?:"[^"\\]*"|'[^'\\]*')\s*\]\s*(?:\.\s*\??\s*([A-Za-z_][A-Za-z0-9_]*)|\[\s*\??\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])\s*(\(?)`)

// readSelectors notes which attributes matter to expressions. Where an expression uses
// the map of attributes in another way than by their names, all of them do.
func (c *Claims) readSelectors(selectors []resourceapi.DeviceSelector) {
	for _, s := range selectors {
		if s.CEL == nil {
			continue
		}
		_, rest, found := strings.Cut(s.CEL.Expression, "attributes")
		for ; found; _, rest, found = strings.Cut(rest, "attributes") {
			use := attributeUse.FindStringSubmatch(rest)
			if use == nil || use[4] != "" { // a function of the map
				c.all = true
				return
			}
			c.attributes = append(c.attributes, use[1]+use[2]+use[3])
		}
	}
}

// bareName returns the name of an attribute without its domain.
func bareName(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}

// toAllocate returns the claims that a member needs allocated on nodes where device
// plugins serve some of the extended resources.
func (c *Claims) toAllocate(served string) []*resourceapi.ResourceClaim {
	var claims []*resourceapi.ResourceClaim
	claim := func(spec resourceapi.ResourceClaimSpec) {
		name := fmt.Sprintf("claim-%d", len(claims))
		claims = append(claims, &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: spec})
	}
	for _, spec := range c.specs {
		claim(spec)
	}
	var requests []resourceapi.DeviceRequest
	for i, e := range c.extended {
		if slices.Contains(strings.Fields(served), string(e.name)) {
			continue
		}
		requests = append(requests, resourceapi.DeviceRequest{Name: fmt.Sprintf("request-%d", i), Exactly: &resourceapi.ExactDeviceRequest{
			DeviceClassName: c.classOf[e.name], AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: e.count,
		}})
	}
	if len(requests) > 0 {
		claim(resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: requests}})
	}
	return claims
}

// classList is the classes that an allocator may ask for.
type classList map[string]*resourceapi.DeviceClass

// List returns all of them.
func (l classList) List() ([]*resourceapi.DeviceClass, error) {
	all := make([]*resourceapi.DeviceClass, 0, len(l))
	for _, class := range l {
		all = append(all, class)
	}
	return sortClasses(all), nil
}

// Get returns the class of a name.
func (l classList) Get(name string) (*resourceapi.DeviceClass, error) {
	if class := l[name]; class != nil {
		return class, nil
	}
	return nil, fmt.Errorf("device class %s does not exist", name)
}
