package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	sysuser "github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"nsh/runtime/datastore"
	"nsh/runtime/fault"
)

// accounts are the files of an image that tell users and groups.
type accounts struct {
	Passwd []byte `json:"passwd"`
	Group  []byte `json:"group"`
}

// maxAccounts bounds each of the two files: an image is not to fill our memory.
const maxAccounts = 4 << 20

// cachedAccounts looks them up by the chain of the image's layers, which never
// changes what it holds. An image without layers, and a rootfs, have none.
func (c *creation) cachedAccounts() (accounts, bool) {
	var acc accounts
	if c.spec.Rootfs {
		acc, err := accountsIn(c.spec.Image)
		return acc, err == nil
	}
	if c.chain == "" {
		return acc, true
	}
	data, err := os.ReadFile(c.accountsFile())
	if err != nil || json.Unmarshal(data, &acc) != nil {
		return accounts{}, false
	}
	return acc, true
}

func (c *creation) accountsFile() string {
	return filepath.Join(c.store.Root, "nsh", "accounts", strings.ReplaceAll(c.chain, ":", "-")+".json")
}

// readAccounts reads them from the new container's own snapshot and remembers
// them. That they cannot be remembered is no reason to fail.
func (c *creation) readAccounts(ctx context.Context, mounts []mount.Mount) (acc accounts, err error) {
	err = mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		acc, err = accountsIn(root)
		return err
	})
	if err != nil {
		return acc, fault.Wrap(err, "read the users of image", c.spec.Image)
	}
	if data, err := json.Marshal(acc); err == nil {
		if os.MkdirAll(filepath.Dir(c.accountsFile()), 0o700) == nil {
			_ = datastore.WriteFile(c.accountsFile(), data, 0o600)
		}
	}
	return acc, nil
}

func accountsIn(root string) (acc accounts, err error) {
	if acc.Passwd, err = readInRoot(root, "etc/passwd"); err != nil {
		return acc, err
	}
	acc.Group, err = readInRoot(root, "etc/group")
	return acc, err
}

// readInRoot reads a file below root, resolving links as if root were "/", so
// that no image can point at a file of the host (openat2(2), RESOLVE_IN_ROOT).
// A file that is not there is empty.
func readInRoot(root, path string) ([]byte, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, "/%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAccounts+1))
	if len(data) > maxAccounts {
		return nil, fault.New(fault.Invalid, "/%s has more than %d bytes", path, maxAccounts)
	}
	return data, err
}

// user resolves docker's --user and --group-add with the library that docker uses.
func (a accounts) user(name string, groups []string) (specs.User, error) {
	u, err := sysuser.GetExecUser(name, &sysuser.ExecUser{}, bytes.NewReader(a.Passwd), bytes.NewReader(a.Group))
	if err != nil {
		return specs.User{}, fault.New(fault.Invalid, "%s", err)
	}
	out := specs.User{UID: uint32(u.Uid), GID: uint32(u.Gid), AdditionalGids: []uint32{uint32(u.Gid)}}
	more := append([]int(nil), u.Sgids...)
	if len(groups) > 0 {
		gids, err := sysuser.GetAdditionalGroups(groups, bytes.NewReader(a.Group))
		if err != nil {
			return specs.User{}, fault.New(fault.Invalid, "%s", err)
		}
		more = append(more, gids...)
	}
next:
	for _, g := range more {
		for _, have := range out.AdditionalGids {
			if have == uint32(g) {
				continue next
			}
		}
		out.AdditionalGids = append(out.AdditionalGids, uint32(g))
	}
	return out, nil
}

func lookInit(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fault.New(fault.NotFound, "init binary %q is not on the PATH", name).WithHint("install tini, or name another with --init-binary")
	}
	return filepath.Abs(path)
}

func deviceNumber(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, fault.New(fault.NotFound, "no such device: %s", path)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, fault.New(fault.Invalid, "%s is not a block device", path)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}
