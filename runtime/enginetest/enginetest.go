// Package enginetest runs a real containerd for tests.
//
// The tests of one package share one engine, which [Start] starts when the
// first of them asks for it and [Main] stops after the last:
//
//	func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		e := enginetest.Start(t)
//		c := e.Client(t, e.Namespace(t))
//		…
//	}
//
// Each test works in a namespace of its own, which is emptied when the test
// ends. A test that kills its engine takes one of its own with [New].
//
// The programs are those of $NSH_LIBEXEC, else of libexec/ in the repository,
// where `make` puts them. Where they are missing the test fails: a suite that
// skipped would pass on a machine where nothing was tried.
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// Engine is a containerd of the tests' own, with everything it writes in one
// temporary directory. Its methods are safe to call at once, but for Kill,
// Restart and Stop, which one test at a time may call.
type Engine struct {
	Address string // containerd's socket
	Root    string
	State   string
	Libexec string // where containerd, its shim, runc, ctr and cni/ are

	dir    string
	config string
	cmd    *exec.Cmd
	exited chan struct{}
}

var shared struct {
	once   sync.Once
	engine *Engine
	err    error
}

// Main runs the tests of a package and then stops the engine that they shared.
// It gives the exit status for os.Exit.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.engine != nil {
		if err := shared.engine.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "enginetest:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Start gives the engine that the tests of this package share. The package
// must have [Main] in its TestMain.
func Start(t testing.TB) *Engine {
	t.Helper()
	shared.once.Do(func() { shared.engine, shared.err = launch() })
	if shared.err != nil {
		t.Fatalf("enginetest: %v", shared.err)
	}
	return shared.engine
}

// New gives an engine for this test alone, stopped when it ends.
func New(t testing.TB) *Engine {
	t.Helper()
	e, err := launch()
	if err != nil {
		t.Fatalf("enginetest: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Errorf("enginetest: %v", err)
		}
	})
	return e
}

// Libexec finds the directory of the engine's programs: $NSH_LIBEXEC, else
// libexec/ of the repository that the working directory is in.
func Libexec() (string, error) {
	dir := os.Getenv("NSH_LIBEXEC")
	if dir == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "libexec")
	}
	for _, name := range []string{"nsh-engine", "containerd-shim-runc-v2", "runc"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the engine's programs are not built: %w (run make, or set NSH_LIBEXEC to where they are)", err)
		}
	}
	return filepath.Abs(dir)
}

func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}

// The CRI plugins are off: they double the time to boot and want a CNI
// configuration. The paths below /opt are moved, since containerd creates them.
const config = `version = 3
root = %[1]q
state = %[2]q
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.sandbox.controller.v1.podsandbox",
  "io.containerd.nri.v1.nri",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
address = %[3]q

[ttrpc]
address = %[4]q

[plugins."io.containerd.internal.v1.opt"]
path = %[5]q

[plugins."io.containerd.image-verifier.v1.bindir"]
bin_dir = %[6]q
`

func launch() (_ *Engine, err error) {
	libexec, err := Libexec()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nsh-engine-")
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Address: filepath.Join(dir, "c.sock"),
		Root:    filepath.Join(dir, "root"),
		State:   filepath.Join(dir, "state"),
		Libexec: libexec,
		dir:     dir,
		config:  filepath.Join(dir, "config.toml"),
	}
	text := fmt.Sprintf(config, e.Root, e.State, e.Address, e.Address+".ttrpc",
		filepath.Join(dir, "opt"), filepath.Join(dir, "verifiers"))
	if err := os.WriteFile(e.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := e.Restart(); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Restart starts containerd again after [Engine.Kill], on the same state.
func (e *Engine) Restart() error {
	log, err := os.OpenFile(e.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := exec.Command(filepath.Join(e.Libexec, "nsh-engine"), "--config", e.config)
	cmd.Env = append(os.Environ(), "PATH="+e.Libexec+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = log, log
	// A test binary that panics or runs into its timeout calls no cleanup:
	// the kernel then ends containerd. It counts the thread that forked as the
	// parent, hence a thread that stays (golang/go#27505).
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	exited := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	e.cmd, e.exited = cmd, exited
	return e.ready()
}

func (e *Engine) ready() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := client.New(e.Address, client.WithTimeout(time.Second))
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err = c.Version(ctx)
			cancel()
			c.Close()
		}
		if err == nil {
			return nil
		}
		select {
		case <-e.exited:
			text, _ := os.ReadFile(e.Log())
			return fmt.Errorf("containerd ended while it started:\n%s", text)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("containerd does not answer at %s: %w", e.Address, err)
		}
	}
}

// Log is the path of what containerd wrote.
func (e *Engine) Log() string { return filepath.Join(e.dir, "containerd.log") }

// Pid of containerd.
func (e *Engine) Pid() int { return e.cmd.Process.Pid }

// Kill ends containerd as kill -9 does; shims and containers go on.
func (e *Engine) Kill() {
	_ = e.cmd.Process.Kill()
	<-e.exited
}

