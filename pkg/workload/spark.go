// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// What Spark and its operator write on pods. Source: kubeflow/spark-operator v2,
// pkg/common/spark.go.
const (
	labelSparkApp  = "sparkoperator.k8s.io/app-name"
	labelSparkRole = "spark-role"

	sparkDriver   = "driver"
	sparkExecutor = "executor"

	// sparkWorkload is the batchScheduler that makes native groups.
	sparkWorkload = "workload"
	// sparkBatch is the number of executors that Spark creates at a time where it
	// is not set, in the versions that wait for these before they create more.
	sparkBatch = 5
)

// The keys of Spark's own configuration that are read.
const (
	sparkBatchSize        = "spark.kubernetes.allocation.batch.size"
	sparkInstances        = "spark.executor.instances"
	sparkElastic          = "spark.dynamicAllocation.enabled"
	sparkMinExecutors     = "spark.dynamicAllocation.minExecutors"
	sparkInitialExecutors = "spark.dynamicAllocation.initialExecutors"
)

var sparkKeys = []string{sparkBatchSize, sparkInstances, sparkElastic, sparkMinExecutors, sparkInitialExecutors}

// readSparkApplication reads a SparkApplication. The driver creates the executors
// once it runs: neither waits for the other, and the executors start together.
func readSparkApplication(r *reader, s *Shape) {
	s.addRole(Role{Name: sparkDriver, Label: labelSparkRole, Value: sparkDriver, Replicas: 1, CreatedLater: true})
	count, least := readExecutors(r)
	s.Roles = append(s.Roles, Role{Name: sparkExecutor, Label: labelSparkRole, Value: sparkExecutor, Replicas: count, MinCount: least, CreatedLater: true})
	if batch := r.readConf(sparkBatchSize, sparkBatch); createsInBatches(r.readText("spec.sparkVersion")) && least > batch {
		s.Problem = fmt.Sprintf("creates its executors %d at a time, the next ones when those run, so that %d cannot start together; write %s: \"%d\" in spec.sparkConf",
			batch, least, sparkBatchSize, least)
	}
}

// createsInBatches reports whether a version of Spark requests executors only
// while none is pending; since 3.2 (SPARK-36052) it goes on.
func createsInBatches(version string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major < 3 || major == 3 && minor < 2
}

// readExecutors reads how many executors Spark begins with, and how many of them
// are kept where it gives idle ones back.
func readExecutors(r *reader) (count, least int) {
	elastic := r.readFlag("spec.dynamicAllocation.enabled") || r.readObject("spec.sparkConf")[sparkElastic] == "true"
	otherwise := 1
	if elastic {
		otherwise = 0
	}
	count = r.readNumber("spec.executor.instances", r.readConf(sparkInstances, otherwise))
	if !elastic {
		return count, count
	}
	least = r.readNumber("spec.dynamicAllocation.minExecutors", r.readConf(sparkMinExecutors, 0))
	return max(count, least, r.readNumber("spec.dynamicAllocation.initialExecutors", r.readConf(sparkInitialExecutors, 0))), least
}

// readConf reads a number of Spark's own configuration, which is text.
func (r *reader) readConf(key string, otherwise int) int {
	const where = "spec.sparkConf"
	switch value := r.readObject(where)[key].(type) {
	case nil:
	case string:
		if n, err := strconv.Atoi(value); err == nil && n >= 0 && n <= MaxPods {
			return n
		}
		r.recordProblem(where+"."+key, value, fmt.Sprintf("a number from 0 to %d", MaxPods))
	default:
		r.recordProblem(where+"."+key, value, "a number as text")
	}
	return otherwise
}

// layOutSparkApplication makes the driver and the executors that it begins with.
func layOutSparkApplication(r *reader, l *Layout) {
	if batch := r.readText("spec.batchScheduler"); batch != "" {
		makes := "makes the pods' group, and they have schedulerName " + quoteValue(batch)
		if batch == sparkWorkload {
			makes = "makes a PodGroup of scheduling.k8s.io/v1alpha2, which Muster does not read"
		}
		l.Notes = append(l.Notes, fmt.Sprintf("%s: with batchScheduler %s its operator %s: leave batchScheduler out, and put the label muster.sh/gang: auto "+
			"on driver and executor; planned without the group", r.describe(), quoteValue(batch), makes))
	}
	count, _ := readExecutors(r)
	driver := r.name() + "-" + sparkDriver
	of := r.controller()
	for _, set := range []PodSet{
		{Where: "spec." + sparkDriver, Owner: of, Name: driver, Single: true, Count: 1},
		{Where: "spec." + sparkExecutor, Owner: Owner{"v1", "Pod", driver}, Name: r.name() + "-exec", First: 1, Count: count},
	} {
		role := strings.TrimPrefix(set.Where, "spec.")
		set.Template = r.makeSparkTemplate(role)
		set.Labels = map[string]string{labelSparkApp: r.name(), labelSparkRole: role}
		l.Pods = append(l.Pods, set)
	}
}

