package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	hostapparmor "github.com/containerd/containerd/v2/pkg/apparmor"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

func ociSpec(c containers.Container) (*specs.Spec, error) {
	var s specs.Spec
	if c.Spec == nil {
		return nil, fault.New(fault.Invalid, "container %s has no OCI spec", container.ShortID(c.ID))
	}
	if err := json.Unmarshal(c.Spec.GetValue(), &s); err != nil {
		return nil, fault.Wrap(err, "read the OCI spec of container", container.ShortID(c.ID))
	}
	return &s, nil
}

// defaultPath is docker's PATH for images that set none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// oci makes the OCI runtime spec. containerd's defaults are the base, less what
// docker does not do: no_new_privileges, the limit of 1024 open files, the tmpfs
// on /run. Without known accounts the user is left at root, for a spec that
// will be made anew.
func (c *creation) oci(ctx context.Context, args []string, acc accounts, known bool) (*specs.Spec, error) {
	ctx = namespaces.WithNamespace(ctx, c.store.Namespace)
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: c.id})
	if err != nil {
		return nil, fault.Wrap(err, "make the OCI spec of container", c.spec.Name)
	}
	p := s.Process
	p.NoNewPrivileges = c.spec.Security.NoNewPrivileges
	p.Rlimits = nil
	p.Args = args
	p.Terminal = c.spec.TTY
	p.Cwd = "/"
	if c.cfg.WorkingDir != "" {
		p.Cwd = c.cfg.WorkingDir
	}
	if c.spec.WorkDir != "" {
		p.Cwd = c.spec.WorkDir
	}
	if !filepath.IsAbs(p.Cwd) {
		return nil, fault.New(fault.Invalid, "the working directory '%s' is invalid, it needs to be an absolute path", p.Cwd)
	}
	s.Root.Path = "rootfs"
	if c.spec.Rootfs {
		if s.Root.Path, err = filepath.Abs(c.spec.Image); err != nil {
			return nil, err
		}
	}
	s.Root.Readonly = c.spec.ReadOnly
	user := c.spec.User
	if user == "" {
		user = c.cfg.User
	}
	if known {
		if p.User, err = acc.user(user, c.spec.Groups); err != nil {
			return nil, err
		}
	}
	if c.spec.Umask != "" {
		n, err := strconv.ParseUint(c.spec.Umask, 8, 32)
		if err != nil {
			return nil, fault.New(fault.Invalid, "invalid umask %q: it is an octal number such as 0022", c.spec.Umask)
		}
		mask := uint32(n)
		p.User.Umask = &mask
	}
	c.env(s)
	steps := []func(*specs.Spec) error{c.namespaces, c.mounts, c.resources, c.security, c.devices, c.limits, c.system, c.hooks}
	for _, step := range steps {
		if err := step(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// env is docker's order: PATH and HOSTNAME, TERM for a terminal, the image's,
// then what was given. HOME is set by the runtime from the passwd file.
func (c *creation) env(s *specs.Spec) {
	env := []string{defaultPath}
	if c.spec.Hostname != "" {
		env = append(env, "HOSTNAME="+c.spec.Hostname)
	}
	if c.spec.TTY {
		env = append(env, "TERM=xterm")
	}
	env = container.MergeEnv(env, c.cfg.Env)
	s.Process.Env = container.MergeEnv(env, c.spec.Env)
}

func setNamespace(s *specs.Spec, t specs.LinuxNamespaceType, path string) {
	for i := range s.Linux.Namespaces {
		if s.Linux.Namespaces[i].Type == t {
			s.Linux.Namespaces[i].Path = path
			return
		}
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: t, Path: path})
}

func dropNamespace(s *specs.Spec, t specs.LinuxNamespaceType) {
	kept := s.Linux.Namespaces[:0]
	for _, n := range s.Linux.Namespaces {
		if n.Type != t {
			kept = append(kept, n)
		}
	}
	s.Linux.Namespaces = kept
}

// joined finds the process of the container whose namespace is to be shared.
func (c *creation) joined(what, mode string) (int, error) {
	ref := strings.TrimPrefix(mode, "container:")
	f, err := c.find(context.Background(), ref)
	if err != nil {
		return 0, err
	}
	if f.task == nil || f.task.Pid == 0 || !alive(c.value(f).Status) {
		return 0, fault.New(fault.Conflict, "cannot join %s of a non running container: %s", what, container.ShortID(f.ID)).WithHint("start it first: start %s", ref)
	}
	return int(f.task.Pid), nil
}

func (c *creation) namespaces(s *specs.Spec) error {
	net := c.networks()[0]
	switch {
	case net == "host":
		dropNamespace(s, specs.NetworkNamespace)
	case strings.HasPrefix(net, "container:"):
		pid, err := c.joined("network", net)
		if err != nil {
			return err
		}
		setNamespace(s, specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", pid))
	case strings.HasPrefix(net, "ns:"):
		setNamespace(s, specs.NetworkNamespace, strings.TrimPrefix(net, "ns:"))
	}
	switch {
	case c.spec.PidMode == "host":
		dropNamespace(s, specs.PIDNamespace)
	case strings.HasPrefix(c.spec.PidMode, "container:"):
		pid, err := c.joined("PID namespace", c.spec.PidMode)
		if err != nil {
			return err
		}
		setNamespace(s, specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", pid))
	case c.spec.PidMode != "" && c.spec.PidMode != "private":
		return fault.New(fault.Invalid, "--pid: invalid PID mode")
	}
	switch c.spec.UTSMode {
	case "":
		s.Hostname, s.Domainname = c.spec.Hostname, c.spec.Domainname
	case "host":
		dropNamespace(s, specs.UTSNamespace)
	default:
		return fault.New(fault.Invalid, "--uts: invalid UTS mode")
	}
	switch m := c.spec.IPCMode; {
	case m == "", m == "private", m == "shareable":
	case m == "host":
		dropNamespace(s, specs.IPCNamespace)
	case strings.HasPrefix(m, "container:"):
		pid, err := c.joined("IPC", m)
		if err != nil {
			return err
		}
		setNamespace(s, specs.IPCNamespace, fmt.Sprintf("/proc/%d/ns/ipc", pid))
	default:
		return fault.New(fault.Invalid, "--ipc: invalid IPC mode: %s", m)
	}
	mode := c.spec.CgroupNS
	if mode == "" {
		mode = "host"
		if cgroupV2() {
			mode = "private"
		}
	}
	switch mode {
	case "private":
		setNamespace(s, specs.CgroupNamespace, "")
	case "host":
		dropNamespace(s, specs.CgroupNamespace)
	default:
		return fault.New(fault.Invalid, "invalid cgroup namespace mode %q: it is host or private", mode)
	}
	if c.spec.UsernsMode != "" && c.spec.UsernsMode != "host" {
		return fault.New(fault.Invalid, "invalid user namespace mode %q: it is host, or left out", c.spec.UsernsMode)
	}
	return nil
}

func cgroupV2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// shmSize is docker's default for /dev/shm.
const shmSize = 64 << 20

func (c *creation) mounts(s *specs.Spec) error {
	kept := s.Mounts[:0]
	for _, m := range s.Mounts {
		switch m.Destination {
		case "/run":
			continue
		case "/dev/shm":
			size := c.spec.ShmSize
			if size == 0 {
				size = shmSize
			}
			m.Options = []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", size)}
			if c.spec.IPCMode == "host" {
				m = specs.Mount{Destination: "/dev/shm", Type: "bind", Source: "/dev/shm", Options: []string{"rbind"}}
			} else if ref, ok := strings.CutPrefix(c.spec.IPCMode, "container:"); ok {
				pid, err := c.joined("IPC", ref)
				if err != nil {
					return err
				}
				m = specs.Mount{Destination: "/dev/shm", Type: "bind", Source: fmt.Sprintf("/proc/%d/root/dev/shm", pid), Options: []string{"rbind"}}
			}
		case "/proc":
			if c.spec.PidMode == "host" {
				m = specs.Mount{Destination: "/proc", Type: "bind", Source: "/proc", Options: []string{"rbind", "nosuid", "noexec", "nodev"}}
			}
		case "/sys":
			// Without a network namespace of its own a container may not mount sysfs.
			if c.hostNetwork() && c.s.Rootless {
				m = specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "ro", "nosuid", "noexec", "nodev"}}
			}
		}
		kept = append(kept, m)
	}
	s.Mounts = kept
	cg := "ro"
	if c.spec.Security.WritableCgroups || c.spec.Security.Privileged {
		cg = "rw"
	}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{cg, "nosuid", "noexec", "nodev"}})
	for _, f := range []struct{ dst, src string }{
		{"/etc/resolv.conf", filepath.Join(c.dir, "resolv.conf")},
		{"/etc/hostname", filepath.Join(c.dir, "hostname")},
		{"/etc/hosts", c.hosts.Path(c.id)},
	} {
		if !c.mounted(f.dst) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: f.dst, Type: "bind", Source: f.src, Options: []string{"rbind", "rprivate"}})
		}
	}
	for i := range c.mountPoints {
		m, err := ociMount(&c.mountPoints[i])
		if err != nil {
			return err
		}
		s.Mounts = append(s.Mounts, m)
	}
	// A mount below another must come after it.
	n := len(s.Mounts) - len(c.mountPoints)
	own := s.Mounts[n:]
	sort.SliceStable(own, func(i, j int) bool {
		return strings.Count(own[i].Destination, "/") < strings.Count(own[j].Destination, "/")
	})
	return nil
}

