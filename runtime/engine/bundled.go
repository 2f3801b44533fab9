package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/fault"
)

// Layout is where the bundled engine keeps what it has. All methods are safe
// to call at once, from several processes too.
type Layout struct {
	Root    string // persistent: images, snapshots, the records
	State   string // gone after a boot: sockets, tasks
	Libexec string
}

// Bundled is the layout of this user: /var/lib/nsh and /run/nsh for root, the XDG
// directories for others, both below $NSH_ROOT when that is set, for engines side
// by side and for tests.
func Bundled() Layout {
	l := Layout{Root: "/var/lib/nsh", State: "/run/nsh", Libexec: Libexec()}
	if os.Geteuid() != 0 {
		l.Root, l.State = filepath.Join(xdg("XDG_DATA_HOME", ".local/share"), "nsh"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "nsh")
	}
	if d := os.Getenv("NSH_ROOT"); d != "" {
		if abs, err := filepath.Abs(d); err == nil {
			d = abs
		}
		l.Root, l.State = filepath.Join(d, "lib"), filepath.Join(d, "run")
	}
	return l
}

// Address is the socket that the engine serves, readable by its user alone.
func (l Layout) Address() string { return filepath.Join(l.State, "containerd.sock") }

func (l Layout) logPath() string    { return filepath.Join(l.Root, "engine.log") }
func (l Layout) pidPath() string    { return filepath.Join(l.State, "engine.pid") }
func (l Layout) configPath() string { return filepath.Join(l.State, "config.toml") }

// Status of the bundled engine.
type Status struct {
	Running bool
	Pid     int
	Address string
	Root    string
	State   string
	Log     string
	Started time.Time
	Memory  int64 // bytes resident
	Shims   int   // containers whose shim lives, with or without the engine
}

// config is containerd's, in its version 3. What nsh has no use for is left
// out: the plugins for Kubernetes, and for file systems that need setting up.
// The restart monitor, the transfer service and introspection are in.
func (l Layout) config() string {
	return fmt.Sprintf(`# written by nsh at each start of its engine
version = 3
root = %q
state = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.differ.v1.erofs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
  address = %q
  uid = %d
  gid = %d

[ttrpc]
  address = %q

[plugins."io.containerd.internal.v1.opt"]
  path = %q
`, filepath.Join(l.Root, "containerd"), filepath.Join(l.State, "containerd"), l.Address(), os.Geteuid(), os.Getegid(), l.Address()+".ttrpc", filepath.Join(l.Root, "opt"))
}

// startDeadline is how long a start may take: the engine serves after some 50 ms
// on a quiet machine, and after seconds on one whose disk is busy.
const startDeadline = 30 * time.Second

// Start starts the engine if it does not run, and returns when it serves. Of
// several that start it at once one does, and all wait. It outlives the caller,
// and gets nothing of the caller's environment. Containers that an engine
// before it had started are taken over. One line to w says what is done.
func (l Layout) Start(ctx context.Context, w io.Writer) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Denied, "no containerd is running that this user may use, and the bundled engine is started by root").
			WithHint("run this as root, or name the socket of a rootless containerd with --address")
	}
	for _, d := range []string{l.Root, l.State} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return fault.Wrap(err, "make directory", d)
		}
	}
	if len(l.Address())+len(".ttrpc") > 107 {
		return fault.New(fault.Invalid, "the path of the engine's socket is too long: %s", l.Address()).WithHint("choose a shorter NSH_ROOT")
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if dial(l.Address()) == nil {
		return nil
	}
	bin := filepath.Join(l.Libexec, "nsh-engine")
	if _, err := os.Stat(bin); err != nil {
		return fault.New(fault.NotFound, "no containerd runs, and the bundled engine is not at %s", bin).
			WithHint("start containerd, or install nsh with its libexec directory, or point NSH_LIBEXEC at that")
	}
	if w != nil {
		fmt.Fprintf(w, "nsh: no containerd is running: starting the bundled one (state in %s)\n", l.Root)
	}
	if err := os.WriteFile(l.configPath()+".new", []byte(l.config()), 0o600); err != nil {
		return fault.Wrap(err, "write", l.configPath())
	}
	if err := os.Rename(l.configPath()+".new", l.configPath()); err != nil {
		return fault.Wrap(err, "write", l.configPath())
	}
	log, err := l.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fault.Wrap(err, "open", os.DevNull)
	}
	defer null.Close()
	cmd := exec.Command(bin, "--config", l.configPath())
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + l.Libexec + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fault.Wrap(err, "start the bundled engine", bin)
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	if err := l.writePid(cmd.Process.Pid); err != nil {
		return err
	}
	deadline := time.NewTimer(startDeadline)
	defer deadline.Stop()
	for wait := time.Millisecond; ; wait = min(wait*2, 50*time.Millisecond) {
		if dial(l.Address()) == nil {
			// containerd gives its group access, too.
			for _, s := range []string{l.Address(), l.Address() + ".ttrpc"} {
				if err := os.Chmod(s, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fault.Wrap(err, "make the engine's socket private", s)
				}
			}
			return nil
		}
		select {
		case err := <-died:
			return fault.New(fault.Unavailable, "the bundled engine ended at its start (%v): %s", err, l.tail(5)).WithHint("see %s", l.logPath())
		case <-deadline.C:
			return fault.New(fault.Timeout, "the bundled engine does not serve after %s: %s", startDeadline, l.tail(5)).WithHint("see %s", l.logPath())
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), "wait for the bundled engine", bin)
		case <-time.After(wait):
		}
	}
}

