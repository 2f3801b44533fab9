package containerd

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	hostapparmor "github.com/containerd/containerd/v2/pkg/apparmor"
	"golang.org/x/sys/unix"

	"nsh/runtime/datastore"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
	"nsh/runtime/network"
	"nsh/runtime/system"
	"nsh/runtime/volume"
)

// System is system.Service on containerd.
type System struct {
	c      *client.Client
	s      engine.Settings
	store  *datastore.Store
	net    network.Attacher
	images *Images

	volumes volume.Store
}

var _ system.Service = (*System)(nil)

// Version asks containerd, and the programs beside it.
func (s *System) Version(ctx context.Context) (system.Version, error) {
	v, err := s.c.Version(ctx)
	if err != nil {
		return system.Version{}, noEngine(s.s.Address, err)
	}
	out := system.Version{Engine: "containerd", Version: v.Version, Revision: v.Revision}
	out.Components = append(out.Components, system.Component{Name: "containerd", Version: v.Version, Details: map[string]string{"GitCommit": v.Revision}})
	if c, ok := s.runc(ctx); ok {
		out.Components = append(out.Components, c)
	}
	return out, nil
}

// noEngine is docker's sentence for an engine that does not answer.
func noEngine(address string, err error) error {
	return fault.New(fault.Unavailable, "Cannot connect to the containerd daemon at unix://%s. Is containerd running?", address).
		WithCause(err).WithHint("see 'nsh engine status' and 'nsh engine logs'")
}

// runc is the one that the engine's shims find: the bundled one first.
func (s *System) runc(ctx context.Context) (system.Component, bool) {
	path := filepath.Join(filepath.Dir(s.s.Helper), "runc")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("runc"); err != nil {
			return system.Component{}, false
		}
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return system.Component{}, false
	}
	c := system.Component{Name: "runc", Details: map[string]string{}}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "runc version "); ok {
			c.Version = v
		}
		if v, ok := strings.CutPrefix(line, "commit: "); ok {
			c.Details["GitCommit"] = v
		}
	}
	return c, true
}

// Info describes the engine and the host.
func (s *System) Info(ctx context.Context) (system.Info, error) {
	var i system.Info
	v, err := s.c.Version(ctx)
	if err != nil {
		return i, noEngine(s.s.Address, err)
	}
	i.ServerVersion = v.Version
	if srv, err := s.c.Server(ctx); err == nil {
		i.ID = srv.UUID
	}
	plugins, err := s.c.IntrospectionService().Plugins(ctx)
	if err != nil {
		return i, fault.Wrap(err, "ask for the plugins of", "containerd")
	}
	for _, p := range plugins.Plugins {
		if p.Type == "io.containerd.snapshotter.v1" && p.InitErr == nil {
			i.StorageDrivers = append(i.StorageDrivers, p.ID)
		}
	}
	i.Native = map[string]any{"Version": v, "Plugins": plugins.Plugins}
	recs, err := s.c.ContainerService().List(ctx)
	if err != nil {
		return i, fault.Wrap(err, "list", "containers")
	}
	i.Containers = len(recs)
	if resp, err := s.c.TaskService().List(ctx, &tasks.ListTasksRequest{}); err == nil {
		for _, t := range resp.Tasks {
			switch t.Status {
			case task.Status_RUNNING:
				i.Running++
			case task.Status_PAUSED, task.Status_PAUSING:
				i.Paused++
			}
		}
	}
	i.Stopped = i.Containers - i.Running - i.Paused
	imgs, err := s.c.ImageService().List(ctx)
	if err != nil {
		return i, fault.Wrap(err, "list", "images")
	}
	i.Images = len(imgs)
	i.Driver = s.s.Snapshotter
	i.LogDrivers = []string{"json-file", "none"}
	i.Networks = network.Drivers()
	i.Runtimes, i.DefaultRuntime = []string{"io.containerd.runc.v2"}, "io.containerd.runc.v2"
	i.CgroupDriver, i.CgroupVersion = s.s.CgroupManager, "1"
	if cgroupV2() {
		i.CgroupVersion = "2"
	}
	i.DataRoot = s.s.DataRoot
	host(&i)
	return i, nil
}

// host fills what the kernel and /etc tell.
func host(i *system.Info) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		i.KernelVersion, i.Architecture = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])
	}
	i.Name, _ = os.Hostname()
	i.OSType, i.NCPU = goruntime.GOOS, goruntime.NumCPU()
	i.OperatingSystem = "linux"
	if f, err := os.Open("/etc/os-release"); err == nil {
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			if v, ok := strings.CutPrefix(sc.Text(), "PRETTY_NAME="); ok {
				i.OperatingSystem = strings.Trim(v, `"`)
			}
		}
		f.Close()
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				i.MemTotal = kb << 10
			}
		}
	}
	on := func(path string) bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.TrimSpace(string(data)) == "1"
	}
	there := func(v1, v2 string) bool {
		p := filepath.Join("/sys/fs/cgroup", v1)
		if i.CgroupVersion == "2" {
			data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
			return strings.Contains(" "+strings.TrimSpace(string(data))+" ", " "+v2+" ")
		}
		_, err := os.Stat(p)
		return err == nil
	}
	i.IPv4Forwarding = on("/proc/sys/net/ipv4/ip_forward")
	i.BridgeNfIptables = on("/proc/sys/net/bridge/bridge-nf-call-iptables")
	i.BridgeNfIP6tables = on("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
	i.MemoryLimit = there("memory/memory.limit_in_bytes", "memory")
	i.SwapLimit = swapAccounting()
	i.OomKillDisable = i.CgroupVersion == "1" && there("memory/memory.oom_control", "memory")
	i.CPUCfsPeriod = there("cpu/cpu.cfs_period_us", "cpu")
	i.CPUCfsQuota = there("cpu/cpu.cfs_quota_us", "cpu")
	i.CPUShares = there("cpu/cpu.shares", "cpu")
	i.CPUSet = there("cpuset/cpuset.cpus", "cpuset")
	i.PidsLimit = there("pids", "pids")
	if hostapparmor.HostSupports() {
		i.SecurityOptions = append(i.SecurityOptions, "name=apparmor")
	}
	if _, err := os.Stat("/proc/sys/kernel/seccomp"); err == nil {
		i.SecurityOptions = append(i.SecurityOptions, "name=seccomp,profile=builtin")
	}
	if i.CgroupVersion == "2" {
		i.SecurityOptions = append(i.SecurityOptions, "name=cgroupns")
	}
	for _, w := range []struct {
		ok   bool
		text string
	}{
		{i.MemoryLimit, "WARNING: No memory limit support"},
		{i.SwapLimit, "WARNING: No swap limit support"},
		{i.CPUCfsPeriod, "WARNING: No cpu cfs period support"},
		{i.CPUCfsQuota, "WARNING: No cpu cfs quota support"},
		{i.CPUShares, "WARNING: No cpu shares support"},
		{i.CPUSet, "WARNING: No cpuset support"},
		{i.IPv4Forwarding, "WARNING: IPv4 forwarding is disabled"},
	} {
		if !w.ok {
			i.Warnings = append(i.Warnings, w.text)
		}
	}
}