func (c *creation) mounted(dst string) bool {
	for _, m := range c.mountPoints {
		if m.Destination == dst {
			return true
		}
	}
	return false
}

func ociMount(m *container.Mount) (specs.Mount, error) {
	out := specs.Mount{Destination: m.Destination, Source: m.Source}
	var opts []string
	for _, o := range strings.Split(m.Mode, ",") {
		if o != "" {
			opts = append(opts, o)
		}
	}
	switch m.Type {
	case "bind", "volume":
		out.Type = "bind"
		out.Options = []string{"rbind"}
		prop := m.Propagation
		if prop == "" {
			prop = "rprivate"
		}
		for _, o := range opts {
			switch o {
			case "bind":
				out.Options[0] = "bind"
			case "rbind", "rw", "ro", "rro", "z", "Z", "nocopy":
			default:
				return out, fault.New(fault.Invalid, "invalid mode: %s", m.Mode)
			}
		}
		out.Options = append(out.Options, prop)
		if !m.RW {
			out.Options = append(out.Options, "ro")
		}
	case "tmpfs":
		out.Type, out.Source = "tmpfs", "tmpfs"
		out.Options = append([]string{"nosuid", "nodev", "noexec"}, opts...)
		for _, o := range opts {
			// exec, suid and dev undo docker's defaults
			if o == "exec" || o == "suid" || o == "dev" {
				out.Options = without(out.Options, "no"+o)
			}
		}
		if !m.RW {
			out.Options = append(out.Options, "ro")
		}
	default:
		return out, fault.New(fault.Invalid, "mounts of type %q are not built yet", m.Type)
	}
	return out, nil
}

