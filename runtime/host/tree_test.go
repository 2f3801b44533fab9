package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes the files of a machine.
func tree(t *testing.T, files map[string]string) Tree {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Tree(dir)
}

// The files of an Ubuntu 24.04 with systemd, as a plain user meets it.
var ubuntu = map[string]string{
	"etc/os-release":                                        "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nID=ubuntu\nVERSION_ID=\"24.04\"\nID_LIKE=debian\n# a comment\n",
	"proc/sys/kernel/osrelease":                             "6.8.0-45-generic\n",
	"proc/sys/kernel/hostname":                              "box\n",
	"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
	"proc/sys/net/ipv4/ping_group_range":                    "0\t2147483647\n",
	"proc/sys/net/ipv4/conf/eth0.100/forwarding":            "1\n",
	"proc/1/comm":                                           "systemd\n",
	"proc/meminfo":                                          "MemTotal:        2030964 kB\nMemFree:          1 kB\nMemAvailable:    1530964 kB\n",
	"proc/uptime":                                           "61.50 100.00\n",
	"proc/self/uid_map":                                     "         0          0 4294967295\n",
	"proc/self/cgroup":                                      "0::/user.slice/user-1000.slice/session-2.scope\n",
	"proc/self/mountinfo":                                   "24 29 0:22 / /proc rw,nosuid shared:12 - proc proc rw\n29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root ro,discard\n35 24 0:30 / /sys/fs/cgroup rw shared:9 master:3 - cgroup2 cgroup2 rw,nsdelegate\n40 29 0:40 /sub /mnt/with\\040blank rw master:3 - nfs4 server:/home rw\n",
	"proc/modules":                                          "nf_tables 376832 2 nft_compat,nft_chain_nat, Live 0x0\nbr_netfilter 32768 0 - Live 0x0\n",
	"lib/modules/6.8.0-45-generic/modules.builtin":          "kernel/fs/overlayfs/overlay.ko\nkernel/net/ip-tables.ko\n",
	"sys/kernel/security/lsm":                               "lockdown,capability,yama,apparmor",
	"sys/fs/cgroup/cgroup.controllers":                      "cpuset cpu io memory pids\n",
	"sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers": "memory pids\n",
	"sys/class/dmi/id/sys_vendor": "QEMU\n",
	"etc/passwd":                  "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000:,,,:/home/alice:/bin/zsh\nbroken:x:1001\n",
	"etc/group":                   "root:x:0:\nsudo:x:27:alice,bob\nalice:x:1000:\ndocker:x:999:bob\n",
	"etc/subuid":                  "# comment:1:1\nalice:100000:65536\nbob:165535:10\n1000:300000:5\ncarol:1:1\nbad:-1:4\nalice:x:1\n",
	"etc/subgid":                  "alice:100000:65536\ndave:99999:2\n",
	"proc/42/stat":                "42 (a) b) S 1 42 42 0 -1 4194304 1 1 1 1 1 1 1 1 20 0 1 0 100 4096000 25 18446744073709551615\n",
	"proc/42/cmdline":             "a\x00--flag\x00",
	"proc/42/cgroup":              "0::/x.slice\n",
	"proc/7/stat":                 "7 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0 18446744073709551615\n",
}

func TestInfo(t *testing.T) {
	t.Parallel()
	tr := tree(t, ubuntu)
	i := tr.Info()
	i.Program, i.Arch, i.CPUs, i.Rootless = "", "", 0, false // of the machine that tests
	i.Cgroup.Delegated = nil
	got := fmt.Sprintf("%+v", i)
	const want = "{Hostname:box OS:Ubuntu 24.04.1 LTS Distro:ubuntu DistroVersion:24.04 DistroLike:[debian] Kernel:6.8.0-45-generic Arch: CPUs:0 Memory:2079707136 MemoryAvailable:1567707136 Uptime:1m1.5s Init:systemd Virtualization:qemu LSM:[lockdown capability yama apparmor] Selinux: Cgroup:{Version:2 Hybrid:false Path:/user.slice/user-1000.slice/session-2.scope Controllers:[cpuset cpu io memory pids] Delegated:[]} Program: Rootless:false UserNamespace:false}"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for uid, want := range map[int]string{0: "cpuset cpu io memory pids", 1000: "memory pids", 1001: ""} {
		if got := strings.Join(tr.cgroup(uid).Delegated, " "); got != want {
			t.Errorf("delegated to %d: %q, want %q", uid, got, want)
		}
	}
}

