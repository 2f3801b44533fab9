package host

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// Resolve gives the absolute path without links of a file that need not be there:
// that is what a permission is asked for, and what [Read], [Write] and [Remove] then
// take, who follow no link any more. A link that leads nowhere is a conflict.
func Resolve(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", fault.New(fault.Invalid, "%q is no path", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fault.Wrap(err, "find", path)
	}
	if part := strings.Split(abs, "/"); len(part) > 3 && part[1] == "proc" && part[2][0] >= '0' && part[2][0] <= '9' && (part[3] == "root" || part[3] == "cwd") {
		// Such a link reads as a path of ours, and is one of that process.
		e := &fault.Error{Kind: fault.Invalid, Op: "find", Subject: path, Message: "it leads into the files of another process"}
		return "", e.WithHint("cp copies files out of a container; host.run(\"nsenter\", …) goes into a process")
	}
	// What is not there has no links: only the part that is there is looked at.
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if err.Error() == "EvalSymlinks: too many links" { // the library has no value for it
			return "", &fault.Error{Kind: fault.Invalid, Op: "find", Subject: path, Message: "its links lead round in a circle"}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", about(err, "find", path)
		}
		if _, err := os.Lstat(at); err == nil {
			e := &fault.Error{Kind: fault.Conflict, Op: "find", Subject: path, Message: at + " is a link that leads nowhere"}
			return "", e.WithHint("remove the link, or make what it leads to")
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// ResolveParent gives the absolute path of what a name stands for itself, be it a
// link: only the directory is resolved.
func ResolveParent(path string) (string, error) {
	if path == "" {
		return "", fault.New(fault.Invalid, "%q is no path", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fault.Wrap(err, "find", path)
	}
	dir, err := Resolve(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// open opens a resolved path. A link that has been put in its way since is an error,
// so that what was allowed is what is opened.
func open(path string, flags int, mode uint64) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: uint64(flags) | unix.O_CLOEXEC | unix.O_NOFOLLOW, Mode: mode, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// Linux before 5.6, or a seccomp filter that does not know the call. The last
		// part is guarded still.
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(mode))
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Read reads a file whole. One of more than max bytes, and what is no file, such as a
// directory or a pipe, is invalid.
func Read(path string, max int64) (string, error) {
	// A pipe without a writer would block.
	f, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", about(err, "read", path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", about(err, "read", path)
	}
	if !info.Mode().IsRegular() {
		return "", &fault.Error{Kind: fault.Invalid, Op: "read", Subject: path, Message: "it is a " + typeOf(info.Mode()) + ", not a file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return "", about(err, "read", path)
	}
	if int64(len(data)) > max {
		e := &fault.Error{Kind: fault.Invalid, Op: "read", Subject: path, Message: "it is longer than " + sizeText(max)}
		return "", e.WithHint("max=… allows more")
	}
	return string(data), nil
}

// about says what was done to which file, without the path twice.
func about(err error, op, path string) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	switch {
	case errors.Is(err, unix.ELOOP):
		return &fault.Error{Kind: fault.Conflict, Op: op, Subject: path, Message: "a link came into its way meanwhile"}
	case errors.Is(err, unix.ENOTDIR):
		return &fault.Error{Kind: fault.NotFound, Op: op, Subject: path, Message: "a part of the path is no directory"}
	case errors.Is(err, unix.EROFS):
		return &fault.Error{Kind: fault.Denied, Op: op, Subject: path, Message: "the file system is read-only"}
	case errors.Is(err, unix.ENOTEMPTY):
		return &fault.Error{Kind: fault.Conflict, Op: op, Subject: path, Message: "the directory is not empty", Hint: "recursive=True removes what is in it"}
	}
	e := fault.Wrap(err, op, path).(*fault.Error)
	if e.Kind == fault.Denied {
		e.Hint = "it takes another user: root, or the owner"
	}
	return e
}

// WriteOptions say how a file is written.
type WriteOptions struct {
	// Mode is that of the file, nil keeps that of a file that is there and is 0644
	// for a new one. The umask takes nothing away.
	Mode *fs.FileMode
	// Mkdir makes the directories above it, 0755.
	Mkdir bool
}

// The magic numbers of file systems whose files are settings of the kernel
// (statfs(2)).
var settings = []int64{unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.SECURITYFS_MAGIC, unix.TRACEFS_MAGIC}

// Write makes a resolved path hold text and tells whether that changed anything, the
// mode included. The new file takes the place of the old at once, after it has
// reached the disk: nobody sees half of it. It keeps the owner, the mode and the
// extended attributes of the old one; another hard link keeps the old text. Settings
// of the kernel and a file that something is mounted on are written in place.
func Write(path, text string, o WriteOptions) (changed bool, err error) {
	dir := filepath.Dir(path)
	if o.Mkdir {
		if err := mkdirs(dir); err != nil {
			return false, about(err, "make directory", dir)
		}
	}
	d, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		err = about(err, "write", path)
		if fault.Is(err, fault.NotFound) {
			return false, err.(*fault.Error).WithHint("mkdir=True makes the directory")
		}
		return false, err
	}
	defer d.Close()
	name := filepath.Base(path)
	var st unix.Stat_t
	err = unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	old := err == nil
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, about(err, "write", path)
	}
	mode := fs.FileMode(0o644)
	if old {
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return false, &fault.Error{Kind: fault.Invalid, Op: "write", Subject: path, Message: "it is a " + typeOf(modeOf(st.Mode)) + ", not a file"}
		}
		mode = modeOf(st.Mode)
	}
	if o.Mode != nil {
		mode = *o.Mode
	}
	if old && same(path, text, st.Size) {
		if mode == modeOf(st.Mode) {
			return false, nil
		}
		f, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return false, about(err, "set the mode of", path)
		}
		defer f.Close()
		if err := f.Chmod(mode); err != nil {
			return false, about(err, "set the mode of", path)
		}
		return true, nil
	}
	var sf unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &sf); err == nil && slices.Contains(settings, int64(sf.Type)) {
		return true, writeInPlace(path, text, 0)
	}
	// The directory is named by what was opened, so that nobody can put another one
	// in its place.
	base := "/proc/self/fd/" + fdName(d)
	tmp, err := os.CreateTemp(base, "."+shorten(name, 200)+".*")
	if err != nil {
		return false, about(err, "write", path)
	}
	defer func() {
		tmp.Close()
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err := io.WriteString(tmp, text); err != nil {
		return false, about(err, "write", path)
	}
	if old {
		if err := keep(tmp, path, st); err != nil {
			return false, about(err, "keep the owner of", path)
		}
	}
	// After the owner: a change of that takes setuid away.
	if err := tmp.Chmod(mode); err != nil {
		return false, about(err, "set the mode of", path)
	}
	if err := tmp.Sync(); err != nil {
		return false, about(err, "write", path)
	}
	err = os.Rename(tmp.Name(), filepath.Join(base, name))
	if errors.Is(err, unix.EBUSY) {
		_ = os.Remove(tmp.Name())
		return true, writeInPlace(path, text, mode)
	}
	if err != nil {
		var link *os.LinkError
		if errors.As(err, &link) {
			err = link.Err
		}
		return false, about(err, "write", path)
	}
	// The name is on the disk only when the directory is. Some file systems cannot.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return true, about(err, "write", path)
	}
	return true, nil
}

