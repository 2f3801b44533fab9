package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// SystemAddress is where a containerd of the system listens.
const SystemAddress = "/run/containerd/containerd.sock"

// Libexec is the directory of the programs that come with nsh: $NSH_LIBEXEC,
// else beside the program as `make install` or `make` put it. Links to the program
// are followed, so that a link called docker finds them, too.
func Libexec() string {
	if d := os.Getenv("NSH_LIBEXEC"); d != "" {
		return d
	}
	exe, err := os.Executable()
	if err == nil {
		exe, err = filepath.EvalSymlinks(exe)
	}
	if err != nil {
		return "/usr/local/libexec/nsh"
	}
	prefix := filepath.Dir(filepath.Dir(exe))
	if d := filepath.Join(prefix, "libexec", "nsh"); isDir(d) {
		return d
	}
	return filepath.Join(prefix, "libexec")
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

// Find settles s.Address: the one that was asked for, which must answer; this
// user's rootless containerd; the system's; else the bundled engine, which is
// started when it does not run, with one line to w that says so. It blocks until that
// serves.
func Find(ctx context.Context, s *Settings, w io.Writer) error {
	if ok, err := Locate(s); ok || err != nil {
		return err
	}
	b := Bundled()
	s.Address = b.Address()
	return b.Start(ctx, w)
}

// Locate is Find that starts nothing: false without an error when only the bundled
// engine is left and does not run.
func Locate(s *Settings) (bool, error) {
	if s.Address != "" {
		err := unanswered(s.Address, dial(s.Address))
		return err == nil, err
	}
	if os.Getenv("NSH_ROOT") == "" {
		for _, a := range candidates(s.Rootless) {
			err := dial(a)
			switch {
			case err == nil:
				s.Address = a
				return true, nil
			case errors.Is(err, fs.ErrPermission):
				return false, unanswered(a, err)
			}
			// Nothing there, or a socket that a dead containerd has left.
		}
	}
	bundled := Bundled().Address()
	running := dial(bundled) == nil
	if running {
		s.Address = bundled
	}
	return running, nil
}

func candidates(rootless bool) []string {
	if !rootless {
		return []string{SystemAddress}
	}
	state := os.Getenv("ROOTLESSKIT_STATE_DIR")
	if state == "" {
		state = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "containerd-rootless")
	}
	var out []string
	if pid, err := os.ReadFile(filepath.Join(state, "child_pid")); err == nil {
		out = append(out, "/proc/"+strings.TrimSpace(string(pid))+"/root"+SystemAddress)
	}
	return append(out, SystemAddress)
}

// dial tells whether something accepts connections at a socket.
func dial(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if err == unix.EAGAIN {
		return nil // its queue is full: it lives
	}
	if err != nil {
		return &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return nil
}

// unanswered words a failure to connect as docker does, with what to do.
func unanswered(address string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, "permission denied while trying to connect to the containerd socket at unix://%s", address).
			WithHint("run this as root, or set up rootless containers for this user")
	}
	e := fault.New(fault.Unavailable, "Cannot connect to containerd at unix://%s. Is containerd running?", address)
	if errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) {
		return e.WithHint("the path of a socket may have 107 bytes, this one has %d", len(address))
	}
	return e.WithHint("start it, or leave out --address and CONTAINERD_ADDRESS: nsh then finds one or starts its own")
}