func TestVirtualization(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"proc/cpuinfo": "flags\t: fpu sse\n"}, ""},
		{map[string]string{"proc/cpuinfo": "flags\t: fpu hypervisor sse\n"}, "vm"},
		{map[string]string{"proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, "wsl"},
		{map[string]string{"run/.containerenv": ""}, "podman"},
		{map[string]string{"proc/1/environ": "A=b\x00container=systemd-nspawn\x00"}, "systemd-nspawn"},
		{map[string]string{"run/lima-boot-done": ""}, "lima"},
	} {
		if got := tree(t, tt.files).Info().Virtualization; got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.files, got, tt.want)
		}
	}
}

// Cgroup version 1 with an empty version 2 beside it.
func TestCgroupHybrid(t *testing.T) {
	t.Parallel()
	got := fmt.Sprintf("%+v", tree(t, map[string]string{
		"proc/self/mountinfo": "1 0 0:1 / /sys/fs/cgroup/memory rw,nosuid,relatime - cgroup cgroup rw,memory\n2 0 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n3 0 0:3 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n4 0 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		"proc/self/cgroup":    "2:cpu,cpuacct:/a\n1:memory:/a\n0::/b\n",
	}).cgroup(1000))
	if want := "{Version:1 Hybrid:true Path:/b Controllers:[memory cpu cpuacct] Delegated:[]}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	tr := tree(t, ubuntu)
	mounts := must[[]Mount](t)(tr.Mounts())
	modules := must[[]Module](t)(tr.Modules())
	processes := must[[]Process](t)(tr.Processes())
	for n := range processes {
		processes[n].UID = 0
	}
	alice := must[User](t)(tr.LookupUser(t.Context(), "alice"))
	for _, tt := range []struct{ got, want string }{
		{fmt.Sprintf("%+v", mounts), "[{Target:/proc Root:/ Source:proc Type:proc Options:[rw nosuid rw] Propagation:shared ReadOnly:false} {Target:/ Root:/ Source:/dev/root Type:ext4 Options:[rw relatime ro discard] Propagation:shared ReadOnly:true} {Target:/sys/fs/cgroup Root:/ Source:cgroup2 Type:cgroup2 Options:[rw rw nsdelegate] Propagation:shared ReadOnly:false} {Target:/mnt/with blank Root:/sub Source:server:/home Type:nfs4 Options:[rw rw] Propagation:slave ReadOnly:false}]"},
		{fmt.Sprintf("%+v", modules), "[{Name:nf_tables Size:376832 UsedBy:[nft_compat nft_chain_nat] Uses:2 State:Live} {Name:br_netfilter Size:32768 UsedBy:[] Uses:0 State:Live} {Name:overlay Size:0 UsedBy:[] Uses:0 State:Builtin} {Name:ip_tables Size:0 UsedBy:[] Uses:0 State:Builtin}]"},
		{fmt.Sprintf("%+v", processes), "[{PID:7 Parent:0 Name:kthreadd Command:[] UID:0 State:S Memory:0 Cgroup:} {PID:42 Parent:1 Name:a) b Command:[a --flag] UID:0 State:S Memory:102400 Cgroup:/x.slice}]"},
		{fmt.Sprintf("%+v", alice), "{Name:alice UID:1000 GID:1000 Home:/home/alice Shell:/bin/zsh Groups:[alice sudo]}"},
		{fmt.Sprintf("%+v", must[User](t)(tr.LookupUser(t.Context(), "1000"))), "{Name:alice UID:1000 GID:1000 Home:/home/alice Shell:/bin/zsh Groups:[alice sudo]}"},
		{fmt.Sprintf("%+v", must[SubIDs](t)(tr.SubIDs(t.Context(), alice))), "{User:alice UIDs:[{Start:100000 Count:65536} {Start:300000 Count:5}] GIDs:[{Start:100000 Count:65536}] UIDCount:65541 GIDCount:65536 Source:files Overlaps:[bob dave]}"},
		{fmt.Sprintf("%+v", parseGetsubids("0: alice 100000 65536\nnonsense\n")), "[{Start:100000 Count:65536}]"},
	} {
		if tt.got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", tt.got, tt.want)
		}
	}
	if _, err := tr.LookupUser(t.Context(), "nobody-at-all"); err == nil || err.Error() != "No such user: nobody-at-all" {
		t.Errorf("got %v", err)
	}
}