func without(list []string, word string) []string {
	out := list[:0]
	for _, w := range list {
		if w != word {
			out = append(out, w)
		}
	}
	return out
}

func (c *creation) resources(s *specs.Spec) error {
	r := c.spec.Resources
	res := s.Linux.Resources
	cpu := &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if err := r.Check(); err != nil {
		return err
	}
	if r.CPUs > 0 {
		period, quota := uint64(100000), int64(r.CPUs*100000)
		cpu.Period, cpu.Quota = &period, &quota
	}
	if r.CPUPeriod != 0 {
		cpu.Period = &r.CPUPeriod
	}
	if r.CPUQuota > 0 {
		cpu.Quota = &r.CPUQuota
	}
	if r.CPUShares != 0 {
		cpu.Shares = &r.CPUShares
	}
	if r.CPURealtimePeriod != 0 {
		cpu.RealtimePeriod = &r.CPURealtimePeriod
	}
	if r.CPURealtimeRuntime != 0 {
		cpu.RealtimeRuntime = &r.CPURealtimeRuntime
	}
	if *cpu != (specs.LinuxCPU{}) {
		res.CPU = cpu
	}
	mem := &specs.LinuxMemory{}
	if r.Memory != 0 {
		mem.Limit = &r.Memory
		swap := r.MemorySwap
		if swap == 0 {
			swap = 2 * r.Memory
		}
		if swapAccounting() {
			mem.Swap = &swap
		}
	}
	if r.MemoryReservation != 0 {
		mem.Reservation = &r.MemoryReservation
	}
	if r.MemorySwappiness != nil && *r.MemorySwappiness >= 0 {
		n := uint64(*r.MemorySwappiness)
		mem.Swappiness = &n
	}
	if r.OOMKillDisable {
		mem.DisableOOMKiller = &r.OOMKillDisable
	}
	if *mem != (specs.LinuxMemory{}) {
		res.Memory = mem
	}
	if r.PidsLimit > 0 {
		res.Pids = &specs.LinuxPids{Limit: &r.PidsLimit}
	}
	if r.OOMScoreAdj != nil {
		s.Process.OOMScoreAdj = r.OOMScoreAdj
	}
	if len(r.CgroupConf) > 0 {
		res.Unified = r.CgroupConf
	}
	if r.CgroupParent != "" {
		s.Linux.CgroupsPath = filepath.Join("/", r.CgroupParent, c.id)
	}
	if c.s.CgroupManager == "systemd" {
		parent := r.CgroupParent
		if parent == "" {
			parent = "system.slice"
			if c.s.Rootless {
				parent = "user.slice"
			}
		}
		s.Linux.CgroupsPath = parent + ":nerdctl:" + c.id
	}
	if r.RDTClass != "" {
		s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: r.RDTClass}
	}
	return c.blockIO(res)
}

