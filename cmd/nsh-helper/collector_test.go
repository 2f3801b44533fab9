package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsh/runtime/container"
	"nsh/runtime/logging"
	"nsh/runtime/stdio"
)

// Not a line is lost at the end, though the shim leaves the pipes open; and
// everything is gone that was only for the time of running.
func TestNothingLostAtExit(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	c := s.run("seq -f 'line %.0f' 100000; printf tail")
	_ = c.Wait()
	s.ended(10 * time.Second)
	s.wantLog(seq("line %d", 100000)+"tail", "")
	if got, want := s.left(), "cid-json.log logger-lock"; got != want {
		t.Errorf("state directory has %q, want %q", got, want)
	}
	if !logging.Ended(s.dir)() {
		t.Error("the lock is held")
	}
}

// A burst right before the end is still in the pipe when the process is gone.
func TestLastWords(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := newShim(t).start("log")
		a := s.attach()
		c := s.run("echo bye >&2; seq 5000; printf end")
		_ = c.Wait()
		s.ended(10 * time.Second)
		s.wantLog(seq("%d", 5000)+"end", "bye\n")
		a.want(t, seq("%d", 5000)+"end", "bye\n")
	}
}

func TestStreamsAreApart(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	a := s.attach()
	c := s.run("i=1; while [ $i -le 3000 ]; do printf out; printf err >&2; echo \" $i\"; echo \" $i\" >&2; i=$((i+1)); done; printf 'no newline'; printf 'nor here' >&2")
	_ = c.Wait()
	s.ended(10 * time.Second)
	out, errs := seq("out %d", 3000)+"no newline", seq("err %d", 3000)+"nor here"
	s.wantLog(out, errs)
	a.want(t, out, errs)
	// Each line is an entry of its own, whatever came between its parts.
	n := 0
	err := logging.Read(t.Context(), s.logPath(), container.LogOptions{Tail: -1}, nil, func(l container.LogLine) error { n++; return nil })
	if err != nil || n != 6002 {
		t.Errorf("%d entries, %v", n, err)
	}
}

// A log that is rotated all the time, followed from beginning to end, with clients
// attached.
func TestRotationWithReadersAndClients(t *testing.T) {
	t.Parallel()
	s := newShim(t).write("log-config.json", `{"driver":"json-file","opts":{"max-size":"100k","max-file":"100"}}`).start("log")
	var clients []*attached
	for range 8 {
		clients = append(clients, s.attach())
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var got bytes.Buffer
			err := logging.Read(t.Context(), s.logPath(), container.LogOptions{Tail: -1, Follow: true}, logging.Ended(s.dir), func(l container.LogLine) error {
				got.Write(l.Text)
				return nil
			})
			if err != nil || got.String() != seq("line %d", 60000) {
				t.Errorf("following: %v after %d bytes", err, got.Len())
			}
		})
	}
	c := s.run("seq -f 'line %.0f' 60000")
	_ = c.Wait()
	s.ended(20 * time.Second)
	wg.Wait()
	for _, a := range clients {
		a.want(t, seq("line %d", 60000), "")
	}
	s.wantLog(seq("line %d", 60000), "")
	if files, _ := filepath.Glob(s.logPath() + ".*"); len(files) < 30 {
		t.Errorf("only %d rotated files", len(files))
	}
}

// Killing attached programs, at any moment, costs the container and the others
// nothing.
func TestClientsAreKilled(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	stays := s.attach()
	const n = 150000
	c := s.run(fmt.Sprintf("seq -f 'line %%.0f' %d", n))
	for range 10 {
		p := exec.Command(os.Args[0])
		p.Env = append(os.Environ(), "NSH_TEST_CLIENT="+s.dir)
		// Its output is not read, so that it is stuck in the middle when it dies.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p.Stdout = w
		errs, err := p.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		_, _ = errs.Read(make([]byte, 1))
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		_ = p.Process.Kill()
		_ = p.Wait()
		r.Close()
	}
	_ = c.Wait()
	s.ended(20 * time.Second)
	stays.want(t, seq("line %d", n), "")
	s.wantLog(seq("line %d", n), "")
}