// Stop ends the containers, the shims and containerd, and removes all that
// they wrote. It reports what did not go away by itself.
func (e *Engine) Stop() error {
	var problems []error
	if e.cmd != nil {
		select {
		case <-e.exited:
		default:
			problems = append(problems, e.empty())
			_ = e.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-e.exited:
			case <-time.After(10 * time.Second):
				problems = append(problems, errors.New("containerd did not end within 10 s of SIGTERM"))
				e.Kill()
			}
		}
	}
	e.endShims()
	for _, point := range mounts(e.dir) {
		_ = syscall.Unmount(point, syscall.MNT_DETACH)
	}
	problems = append(problems, os.RemoveAll(e.dir))
	return errors.Join(problems...)
}

// empty removes all tasks, so that no shim outlives the engine.
func (e *Engine) empty() error {
	c, err := client.New(e.Address, client.WithTimeout(5*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names, err := c.NamespaceService().List(ctx)
	if err != nil {
		return err
	}
	for _, ns := range names {
		removeContainers(namespaces.WithNamespace(ctx, ns), c)
	}
	return nil
}

// endShims kills what is left of the shims of this engine, found by the
// address on their command line.
func (e *Engine) endShims() {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		argv := bytes.Split(text, []byte{0})
		i := slices.IndexFunc(argv, func(a []byte) bool { return string(a) == "-address" })
		if i < 0 || i+1 >= len(argv) || !strings.HasPrefix(string(argv[i+1]), e.Address) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// mounts lists the mount points below dir, innermost first.
func mounts(dir string) []string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points)
	return points
}

var serial atomic.Int64

// Namespace gives a fresh containerd namespace for this test. When the test
// ends everything in it is removed.
func (e *Engine) Namespace(t testing.TB) string {
	t.Helper()
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, t.Name())
	// containerd allows 76 characters.
	ns := fmt.Sprintf("t%d-%.40s", serial.Add(1), word)
	ns = strings.TrimSuffix(ns, "-")
	t.Cleanup(func() { e.Clear(ns) })
	return ns
}

// Client connects to the engine, with ns as the namespace of all its calls.
// The connection is closed when the test ends.
func (e *Engine) Client(t testing.TB, ns string) *client.Client {
	t.Helper()
	c, err := client.New(e.Address, client.WithDefaultNamespace(ns))
	if err != nil {
		t.Fatalf("enginetest: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Clear removes all that a namespace holds, as is done at the end of a test. It
// is best effort: what it leaves goes with the engine's directory.
func (e *Engine) Clear(ns string) {
	c, err := client.New(e.Address, client.WithDefaultNamespace(ns), client.WithTimeout(time.Second))
	if err != nil {
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), ns), 30*time.Second)
	defer cancel()
	removeContainers(ctx, c)
	if all, err := c.ImageService().List(ctx); err == nil {
		for _, img := range all {
			_ = c.ImageService().Delete(ctx, img.Name)
		}
	}
	if all, err := c.LeasesService().List(ctx); err == nil {
		for _, l := range all {
			_ = c.LeasesService().Delete(ctx, l)
		}
	}
	// Collects what is now unreferenced, and waits for it: a namespace that
	// holds anything cannot be deleted.
	if l, err := c.LeasesService().Create(ctx, leases.WithRandomID()); err == nil {
		_ = c.LeasesService().Delete(ctx, l, leases.SynchronousDelete)
	}
	_ = c.NamespaceService().Delete(ctx, ns)
}

func removeContainers(ctx context.Context, c *client.Client) {
	all, err := c.Containers(ctx)
	if err != nil {
		return
	}
	for _, con := range all {
		if task, err := con.Task(ctx, nil); err == nil {
			_, _ = task.Delete(ctx, client.WithProcessKill)
		}
		if err := con.Delete(ctx, client.WithSnapshotCleanup); errdefs.IsNotFound(err) {
			// Its snapshot is gone already; the record is not.
			_ = con.Delete(ctx)
		}
	}
}

// Left lists what a namespace holds: images, leases, ingests, blobs, snapshots
// of overlayfs, containers, one line each, sorted. A test that claims to leave
// nothing behind compares it before and after.
func (e *Engine) Left(t testing.TB, ns string) []string {
	t.Helper()
	c := e.Client(t, ns)
	ctx := namespaces.WithNamespace(t.Context(), ns)
	var lines []string
	fail := func(what string, err error) {
		if err != nil {
			t.Fatalf("enginetest: listing %s: %v", what, err)
		}
	}
	all, err := c.ImageService().List(ctx)
	fail("images", err)
	for _, img := range all {
		lines = append(lines, "image "+img.Name)
	}
	ls, err := c.LeasesService().List(ctx)
	fail("leases", err)
	for _, l := range ls {
		lines = append(lines, "lease "+l.ID)
	}
	cons, err := c.Containers(ctx)
	fail("containers", err)
	for _, con := range cons {
		lines = append(lines, "container "+con.ID())
	}
	statuses, err := c.ContentStore().ListStatuses(ctx)
	fail("ingests", err)
	for _, s := range statuses {
		lines = append(lines, "ingest "+s.Ref)
	}
	fail("blobs", c.ContentStore().Walk(ctx, func(info content.Info) error {
		lines = append(lines, "blob "+info.Digest.String())
		return nil
	}))
	fail("snapshots", c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		lines = append(lines, "snapshot "+info.Name)
		return nil
	}))
	slices.Sort(lines)
	return lines
}