// swapAccounting tells whether the kernel can limit swap: cgroup v2 always, v1
// when it was booted so.
func swapAccounting() bool {
	if cgroupV2() {
		return true
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	return err == nil
}

func (c *creation) blockIO(res *specs.LinuxResources) error {
	r := c.spec.Resources
	b := &specs.LinuxBlockIO{}
	used := false
	if r.BlkioWeight != 0 {
		if r.BlkioWeight < 10 || r.BlkioWeight > 1000 {
			return fault.New(fault.Invalid, "range of blkio weight is from 10 to 1000")
		}
		b.Weight, used = &r.BlkioWeight, true
	}
	for _, d := range r.BlkioWeightDevice {
		path, val, ok := strings.Cut(d, ":")
		n, err := strconv.ParseUint(val, 10, 16)
		if !ok || err != nil || n != 0 && (n < 10 || n > 1000) {
			return fault.New(fault.Invalid, "invalid weight for device: %s", d)
		}
		major, minor, err := deviceNumber(path)
		if err != nil {
			return err
		}
		w := specs.LinuxWeightDevice{}
		w.Major, w.Minor = major, minor
		weight := uint16(n)
		w.Weight = &weight
		b.WeightDevice, used = append(b.WeightDevice, w), true
	}
	throttle := func(list []string, bytes bool) (out []specs.LinuxThrottleDevice, err error) {
		for _, d := range list {
			path, val, ok := strings.Cut(d, ":")
			if !ok {
				return nil, fault.New(fault.Invalid, "bad format: %s", d)
			}
			var n int64
			if bytes {
				n, err = units.RAMInBytes(val)
			} else {
				n, err = strconv.ParseInt(val, 10, 64)
			}
			if err != nil || n < 0 {
				return nil, fault.New(fault.Invalid, "invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]", d)
			}
			major, minor, err := deviceNumber(path)
			if err != nil {
				return nil, err
			}
			t := specs.LinuxThrottleDevice{Rate: uint64(n)}
			t.Major, t.Minor = major, minor
			out = append(out, t)
			used = true
		}
		return out, nil
	}
	var err error
	for _, t := range []struct {
		list  []string
		bytes bool
		to    *[]specs.LinuxThrottleDevice
	}{
		{r.DeviceReadBps, true, &b.ThrottleReadBpsDevice},
		{r.DeviceWriteBps, true, &b.ThrottleWriteBpsDevice},
		{r.DeviceReadIOps, false, &b.ThrottleReadIOPSDevice},
		{r.DeviceWriteIOps, false, &b.ThrottleWriteIOPSDevice},
	} {
		if *t.to, err = throttle(t.list, t.bytes); err != nil {
			return err
		}
	}
	if used {
		res.BlockIO = b
	}
	return nil
}

func (c *creation) security(s *specs.Spec) error {
	sec := c.spec.Security
	caps := s.Process.Capabilities
	set := caps.Bounding
	if sec.Privileged {
		all, err := cap.Current()
		if err != nil {
			return fault.Wrap(err, "read the capabilities of", "nsh")
		}
		set = all
	}
	var err error
	if set, err = tweakCaps(set, sec.CapAdd, sec.CapDrop); err != nil {
		return err
	}
	caps.Bounding, caps.Effective, caps.Permitted = set, set, set
	caps.Inheritable, caps.Ambient = nil, nil

	if sec.UnmaskedPaths || sec.Privileged {
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	}
	if sec.Privileged {
		for i := range s.Mounts {
			if m := &s.Mounts[i]; m.Destination == "/sys" || m.Destination == "/sys/fs/cgroup" {
				m.Options = append(without(m.Options, "ro"), "rw")
			}
		}
	}
	switch {
	case sec.Seccomp == "unconfined", sec.Seccomp == "" && sec.Privileged:
	case sec.Seccomp == "" || sec.Seccomp == "builtin":
		s.Linux.Seccomp = seccomp.DefaultProfile(s)
	default:
		data, err := os.ReadFile(sec.Seccomp)
		if err != nil {
			return fault.New(fault.Invalid, "opening seccomp profile (%s) failed: %s", sec.Seccomp, err)
		}
		s.Linux.Seccomp = &specs.LinuxSeccomp{}
		if err := json.Unmarshal(data, s.Linux.Seccomp); err != nil {
			return fault.New(fault.Invalid, "decoding seccomp profile failed: %s", err)
		}
	}
	if hostapparmor.HostSupports() && !sec.Privileged && sec.AppArmor != "unconfined" {
		profile := sec.AppArmor
		if profile == "" {
			profile = "nerdctl-default"
			if err := apparmor.LoadDefaultProfile(profile); err != nil {
				return fault.Wrap(err, "load AppArmor profile", profile)
			}
		}
		s.Process.ApparmorProfile = profile
	} else if sec.AppArmor != "" && sec.AppArmor != "unconfined" && !hostapparmor.HostSupports() {
		return fault.New(fault.Invalid, "AppArmor is not supported on this host, but the profile '%s' was specified", sec.AppArmor)
	}
	for _, l := range sec.Label {
		if !c.s.SelinuxEnabled && l != "disable" {
			return fault.New(fault.Invalid, "--security-opt label=%s needs SELinux", l).WithHint("turn it on with --selinux-enabled")
		}
	}
	return nil
}

func tweakCaps(base, add, drop []string) ([]string, error) {
	known := map[string]bool{}
	for _, k := range cap.Known() {
		known[k] = true
	}
	norm := func(list []string) (map[string]bool, error) {
		out := map[string]bool{}
		for _, w := range list {
			k := strings.ToUpper(w)
			if k != "ALL" && !strings.HasPrefix(k, "CAP_") {
				k = "CAP_" + k
			}
			if k != "ALL" && !known[k] {
				return nil, fault.New(fault.Invalid, "invalid capability: unknown capability: %q", k)
			}
			out[k] = true
		}
		return out, nil
	}
	a, err := norm(add)
	if err != nil {
		return nil, err
	}
	d, err := norm(drop)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, k := range base {
		have[k] = true
	}
	var out []string
	for _, k := range cap.Known() {
		on := have[k] || a["ALL"]
		if d["ALL"] && !a["ALL"] {
			on = false
		}
		if a[k] {
			on = true
		}
		if d[k] {
			on = false
		}
		if on {
			out = append(out, k)
		}
	}
	return out, nil
}

func (c *creation) devices(s *specs.Spec) error {
	none := oci.Client(nil)
	if c.spec.Security.Privileged && !c.spec.Security.PrivilegedNoDevices {
		if err := oci.WithHostDevices(context.Background(), none, nil, s); err != nil {
			return fault.Wrap(err, "list the devices of", "the host")
		}
		return oci.WithAllDevicesAllowed(context.Background(), none, nil, s)
	}
	if err := oci.WithDefaultUnixDevices(context.Background(), none, nil, s); err != nil {
		return err
	}
	for _, d := range c.spec.Resources.Devices {
		if err := oci.WithDevices(d.Host, d.Container, d.Permissions)(context.Background(), none, nil, s); err != nil {
			return fault.New(fault.Invalid, "error gathering device information while adding custom device %q: %s", d.Host, err)
		}
	}
	return nil
}

func (c *creation) limits(s *specs.Spec) error {
	for _, u := range c.spec.Ulimits {
		s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: u.Soft, Hard: u.Hard})
	}
	if len(c.spec.Sysctls) > 0 {
		s.Linux.Sysctl = c.spec.Sysctls
	}
	return nil
}

