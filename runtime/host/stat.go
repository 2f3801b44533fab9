package host

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// File is what is known of a file without reading it.
type File struct {
	Path string
	// Type is file, directory, link, pipe, socket or device.
	Type   string
	Size   int64
	Mode   int // with setuid, setgid and sticky: 0o4755
	Setuid bool
	UID    int
	GID    int
	// Target is what a link leads to, as it is written in it.
	Target   string
	Modified time.Time
	Inode    uint64
	Device   uint64
	// Capabilities that a program gets when it is executed: "cap_setuid".
	Capabilities []string
	// Filesystem is the type of what it lies on: ext4, nfs, overlay.
	Filesystem string
	// Executable tells whether we may execute it, Writable whether we may write it.
	Executable bool
	Writable   bool
}

// Stat looks at a path from [ResolveParent], and at a link itself.
func Stat(path string) (File, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return File{}, about(&fs.PathError{Op: "stat", Path: path, Err: err}, "look at", path)
	}
	f := File{Path: path, Type: typeOf(modeOf(st.Mode)), Size: st.Size, Mode: int(st.Mode & 0o7777), Setuid: st.Mode&unix.S_ISUID != 0,
		UID: int(st.Uid), GID: int(st.Gid), Inode: st.Ino, Device: st.Dev, Modified: time.Unix(st.Mtim.Unix())}
	if f.Type == "link" {
		f.Target, _ = os.Readlink(path)
		return f, nil
	}
	value := make([]byte, 64)
	if n, err := unix.Lgetxattr(path, "security.capability", value); err == nil {
		f.Capabilities = fileCapabilities(value[:n])
	}
	f.Filesystem = filesystemOf(path)
	f.Executable = unix.Access(path, unix.X_OK) == nil
	f.Writable = unix.Access(path, unix.W_OK) == nil
	return f, nil
}

// fileCapabilities reads struct vfs_cap_data (linux/capability.h): a magic number,
// then two words each of what is permitted and what can be inherited.
func fileCapabilities(data []byte) []string {
	if len(data) < 20 {
		return nil
	}
	set := uint64(binary.LittleEndian.Uint32(data[4:])) | uint64(binary.LittleEndian.Uint32(data[12:]))<<32
	var out []string
	for n := range 64 {
		if set&(1<<n) == 0 {
			continue
		}
		name := fmt.Sprintf("cap_%d", n)
		if n < len(capabilities) {
			name = "cap_" + capabilities[n]
		}
		out = append(out, name)
	}
	return out
}

// capabilities in the order of their numbers (linux/capability.h).
var capabilities = [...]string{"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio",
	"sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
	"lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
	"perfmon", "bpf", "checkpoint_restore"}

// Mount is one entry of the mount table.
type Mount struct {
	Target string
	// Root is the part of the file system that is mounted: "/" is all of it.
	Root    string
	Source  string
	Type    string
	Options []string // of the mount, then of the file system
	// Propagation is shared, slave, private or unbindable.
	Propagation string
	ReadOnly    bool
}

// Mounts are those of our mount namespace, in the order they were made.
func (t Tree) Mounts() ([]Mount, error) {
	text, err := t.read("proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
	if err != nil {
		return nil, fault.Wrap(err, "read", "/proc/self/mountinfo")
	}
	out := make([]Mount, len(list))
	for i, m := range list {
		out[i] = Mount{Target: m.Mountpoint, Root: m.Root, Source: m.Source, Type: m.FSType, Propagation: "private"}
		for _, o := range strings.Split(m.Options+","+m.VFSOptions, ",") {
			if o == "ro" {
				out[i].ReadOnly = true
			}
			if o != "" {
				out[i].Options = append(out[i].Options, o)
			}
		}
		for _, o := range strings.Fields(m.Optional) {
			if name, _, _ := strings.Cut(o, ":"); name == "shared" || name == "unbindable" || name == "master" && out[i].Propagation != "shared" {
				out[i].Propagation = strings.Replace(name, "master", "slave", 1)
			}
		}
	}
	return out, nil
}

// filesystemOf names the type of what a path lies on, "" when that cannot be told.
// The mount table knows more names than statfs has numbers.
func filesystemOf(path string) string {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := Tree("/").read("proc/self/fdinfo/" + itoa(fd))
	if err != nil {
		return ""
	}
	id := -1
	for l := range strings.Lines(info) {
		_, _ = fmt.Sscanf(l, "mnt_id: %d", &id)
	}
	text, err := Tree("/").read("proc/self/mountinfo")
	if err != nil {
		return ""
	}
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(text), func(m *mountinfo.Info) (bool, bool) { return m.ID != id, m.ID == id })
	if err != nil || len(list) == 0 {
		return ""
	}
	return list[0].FSType
}