func TestSysctl(t *testing.T) {
	t.Parallel()
	tr := tree(t, ubuntu)
	for _, tt := range []struct{ name, want string }{
		{"kernel.apparmor_restrict_unprivileged_userns", "1"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1"},
		{"net.ipv4.conf.eth0/100.forwarding", "1"},
		{"net/ipv4/conf/eth0.100/forwarding", "1"},
		{"net.ipv4.ping_group_range", "0\t2147483647"},
		{"net.no.such", `read sysctl "net.no.such": this kernel has no such setting`},
		{"../../etc/passwd", `"../../etc/passwd" is no setting of the kernel`},
		{"kernel.//.//.//etc", `"kernel.//.//.//etc" is no setting of the kernel`},
		{"", `"" is no setting of the kernel`},
	} {
		got, err := tr.Sysctl(tt.name)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		value   string
		changed bool
	}{{"0 2147483647", false}, {"0 0", true}, {"0\t0", false}} {
		if changed, err := tr.SetSysctl("net.ipv4.ping_group_range", tt.value); err != nil || changed != tt.changed {
			t.Errorf("%s: got %v, %v", tt.value, changed, err)
		}
	}
	for _, tt := range []struct{ text, name, value, want string }{
		{"", "net.ipv4.ip_forward", "1", "net.ipv4.ip_forward = 1\n"},
		{"# mine\na.b=1\nnet.ipv4.ip_forward=0\nnet.ipv4.ip_forward = 0", "net/ipv4/ip_forward", "1", "# mine\na.b=1\nnet.ipv4.ip_forward = 1\n"},
		{"a.b=1", "net/ipv4/conf/eth0.100/forwarding", "1", "a.b=1\nnet/ipv4/conf/eth0.100/forwarding = 1\n"},
	} {
		if got := PersistSysctl(tt.text, tt.name, tt.value); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestStat(t *testing.T) {
	t.Parallel()
	dir := must[string](t)(Resolve(t.TempDir()))
	file := dir + "/f"
	if err := os.WriteFile(file, []byte("abc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("f", dir+"/l"); err != nil {
		t.Fatal(err)
	}
	f, l := must[File](t)(Stat(file)), must[File](t)(Stat(dir+"/l"))
	if got := fmt.Sprintf("%s %d %#o %v %v %v %s>%s", f.Type, f.Size, f.Mode, f.Setuid, f.Executable, f.Inode > 0, l.Type, l.Target); got != "file 3 04755 true true true link>f" {
		t.Error(got)
	}
	if got := must[File](t)(Stat("/proc/version")).Filesystem; got != "proc" {
		t.Errorf("/proc/version lies on %q", got)
	}
	// As setcap cap_setuid,cap_perfmon+ep writes it.
	data := []byte{1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0}
	if got := fmt.Sprint(fileCapabilities(data), fileCapabilities(data[:10])); got != "[cap_setuid cap_perfmon] []" {
		t.Error(got)
	}
}
