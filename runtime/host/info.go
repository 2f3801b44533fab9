package host

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Info is what a machine is.
type Info struct {
	Hostname string
	// OS is the name that people know, Distro and DistroVersion what a script compares:
	// "Debian GNU/Linux 12 (bookworm)", "debian", "12". DistroLike are the families.
	OS            string
	Distro        string
	DistroVersion string
	DistroLike    []string
	Kernel        string
	// Arch is Go's word: amd64, arm64.
	Arch   string
	CPUs   int
	Memory int64 // bytes
	// MemoryAvailable is what can be had without swapping, in bytes.
	MemoryAvailable int64
	Uptime          time.Duration
	// Init is the name of process 1: systemd, init, openrc-init.
	Init string
	// Virtualization is wsl, lima, docker, podman, lxc, systemd-nspawn, kvm, … and ""
	// where none shows.
	Virtualization string
	// LSM are the security modules: apparmor, selinux. Selinux is enforcing,
	// permissive or "".
	LSM     []string
	Selinux string
	Cgroup  Cgroup
	// Program is the file that nsh runs from.
	Program string
	// Rootless is set when nsh does not run as root, or in a user namespace.
	Rootless      bool
	UserNamespace bool
}

// Cgroup is what a machine has of control groups.
type Cgroup struct {
	// Version is 2, 1, or 0 when none is mounted. Hybrid is version 1 with an empty
	// version 2 beside it.
	Version int
	Hybrid  bool
	// Path is ours below the mount point.
	Path string
	// Controllers are those of the root; Delegated those that a manager of this user's
	// may use: systemd gives cpu, cpuset and io only when told to (Delegate=).
	Controllers []string
	Delegated   []string
}

// Info asks the machine. What it does not tell stays empty.
func (t Tree) Info() Info {
	i := Info{Kernel: t.word("proc/sys/kernel/osrelease"), Hostname: t.word("proc/sys/kernel/hostname"), Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Init: t.word("proc/1/comm"), Rootless: os.Getuid() != 0}
	release := t.osRelease()
	i.OS, i.Distro, i.DistroVersion, i.DistroLike = release["PRETTY_NAME"], release["ID"], release["VERSION_ID"], strings.Fields(release["ID_LIKE"])
	lines, _ := t.lines("proc/meminfo")
	for _, l := range lines {
		if f := strings.Fields(l); len(f) >= 2 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			switch f[0] {
			case "MemTotal:":
				i.Memory = n << 10
			case "MemAvailable:":
				i.MemoryAvailable = n << 10
			}
		}
	}
	if s, _, _ := strings.Cut(t.word("proc/uptime"), " "); s != "" {
		if f, err := strconv.ParseFloat(s, 64); err == nil && f < 1e9 {
			i.Uptime = time.Duration(f * float64(time.Second))
		}
	}
	if list := t.word("sys/kernel/security/lsm"); list != "" {
		i.LSM = strings.Split(list, ",")
	}
	switch t.word("sys/fs/selinux/enforce") {
	case "1":
		i.Selinux = "enforcing"
	case "0":
		i.Selinux = "permissive"
	}
	// Outside of a user namespace all numbers are mapped to themselves.
	if f := strings.Fields(t.word("proc/self/uid_map")); len(f) > 0 && (len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295") {
		i.UserNamespace, i.Rootless = true, true
	}
	i.Virtualization = t.virtualization(i.Kernel)
	i.Cgroup = t.cgroup(os.Getuid())
	i.Program, _ = os.Executable()
	if i.Init == "" {
		i.Init = filepath.Base(t.word("proc/1/cmdline"))
	}
	return i
}

