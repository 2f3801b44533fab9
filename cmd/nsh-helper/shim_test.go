package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/logging"
	"nsh/runtime/stdio"
)

// helperPath is the program as it is installed, with a hook beside it that writes
// down how it was called.
var helperPath string

func TestMain(m *testing.M) {
	// The test program is an attached client, too: one that can be killed.
	if dir := os.Getenv("NSH_TEST_CLIENT"); dir != "" {
		c, err := stdio.Dial(dir)
		if err == nil {
			os.Stderr.WriteString("connected\n")
			err = c.Copy(os.Stdout, os.Stdout)
		}
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nsh-helper-test")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	helperPath = filepath.Join(dir, "nsh-helper")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", helperPath, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	hook := "#!/bin/sh\necho \"$@ $(env | grep -c .) $PATH\" > \"$2/hook-was-called\"; sleep 0.1\n"
	if err := os.WriteFile(filepath.Join(dir, "nsh-hook"), []byte(hook), 0o755); err != nil {
		panic(err)
	}
	return m.Run()
}

// shim does what containerd's does: it starts the helper with pipes, keeps their
// write ends open, and tells of the container's process in the bundle.
type shim struct {
	t        *testing.T
	dir      string // the state directory
	bundle   string
	out, err *os.File // write ends
	helper   *exec.Cmd
	notes    bytes.Buffer
	exited   chan struct{}
}

func newShim(t *testing.T) *shim {
	t.Helper()
	s := &shim{t: t, dir: t.TempDir(), bundle: t.TempDir(), exited: make(chan struct{})}
	return s
}

// start starts the helper and waits until it is ready.
func (s *shim) start(mode string) *shim {
	s.t.Helper()
	outR, outW, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer ready.Close()
	s.out, s.err = outW, errW
	s.helper = exec.Command(helperPath, mode, s.dir)
	s.helper.Dir = s.bundle
	s.helper.Env = []string{"CONTAINER_ID=cid", "CONTAINER_NAMESPACE=ns"}
	s.helper.ExtraFiles = []*os.File{outR, errR, readyW}
	s.helper.Stderr = &s.notes
	if err := s.helper.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = s.helper.Wait()
		close(s.exited)
	}()
	s.t.Cleanup(func() {
		s.close()
		_ = s.helper.Process.Kill()
		<-s.exited
	})
	outR.Close()
	errR.Close()
	readyW.Close()
	_ = ready.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := io.ReadAll(ready); err != nil || len(b) != 1 {
		s.t.Fatalf("not ready: %q, %v", b, err)
	}
	return s
}

func (s *shim) close() {
	s.out.Close()
	s.err.Close()
}

// run starts the container's process.
func (s *shim) run(script string) *exec.Cmd {
	s.t.Helper()
	c := exec.Command("sh", "-c", script)
	c.Stdout, c.Stderr = s.out, s.err
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	s.pidFile(c.Process.Pid)
	return c
}

func (s *shim) pidFile(pid int) {
	s.t.Helper()
	tmp := filepath.Join(s.bundle, ".init.pid")
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(pid)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(s.bundle, "init.pid")); err != nil {
		s.t.Fatal(err)
	}
}

// ended waits for the helper's own end.
func (s *shim) ended(within time.Duration) {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(within):
		s.t.Fatalf("the helper still runs after %v; it says %q", within, s.notes.String())
	}
	if st := s.helper.ProcessState; !st.Success() {
		s.t.Fatalf("helper: %v: %s", st, s.notes.String())
	}
}

func (s *shim) running() {
	s.t.Helper()
	select {
	case <-s.exited:
		s.t.Fatalf("the helper has ended: %v: %s", s.helper.ProcessState, s.notes.String())
	default:
	}
}

func (s *shim) logPath() string { return filepath.Join(s.dir, "cid-json.log") }

// log is what the container wrote, by stream.
func (s *shim) log() (out, errs string) {
	s.t.Helper()
	var o, e strings.Builder
	err := logging.Read(s.t.Context(), s.logPath(), container.LogOptions{Tail: -1}, nil, func(l container.LogLine) error {
		if l.Stream == "stdout" {
			o.Write(l.Text)
		} else {
			e.Write(l.Text)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return o.String(), e.String()
}

func (s *shim) wantLog(out, errs string) {
	s.t.Helper()
	gotOut, gotErr := s.log()
	if gotOut != out {
		s.t.Errorf("stdout has %d bytes %.200q, want %d bytes %.200q", len(gotOut), gotOut, len(out), out)
	}
	if gotErr != errs {
		s.t.Errorf("stderr has %d bytes %.200q, want %d bytes %.200q", len(gotErr), gotErr, len(errs), errs)
	}
}

// left lists what is in the state directory.
func (s *shim) left() string {
	s.t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (s *shim) write(name, text string) *shim {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// attached is a client in this process.
type attached struct {
	out, err bytes.Buffer
	done     chan error
	c        *stdio.Client
}

func (s *shim) attach() *attached {
	s.t.Helper()
	c, err := stdio.Dial(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	a := &attached{done: make(chan error, 1), c: c}
	go func() { a.done <- c.Copy(&a.out, &a.err) }()
	s.t.Cleanup(func() { c.Close() })
	return a
}

func (a *attached) want(t *testing.T, out, errs string) {
	t.Helper()
	select {
	case err := <-a.done:
		if err != nil {
			t.Errorf("attached: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the client does not see the end")
	}
	if a.out.String() != out || a.err.String() != errs {
		t.Errorf("attached: %d and %d bytes, want %d and %d", a.out.Len(), a.err.Len(), len(out), len(errs))
	}
}

// seq is what `seq -f format n` prints.
func seq(format string, n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}

// status is a field of /proc/PID/status.
func status(t *testing.T, pid int, field string) string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no %s in status", field)
	return ""
}

func term(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}

// tmpfs mounts a small file system over dir.
func tmpfs(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mounting takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