// A client that does not read stops the container, as a pipe would; its end
// does not wait for it, and the log has everything.
func TestLazyClient(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	lazy, err := stdio.Dial(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lazy.Close()
	c := s.run("seq -f 'line %.0f' 200000")
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	select {
	case <-done:
		t.Fatal("2 MB went somewhere")
	case <-time.After(500 * time.Millisecond):
	}
	_ = c.Process.Kill()
	<-done
	s.ended(10 * time.Second)
	out, _ := s.log()
	if !strings.HasPrefix(seq("line %d", 200000), out) || len(out) < 64<<10 {
		t.Errorf("the log has %d bytes", len(out))
	}
	var got bytes.Buffer
	if err := lazy.Copy(&got, &got); err != nil || got.String() != out {
		t.Errorf("client: %v after %d bytes of %d", err, got.Len(), len(out))
	}
}

// SIGTERM means to take what is there, and go.
func TestTerm(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	a := s.attach()
	text := seq("%d", 10000)
	io.WriteString(s.out, text+"half")
	io.WriteString(s.err, "e\n")
	term(t, s.helper)
	s.ended(5 * time.Second)
	s.wantLog(text+"half", "e\n")
	a.want(t, text+"half", "e\n")
}

// When the shim deletes the task it closes the pipes and sends SIGTERM. There may
// never have been a process.
func TestDelete(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	io.WriteString(s.out, "x")
	s.close()
	s.ended(5 * time.Second)
	s.wantLog("x", "")
}

// The process may be gone before the helper gets to look at it.
func TestProcessGoneAtOnce(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	p := exec.Command("true")
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(s.out, "x\n")
	s.pidFile(p.Process.Pid)
	s.ended(5 * time.Second)
	s.wantLog("x\n", "")
}

// A file that is not what it should be is not taken for a process.
func TestBrokenPidFile(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	for _, text := range []string{"", "x", "-1", "0", "99999999999999999999"} {
		if err := os.WriteFile(filepath.Join(s.bundle, "init.pid"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	s.running()
	c := s.run("echo x")
	_ = c.Wait()
	s.ended(5 * time.Second)
	s.wantLog("x\n", "")
}

// A daemon closes its output and lives on: so does the helper, until it ends.
func TestDaemon(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	c := s.run("echo x; exec >&- 2>&-; sleep 60")
	s.close()
	time.Sleep(100 * time.Millisecond)
	s.running()
	if logging.Ended(s.dir)() {
		t.Error("a follower would end")
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	s.ended(5 * time.Second)
	s.wantLog("x\n", "")
}

// A process that outlives the container's and goes on writing does not hold the
// helper.
func TestSurvivorWrites(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log")
	c := s.run("yes & echo $!; exit 0")
	_ = c.Wait()
	s.ended(10 * time.Second)
	out, _ := s.log()
	for line := range strings.Lines(out) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
			return
		}
	}
	t.Error("no pid in the log")
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// Here the process is there first.
	s.pidFile(c.Process.Pid)
	s.start("log-tty")
	a := s.attach()
	io.WriteString(s.out, "one\r\n")
	eventually(t, "not written", func() bool { out, _ := s.log(); return out == "one\r\n" })
	_ = c.Process.Kill()
	_ = c.Wait()
	// The shim is still copying.
	time.Sleep(100 * time.Millisecond)
	s.running()
	io.WriteString(s.out, "two\r\n$ ")
	s.out.Close()
	s.ended(5 * time.Second)
	s.wantLog("one\r\ntwo\r\n$ ", "")
	a.want(t, "one\r\ntwo\r\n$ ", "")
}

// If the shim never closes the terminal's pipe, silence is the end.
func TestTerminalWithoutEnd(t *testing.T) {
	t.Parallel()
	s := newShim(t).start("log-tty")
	c := s.run("echo x")
	_ = c.Wait()
	start := time.Now()
	s.ended(quiet + 5*time.Second)
	if d := time.Since(start); d < quiet-100*time.Millisecond {
		t.Errorf("ended after %v", d)
	}
	s.wantLog("x\n", "")
}

// startFifo starts the helper as nsh does for a container that reads its input.
func (s *shim) startFifo() *shim {
	s.t.Helper()
	for _, name := range []string{"stdout", "stderr"} {
		if err := unix.Mkfifo(filepath.Join(s.dir, name), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.start("log-fifo")
}

func (s *shim) openFifo(name string) *os.File {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	return f
}

func TestFifo(t *testing.T) {
	t.Parallel()
	s := newShim(t).startFifo()
	time.Sleep(50 * time.Millisecond)
	s.running()
	out, errs := s.openFifo("stdout"), s.openFifo("stderr")
	a := s.attach()
	io.WriteString(out, seq("%d", 20000))
	io.WriteString(errs, "x")
	out.Close()
	time.Sleep(50 * time.Millisecond)
	s.running()
	io.WriteString(errs, "y\nz")
	errs.Close()
	s.ended(5 * time.Second)
	s.wantLog(seq("%d", 20000), "xy\nz")
	a.want(t, seq("%d", 20000), "xy\nz")
	if got, want := s.left(), "cid-json.log logger-lock stderr stdout"; got != want {
		t.Errorf("state directory has %q, want %q", got, want)
	}
}

// With the process known, its end counts, not that of its output: a daemon closes
// that. What the shim is still copying then is not lost.
func TestFifoWithProcess(t *testing.T) {
	t.Parallel()
	s := newShim(t).write("network-config.json", `{}`).startFifo()
	out, errs := s.openFifo("stdout"), s.openFifo("stderr")
	c := exec.Command("sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s.pidFile(c.Process.Pid)
	io.WriteString(out, "one\n")
	out.Close()
	errs.Close()
	time.Sleep(100 * time.Millisecond)
	s.running()
	_ = c.Process.Kill()
	_ = c.Wait()
	s.ended(5 * time.Second)
	s.wantLog("one\n", "")
	if _, err := os.Stat(filepath.Join(s.dir, "hook-was-called")); err != nil {
		t.Error(err)
	}

	s = newShim(t).startFifo()
	out, errs = s.openFifo("stdout"), s.openFifo("stderr")
	c = exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	s.pidFile(c.Process.Pid)
	time.Sleep(100 * time.Millisecond)
	io.WriteString(out, "late\n")
	io.WriteString(errs, "too\n")
	out.Close()
	errs.Close()
	s.ended(5 * time.Second)
	s.wantLog("late\n", "too\n")
}

// A silent container whose helper's starter has gone is no reason to end.
func TestFifoOfSilentContainer(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	c, _ := orphan(t, s)
	out, errs := s.openFifo("stdout"), s.openFifo("stderr")
	// Its starter is gone, and it has looked.
	time.Sleep(orphanFor + 500*time.Millisecond)
	if unix.Kill(c, 0) != nil {
		t.Fatal("the helper has ended")
	}
	io.WriteString(out, "still here\n")
	out.Close()
	errs.Close()
	eventually(t, "the helper does not end", func() bool { return unix.Kill(c, 0) != nil })
	s.wantLog("still here\n", "")
}

// When the starter is killed before the engine opens the fifos, nobody will.
func TestFifoOfNobody(t *testing.T) {
	t.Parallel()
	c, since := orphan(t, newShim(t))
	for unix.Kill(c, 0) == nil {
		if time.Since(since) > orphanFor+5*time.Second {
			t.Fatal("the helper stays")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if d := time.Since(since); d < orphanFor-time.Second {
		t.Errorf("ended after %v", d)
	}
}

// orphan starts a helper by a process that ends.
func orphan(t *testing.T, s *shim) (pid int, since time.Time) {
	t.Helper()
	for _, name := range []string{"stdout", "stderr"} {
		if err := unix.Mkfifo(filepath.Join(s.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := exec.Command("sh", "-c", `CONTAINER_ID=cid "$0" log-fifo "$1" 3<>/dev/null 4<>/dev/null 5>/dev/null >/dev/null 2>&1 & echo $!; sleep 0.2`, helperPath, s.dir)
	out, err := p.Output()
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	return pid, time.Now()
}

func TestDriverNone(t *testing.T) {
	t.Parallel()
	s := newShim(t).write("log-config.json", `{"driver":"none"}`).start("log")
	a := s.attach()
	c := s.run("seq 10000; echo e >&2")
	_ = c.Wait()
	s.ended(5 * time.Second)
	a.want(t, seq("%d", 10000), "e\n")
	if got, want := s.left(), "log-config.json logger-lock"; got != want {
		t.Errorf("state directory has %q, want %q", got, want)
	}
}

func TestLogPath(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	path := filepath.Join(t.TempDir(), "other.log")
	s.write("log-config.json", `{"driver":"json-file","opts":{"log-path":"`+path+`"}}`).start("log")
	_ = s.run("echo x").Wait()
	s.ended(5 * time.Second)
	raw, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(raw), `{"log":"x\n"`) {
		t.Errorf("%q, %v", raw, err)
	}
}

// A second helper waits for the first one. One that was killed has left its socket.
func TestSuccessor(t *testing.T) {
	t.Parallel()
	first := newShim(t).start("log")
	io.WriteString(first.out, "first\nhalf")
	eventually(t, "not written", func() bool { out, _ := first.log(); return out == "first\n" })
	_ = first.helper.Process.Kill()
	<-first.exited
	if _, err := os.Stat(filepath.Join(first.dir, stdio.SocketName)); err != nil {
		t.Fatal(err)
	}

	second := newShim(t)
	second.dir = first.dir
	second.start("log")
	io.WriteString(second.out, "second\n")
	eventually(t, "not written", func() bool { out, _ := second.log(); return out == "first\nsecond\n" })

	third := newShim(t)
	third.dir = first.dir
	ready := make(chan struct{})
	go func() {
		third.start("log")
		close(ready)
	}()
	select {
	case <-ready:
		t.Error("two at once")
	case <-time.After(200 * time.Millisecond):
	}
	second.close()
	second.ended(5 * time.Second)
	<-ready
	a := third.attach()
	_ = third.run("echo third").Wait()
	third.ended(5 * time.Second)
	third.wantLog("first\nsecond\nthird\n", "")
	a.want(t, "third\n", "")
}

// With no room for the log the container is not held up, the clients see
// everything, and the log says what is missing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	tmpfs(t, s.dir, "64k")
	s.start("log")
	a := s.attach()
	c := s.run("seq -f 'line %.0f' 20000; : > " + s.bundle + "/written; while [ ! -e " + s.bundle + "/go ]; do sleep 0.01; done; echo after")
	eventually(t, "the disk does not fill up", func() bool {
		var st unix.Statfs_t
		return unix.Statfs(s.dir, &st) == nil && st.Bfree == 0
	})
	// The pipe is empty when the helper has seen all, once all has been written.
	eventually(t, "the container is held up", func() bool {
		if _, err := os.Stat(s.bundle + "/written"); err != nil {
			return false
		}
		n, err := unix.IoctlGetInt(int(s.out.Fd()), unix.TIOCINQ)
		return err == nil && n == 0
	})
	time.Sleep(50 * time.Millisecond)
	if err := unix.Mount("tmpfs", s.dir, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.bundle+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	s.ended(10 * time.Second)
	a.want(t, seq("line %d", 20000)+"after\n", "")
	out, errs := s.log()
	kept := strings.Count(out, "\n") - 1
	want := fmt.Sprintf("nsh: %d lines lost: write log \"%s\": no space left on device\n", 20000-kept, s.logPath())
	if out != seq("line %d", kept)+"after\n" || errs != want {
		t.Errorf("%d lines kept; the log says %q, want %q", kept, errs, want)
	}
}

// Without a state directory there is nothing to be done but to let the container
// write.
func TestNoStateDirectory(t *testing.T) {
	t.Parallel()
	s := newShim(t)
	s.dir = filepath.Join(s.dir, "gone")
	s.start("log")
	_ = s.run("seq 100000").Wait()
	s.ended(5 * time.Second)
}

// When the process has ended the network is taken down, with nothing of the
// environment but a PATH.
func TestDisconnectsAtExit(t *testing.T) {
	t.Parallel()
	s := newShim(t).write("network-config.json", `{}`).start("log")
	_ = s.run("true").Wait()
	s.ended(5 * time.Second)
	raw, err := os.ReadFile(filepath.Join(s.dir, "hook-was-called"))
	// PWD and the like are the shell's own.
	var count int
	want := "at-exit " + s.dir + " %d " + strings.TrimPrefix(hookPath, "PATH=")
	if _, e := fmt.Sscanf(string(raw), want, &count); err != nil || e != nil || count > 4 {
		t.Errorf("hook called with %q, %v", raw, err)
	}
}

// A task that is deleted was disconnected by its hook; what is connected now is the
// next one.
func TestDoesNotDisconnectDeletedTask(t *testing.T) {
	t.Parallel()
	s := newShim(t).write("network-config.json", `{}`).start("log-tty")
	c := s.run("true")
	if err := os.Remove(filepath.Join(s.bundle, "init.pid")); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	s.out.Close()
	s.ended(5 * time.Second)
	if _, err := os.Stat(filepath.Join(s.dir, "hook-was-called")); !os.IsNotExist(err) {
		t.Errorf("hook was called: %v", err)
	}
}

// The promise is 5 MB; this is a helper that has had something to do.
func TestResidentMemory(t *testing.T) {
	s := newShim(t).start("log")
	c := s.run("seq -f 'line %.0f' 100000; head -c 300000 /dev/zero | tr '\\0' '<'; echo; echo done >&2; sleep 60")
	eventually(t, "not written", func() bool { _, errs := s.log(); return errs == "done\n" })
	kb, err := strconv.Atoi(strings.TrimSuffix(status(t, s.helper.Process.Pid, "VmRSS"), " kB"))
	if err != nil || kb > 5000 {
		t.Errorf("%d kB resident, %v", kb, err)
	}
	t.Logf("%d kB resident", kb)
	_ = c.Process.Kill()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"log"}, {"log", ""}, {"log", "a", "b"}, {"other", "a"}} {
		var notes strings.Builder
		if code := Run(args, &notes); code != 2 || notes.String() != usage {
			t.Errorf("%q: %d, %q", args, code, notes.String())
		}
	}
	out, err := exec.Command(helperPath, "log", t.TempDir()).CombinedOutput()
	want := "nsh-helper: file descriptors 3 and 4 are not pipes; it is containerd's shim that runs this\n"
	if err == nil || string(out) != want {
		t.Errorf("by hand: %v, %q", err, out)
	}
	out, err = exec.Command(helperPath, "hook", "a", "b").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("b/hook-was-called")) {
		t.Errorf("hook: %v, %q", err, out)
	}
}