func fdName(f *os.File) string { return itoa(int(f.Fd())) }

// same tells whether a file holds text already.
func same(path, text string, size int64) bool {
	if size != int64(len(text)) {
		return false
	}
	old, err := Read(path, size)
	return err == nil && old == text
}

// writeInPlace is for what cannot be replaced. mode 0 leaves that as it is.
func writeInPlace(path, text string, mode fs.FileMode) error {
	f, err := open(path, unix.O_WRONLY|unix.O_TRUNC, 0)
	if err != nil {
		return about(err, "write", path)
	}
	defer f.Close()
	// In one call: the kernel takes each as a setting.
	if _, err := f.WriteString(text); err != nil {
		return about(err, "write", path)
	}
	if mode != 0 {
		if err := f.Chmod(mode); err != nil {
			return about(err, "set the mode of", path)
		}
		if err := f.Sync(); err != nil {
			return about(err, "write", path)
		}
	}
	return nil
}

// keep gives a new file the owner and the extended attributes of the one it takes
// the place of: without these an SELinux label or an ACL would be gone.
func keep(f *os.File, old string, st unix.Stat_t) error {
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil {
		return err
	}
	if now.Uid != st.Uid || now.Gid != st.Gid {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(old, list)
	if err != nil {
		return nil // a file system without any
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(old, name, value)
		if err != nil {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, value[:n], 0); err != nil && strings.HasPrefix(name, "system.posix_acl") {
			// What is left without would be open to others than before.
			return err
		}
	}
	return nil
}

// mkdirs makes a resolved directory and those above it.
func mkdirs(dir string) error {
	if _, err := os.Lstat(dir); err == nil || dir == "/" {
		return nil
	}
	if err := mkdirs(filepath.Dir(dir)); err != nil {
		return err
	}
	parent, err := open(filepath.Dir(dir), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), filepath.Base(dir), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}

// Remove removes a file, a link itself, or a directory, which has to be empty unless
// recursive. It tells whether there was anything. What is mounted inside is gone into
// as well, as with rm -r. The path is from [ResolveParent].
func Remove(path string, recursive bool) (changed bool, err error) {
	if path == "/" {
		return false, fault.New(fault.Invalid, "remove %q: that is all there is", path)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	// A Root follows no link out of the directory, however it is swapped.
	d, err := open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, about(err, "remove", path)
	}
	defer d.Close()
	root, err := os.OpenRoot("/proc/self/fd/" + fdName(d))
	if err != nil {
		return false, about(err, "remove", path)
	}
	defer root.Close()
	if recursive {
		err = root.RemoveAll(filepath.Base(path))
	} else {
		err = root.Remove(filepath.Base(path))
	}
	if err != nil {
		return false, about(err, "remove", path)
	}
	return true, nil
}

// List gives the names in a directory, sorted. More than 100000 are refused.
func List(dir string) ([]string, error) {
	f, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, about(err, "list", dir)
	}
	defer f.Close()
	const most = 100000
	names, err := f.Readdirnames(most + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, about(err, "list", dir)
	}
	if len(names) > most {
		return nil, &fault.Error{Kind: fault.Invalid, Op: "list", Subject: dir, Message: "there are more than 100000 entries"}
	}
	slices.Sort(names)
	return names, nil
}

func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	for _, bit := range []struct {
		raw uint32
		is  fs.FileMode
	}{{syscall.S_ISUID, fs.ModeSetuid}, {syscall.S_ISGID, fs.ModeSetgid}, {syscall.S_ISVTX, fs.ModeSticky}} {
		if m&bit.raw != 0 {
			mode |= bit.is
		}
	}
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	return mode
}

// ModeOf gives the mode that a script writes as a number: 0o4755 is setuid too.
func ModeOf(n int) (fs.FileMode, error) {
	if n < 0 || n > 0o7777 {
		return 0, fault.New(fault.Invalid, "%#o is no mode: it is a number up to 0o7777", n)
	}
	return modeOf(uint32(n)), nil
}

// typeOf names a type of file.
func typeOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "link"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}