// makeSparkTemplate is the template of a driver or an executor: the one that the
// user gives, with what the fields beside it ask for.
func (r *reader) makeSparkTemplate(role string) map[string]any {
	part := r.readPart("spec."+role, r.getValue("spec."+role))
	given := &reader{object: part.readObject("template"), path: part.path + ".template"}
	meta, spec := copyFields(given.readObject("metadata")), copyFields(given.readObject("spec"))
	for _, field := range []string{"labels", "annotations"} {
		meta[field] = copyFields(given.readObject("metadata."+field), part.readObject(field))
	}
	for _, field := range []string{"nodeSelector", "affinity", "tolerations", "schedulerName", "priorityClassName", "hostNetwork", "initContainers"} {
		if value := part.getValue(field); value != nil {
			spec[field] = value
		}
	}
	if batch := r.readText("spec.batchScheduler"); batch != "" && batch != sparkWorkload {
		spec["schedulerName"] = batch
	}
	main, containers := map[string]any{}, given.readList("spec.containers")
	if len(containers) > 0 {
		first := given.readPart("spec.containers[0]", containers[0])
		main, containers = copyFields(first.object), containers[1:]
	}
	main["name"], main["resources"] = "spark-kubernetes-"+role, r.makeSparkResources(part)
	spec["containers"] = slices.Concat([]any{main}, containers, part.readList("sidecars"))
	template := copyFields(given.object)
	template["metadata"], template["spec"] = meta, spec
	r.adoptProblem(part)
	r.adoptProblem(given)
	return template
}

// copyFields is a new object with the fields of others, the last of which count.
func copyFields(objects ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, object := range objects {
		maps.Copy(all, object)
	}
	return all
}

// makeSparkResources is what Spark requests for a driver or an executor.
func (r *reader) makeSparkResources(part *reader) map[string]any {
	const mebi = 1 << 20
	memory := part.readMemory("memory", 1024*mebi)
	overhead := max(int64(float64(memory)*r.overheadFactor()), 384*mebi)
	total := resource.NewQuantity(memory+part.readMemory("memoryOverhead", overhead), resource.BinarySI).String()
	requests := map[string]any{"cpu": int64(part.readNumber("cores", 1)), "memory": total}
	limits := map[string]any{"memory": total}
	if request := part.readText("coreRequest"); request != "" {
		requests["cpu"] = request
	}
	if limit := part.readText("coreLimit"); limit != "" {
		limits["cpu"] = limit
	}
	if name := part.readText("gpu.name"); name != "" {
		limits[name] = int64(part.readNumber("gpu.quantity", 0))
	}
	return map[string]any{"requests": requests, "limits": limits}
}

// overheadFactor is the part of its memory that a pod gets on top, more of it
// where Python or R runs beside the JVM.
func (r *reader) overheadFactor() float64 {
	const jvm, other = 0.1, 0.4
	text := r.readText("spec.memoryOverheadFactor")
	if factor, err := strconv.ParseFloat(text, 64); err == nil && factor >= 0 && factor < 100 {
		return factor
	} else if text != "" {
		r.recordProblem("spec.memoryOverheadFactor", text, "a number from 0 to 100")
	}
	if kind := r.readText("spec.type"); kind == "Python" || kind == "R" {
		return other
	}
	return jvm
}

// readMemory reads an amount of memory as Spark writes it: binary units of one
// letter, with a b or without, and MiB without any.
func (r *reader) readMemory(path string, otherwise int64) int64 {
	value := r.getValue(path)
	if value == nil {
		return otherwise
	}
	text, _ := value.(string)
	digits := strings.TrimRight(strings.ToLower(text), "kmgtpbi")
	unit := strings.TrimRight(strings.ToLower(text[len(digits):]), "bi")
	shift, known := map[string]int{"": 20, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}[unit]
	if strings.EqualFold(text[len(digits):], "b") {
		shift = 0
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64>>(shift+8) {
		r.recordProblem(path, value, "an amount of memory such as 8g")
		return otherwise
	}
	return n << shift
}