// system is for containers whose first process is systemd.
func (c *creation) system(s *specs.Spec) error {
	switch c.spec.Systemd {
	case "", "false":
		return nil
	case "true":
		switch s.Process.Args[0] {
		case "/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init":
		default:
			return nil
		}
	case "always":
	default:
		return fault.New(fault.Invalid, "invalid --systemd %q: it is false, true or always", c.spec.Systemd)
	}
	for _, dir := range []string{"/run", "/run/lock", "/tmp", "/var/lib/journal"} {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: []string{"rw", "rprivate", "nosuid", "nodev", "tmpcopyup"}})
	}
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/sys/fs/cgroup" {
			s.Mounts[i].Options = append(without(s.Mounts[i].Options, "ro"), "rw")
		}
	}
	if c.spec.StopSignal == "" {
		c.rec.Labels[labelStopSignal] = "SIGRTMIN+3"
	}
	return nil
}

// hooks connect and disconnect the network of containers that have one, and say
// where that is written. The environment of the caller goes nowhere.
func (c *creation) hooks(s *specs.Spec) error {
	s.Annotations = map[string]string{}
	for k, v := range c.spec.Annotations {
		s.Annotations[k] = v
	}
	for k, v := range c.rec.Labels {
		if strings.HasPrefix(k, "nerdctl/") {
			s.Annotations[k] = v
		}
	}
	if c.spec.Init {
		bin := c.spec.InitBinary
		if bin == "" {
			bin = "tini"
		}
		path, err := lookInit(bin)
		if err != nil {
			return err
		}
		s.Process.Args = append([]string{"/sbin/docker-init", "--"}, s.Process.Args...)
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sbin/docker-init", Type: "bind", Source: path, Options: []string{"bind", "ro"}})
	}
	if !cniNetwork(c.networks()) && c.spec.PidFile == "" {
		return nil
	}
	program := filepath.Join(filepath.Dir(c.s.Helper), "nsh-hook")
	hook := func(event string) specs.Hook {
		args := []string{program, "--cni-path", c.s.CNIPath, "--cni-netconfpath", c.s.CNINetconfPath}
		if c.s.BridgeIP != "" {
			args = append(args, "--bridge-ip", c.s.BridgeIP)
		}
		return specs.Hook{Path: program, Args: append(args, event), Env: []string{defaultPath}}
	}
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{hook("createRuntime")}, Poststop: []specs.Hook{hook("postStop")}}
	return nil
}