// osRelease reads os-release(5).
func (t Tree) osRelease() map[string]string {
	out := map[string]string{}
	lines, err := t.lines("etc/os-release")
	if err != nil {
		lines, _ = t.lines("usr/lib/os-release")
	}
	for _, l := range lines {
		k, v, ok := strings.Cut(l, "=")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
			v = v[1 : len(v)-1]
			v = strings.NewReplacer(`\"`, `"`, `\$`, "$", "\\`", "`", `\\`, `\`).Replace(v)
		}
		out[k] = v
	}
	return out
}

// virtualization tells what shows without asking the processor: the order is from
// the innermost.
func (t Tree) virtualization(kernel string) string {
	has := func(name string) bool { _, err := os.Lstat(t.path(name)); return err == nil }
	if v := t.word("run/systemd/container"); v != "" {
		return v
	}
	for l := range strings.SplitSeq(t.word("proc/1/environ"), "\x00") {
		if v, ok := strings.CutPrefix(l, "container="); ok && v != "" {
			return v
		}
	}
	switch {
	case has("run/.containerenv"):
		return "podman"
	case has(".dockerenv"):
		return "docker"
	case strings.Contains(strings.ToLower(kernel), "microsoft"):
		return "wsl"
	case has("run/lima-boot-done") || has("mnt/lima-cidata"):
		return "lima"
	}
	vendor := t.word("sys/class/dmi/id/sys_vendor")
	product := t.word("sys/class/dmi/id/product_name")
	for _, v := range []struct{ has, name string }{
		{"QEMU", "qemu"}, {"KVM", "kvm"}, {"VMware", "vmware"}, {"innotek", "virtualbox"}, {"VirtualBox", "virtualbox"}, {"Xen", "xen"},
		{"Virtual Machine", "hyperv"}, {"Amazon EC2", "amazon"}, {"Google", "google"}, {"Parallels", "parallels"}, {"Apple Virtualization", "apple"},
	} {
		if strings.Contains(vendor+" "+product, v.has) {
			return v.name
		}
	}
	lines, _ := t.lines("proc/cpuinfo")
	for _, l := range lines {
		if strings.HasPrefix(l, "flags") {
			if strings.Contains(l+" ", " hypervisor ") {
				return "vm"
			}
			break
		}
	}
	return ""
}

// cgroup looks at the mounts and at the manager of a user.
func (t Tree) cgroup(uid int) Cgroup {
	var c Cgroup
	mounts, _ := t.Mounts()
	root := ""
	for _, m := range mounts {
		switch m.Type {
		case "cgroup2":
			if root == "" {
				root = m.Target
			}
		case "cgroup":
			c.Version = 1
			for _, o := range m.Options {
				// Options of the file system that are no controllers.
				switch {
				case o == "rw" || o == "ro" || strings.HasPrefix(o, "no") || o == "relatime" || o == "xattr" || strings.Contains(o, "=") || o == "clone_children":
				default:
					c.Controllers = append(c.Controllers, o)
				}
			}
		}
	}
	switch {
	case c.Version == 1:
		c.Hybrid = root != ""
	case root != "":
		c.Version = 2
		c.Controllers = strings.Fields(t.word(filepath.Join(root, "cgroup.controllers")))
	}
	lines, _ := t.lines("proc/self/cgroup")
	for _, l := range lines {
		if f := strings.SplitN(l, ":", 3); len(f) == 3 && (f[0] == "0" || c.Path == "") {
			c.Path = f[2]
		}
	}
	switch {
	case c.Version == 2 && uid == 0:
		c.Delegated = c.Controllers
	case c.Version == 2:
		user := itoa(uid)
		c.Delegated = strings.Fields(t.word(filepath.Join(root, "user.slice/user-"+user+".slice/user@"+user+".service/cgroup.controllers")))
	case c.Version == 1 && uid == 0:
		c.Delegated = c.Controllers
	}
	return c
}

// Module is a part of the kernel.
type Module struct {
	Name string
	Size int64 // bytes; 0 for one that is built in
	// UsedBy are the modules that need it, Uses how many things do.
	UsedBy []string
	Uses   int
	// State is Live, Loading or Unloading, and Builtin for one that is no module.
	State string
}

// Modules are those that are loaded or built into the kernel, where it tells which.
// A module has underscores in its name here, however its file is called.
func (t Tree) Modules() ([]Module, error) {
	var out []Module
	lines, _ := t.lines("proc/modules") // not there in a kernel without modules
	for _, l := range lines {
		f := strings.Fields(l)
		if len(f) < 5 {
			continue
		}
		m := Module{Name: f[0], State: f[4]}
		m.Size, _ = strconv.ParseInt(f[1], 10, 64)
		m.Uses, _ = strconv.Atoi(f[2])
		for u := range strings.SplitSeq(f[3], ",") {
			if u != "" && u != "-" && !strings.HasPrefix(u, "[") {
				m.UsedBy = append(m.UsedBy, u)
			}
		}
		out = append(out, m)
	}
	lines, _ = t.lines("lib/modules/" + t.word("proc/sys/kernel/osrelease") + "/modules.builtin")
	for _, l := range lines {
		name, _, _ := strings.Cut(filepath.Base(l), ".ko")
		out = append(out, Module{Name: strings.ReplaceAll(name, "-", "_"), State: "Builtin"})
	}
	return out, nil
}

// Process is one of the machine's.
type Process struct {
	PID    int
	Parent int
	Name   string // as the kernel cuts it: 15 characters
	// Command is its argv; empty for a thread of the kernel.
	Command []string
	UID     int
	State   string // R, S, D, Z, T, …
	Memory  int64  // resident, in bytes
	Cgroup  string
}

// Processes are those that can be seen, by their number.
func (t Tree) Processes() ([]Process, error) {
	names, err := os.ReadDir(t.path("proc"))
	if err != nil {
		return nil, about(err, "list", t.path("proc"))
	}
	var out []Process
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		dir := "proc/" + n.Name()
		stat := t.word(dir + "/stat")
		// The name is in brackets and may have brackets in it.
		open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
		if open < 0 || end < open {
			continue // it has ended
		}
		p := Process{PID: pid, Name: stat[open+1 : end]}
		f := strings.Fields(stat[end+1:])
		if len(f) < 22 {
			continue
		}
		p.State = f[0]
		p.Parent, _ = strconv.Atoi(f[1])
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		p.Memory = pages * int64(os.Getpagesize())
		if cmdline, _ := t.read(dir + "/cmdline"); cmdline != "" {
			p.Command = strings.Split(strings.TrimRight(cmdline, "\x00"), "\x00")
		}
		if info, err := os.Stat(t.path(dir)); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				p.UID = int(st.Uid)
			}
		}
		lines, _ := t.lines(dir + "/cgroup")
		for _, l := range lines {
			if c, ok := strings.CutPrefix(l, "0::"); ok {
				p.Cgroup = c
			}
		}
		out = append(out, p)
	}
	// The directory is sorted by text.
	sortBy(out, func(p Process) int { return p.PID })
	return out, nil
}

// Disk is the room of a file system.
type Disk struct {
	Path       string
	Size       int64 // bytes
	Free       int64 // for a plain user, in bytes
	Inodes     int64
	InodesFree int64
	Filesystem string
}

// DiskOf gives the room where a resolved path lies.
func DiskOf(path string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Disk{}, about(&os.PathError{Op: "statfs", Path: path, Err: err}, "look at", path)
	}
	return Disk{Path: path, Size: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize, Inodes: int64(s.Files), InodesFree: int64(s.Ffree), Filesystem: filesystemOf(path)}, nil
}