// lock is held by the one that starts or stops the engine.
func (l Layout) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(l.State, "engine.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, "open", path)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, fault.Wrap(err, "lock", path)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fault.Wrap(ctx.Err(), "wait for another nsh that starts or stops the engine, which holds", path)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// maxLog is when the log is put aside at a start; one older part is kept.
const maxLog = 8 << 20

func (l Layout) openLog() (*os.File, error) {
	if st, err := os.Stat(l.logPath()); err == nil && st.Size() > maxLog {
		_ = os.Rename(l.logPath(), l.logPath()+".1")
	}
	f, err := os.OpenFile(l.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return f, fault.Wrap(err, "open the engine's log", l.logPath())
}

func (l Layout) tail(n int) string {
	data, err := os.ReadFile(l.logPath())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// The pid file holds the pid and the start time of the process, so that a pid
// which the kernel has given to another is never signalled.
func (l Layout) writePid(pid int) error {
	return fault.Wrap(os.WriteFile(l.pidPath(), []byte(fmt.Sprintf("%d %s\n", pid, startTicks(pid))), 0o600), "write", l.pidPath())
}

// pid gives the engine's process, 0 when it does not live.
func (l Layout) pid() int {
	data, err := os.ReadFile(l.pidPath())
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data))
	if len(f) != 2 {
		return 0
	}
	pid, err := strconv.Atoi(f[0])
	if err != nil || pid <= 1 || startTicks(pid) != f[1] {
		return 0
	}
	return pid
}

// startTicks is field 22 of /proc/PID/stat (proc_pid_stat(5)), "" when there is no
// such process or it is dead and only waits for its parent.
func startTicks(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 20 || string(f[0]) == "Z" || string(f[0]) == "X" {
		return ""
	}
	return string(f[19])
}

// Status tells how the engine is; it starts nothing.
func (l Layout) Status() Status {
	s := Status{Address: l.Address(), Root: l.Root, State: l.State, Log: l.logPath(), Pid: l.pid()}
	s.Running = s.Pid > 0 && dial(l.Address()) == nil
	if s.Pid > 0 {
		if st, err := os.Stat(l.pidPath()); err == nil {
			s.Started = st.ModTime()
		}
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid)); err == nil {
			for line := range strings.Lines(string(data)) {
				if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
					kb, _ := strconv.ParseInt(f[1], 10, 64)
					s.Memory = kb << 10
				}
			}
		}
	}
	s.Shims = len(Shims(l.Address()))
	return s
}

// stopDeadline is how long the engine may take to end by itself.
const stopDeadline = 10 * time.Second

// Stop ends the engine and returns when it is gone. Containers go on running,
// as with docker's live-restore; the next start takes them over. That it does
// not run is no error.
func (l Layout) Stop(ctx context.Context) error {
	if _, err := os.Stat(l.State); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	pid := l.pid()
	if pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, "stop the engine, process", strconv.Itoa(pid))
	}
	defer unix.Close(fd)
	if l.pid() != pid {
		return nil // it ended, and the number may be another's now
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fault.Wrap(err, "stop the engine, process", strconv.Itoa(pid))
		}
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(set, int(stopDeadline.Milliseconds())); err == nil && n > 0 {
			os.Remove(l.pidPath())
			return nil
		}
	}
	return fault.New(fault.Timeout, "the engine, process %d, does not end", pid)
}

// Logs copies the engine's log to w; with follow it goes on until ctx ends.
func (l Layout) Logs(ctx context.Context, w io.Writer, follow bool) error {
	f, err := os.Open(l.logPath())
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "the bundled engine has never run: there is no %s", l.logPath())
	}
	if err != nil {
		return fault.Wrap(err, "open the engine's log", l.logPath())
	}
	defer f.Close()
	for {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
