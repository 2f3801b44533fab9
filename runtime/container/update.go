package container

import (
	"reflect"

	"nsh/runtime/fault"
)

// minMemory is docker's floor (moby, daemon/daemon_unix.go, linuxMinMemory).
const minMemory = 6 << 20

// Check tells whether the limits go together, in docker's words. Whether the kernel
// takes them is seen when they are set.
func (r Resources) Check() error {
	bad := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case r.CPUs > 0 && (r.CPUPeriod != 0 || r.CPUQuota > 0):
		return bad("conflicting options: Nano CPUs and CPU Period cannot both be set")
	case r.Memory != 0 && r.Memory < minMemory:
		return bad("Minimum memory limit allowed is 6MB")
	case r.Memory != 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return bad("Minimum memoryswap limit should be larger than memory limit, see usage")
	case r.Memory == 0 && r.MemorySwap > 0:
		return bad("You should always set the Memory limit when using Memoryswap limit, see usage")
	case r.Memory > 0 && r.MemoryReservation > r.Memory:
		return bad("Minimum memory limit can not be less than memory reservation limit, see usage")
	case r.MemorySwappiness != nil && *r.MemorySwappiness > 100:
		return bad("invalid value: %d, valid memory swappiness range is 0-100", *r.MemorySwappiness)
	case r.OOMScoreAdj != nil && (*r.OOMScoreAdj < -1000 || *r.OOMScoreAdj > 1000):
		return bad("invalid value %d, range for oom score adj is [-1000, 1000]", *r.OOMScoreAdj)
	}
	return nil
}

// Updatable tells whether a difference can be made good without a new container: a
// limit that is there, or put there, with another value.
func Updatable(d Difference) bool {
	switch d.Name {
	case "blkio_weight", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset_cpus", "cpuset_mems",
		"memory", "memory_reservation", "memory_swap", "pids_limit":
		return d.To != ""
	}
	return false
}

// Update is what `update` changes of a container: its limits. The zero value of a
// field leaves that limit as it is, as docker's flags do.
type Update struct {
	Resources Resources
}

// Apply puts the limits that are given over those of r.
func (u Update) Apply(r *Resources) {
	from, to := reflect.ValueOf(u.Resources), reflect.ValueOf(r).Elem()
	for i := range from.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	// The two ways to limit the processor exclude each other.
	switch {
	case u.Resources.CPUs != 0:
		r.CPUPeriod, r.CPUQuota = 0, 0
	case u.Resources.CPUPeriod != 0 || u.Resources.CPUQuota != 0:
		r.CPUs = 0
	}
}

// ResourceDifferences compares limits.
func ResourceDifferences(have, want Resources) []Difference {
	a, b := Spec{Resources: have}.Settings(Base{}), Spec{Resources: want}.Settings(Base{})
	is := map[string]string{}
	for _, d := range a {
		is[d.Name] = d.To
	}
	var out []Difference
	for _, d := range b {
		if is[d.Name] != d.To {
			out = append(out, Difference{Name: d.Name, From: is[d.Name], To: d.To})
		}
		delete(is, d.Name)
	}
	for _, d := range a {
		if from, ok := is[d.Name]; ok {
			out = append(out, Difference{Name: d.Name, From: from})
		}
	}
	return out
}
