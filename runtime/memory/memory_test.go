package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// newBusybox is an engine with an image that holds all programs.
func newBusybox(t *testing.T, opts Options) *Engine {
	t.Helper()
	e := New(opts)
	if err := e.Publish(image.Recipe{Name: "busybox"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Images.Pull(t.Context(), "busybox", image.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	return e
}

type result struct {
	stdout, stderr string
	code           int
}

func (e *Engine) try(t *testing.T, spec container.Spec, stdin io.Reader) (out result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if spec.Image == "" {
		spec.Image = "busybox"
	}
	c, err := e.Containers.Create(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	p, err := e.Containers.Start(ctx, c.ID, &container.Streams{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait(ctx)
	if err != nil {
		t.Fatalf("%q: %v; so far: %q, %q", spec.Command, err, stdout.String(), stderr.String())
	}
	return result{stdout.String(), stderr.String(), exit.Code}
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := newBusybox(t, Options{Clock: NewManualClock(now)})
	for _, tt := range []struct {
		args []string
		in   string
		want result
	}{
		{args: []string{"echo", "-n", "a", "b"}, want: result{stdout: "a b"}},
		{args: []string{"printf", "%s-%d\n", "a", "3"}, want: result{stdout: "a-3\n"}},
		{args: []string{"test", "1", "-gt", "2"}, want: result{code: 1}},
		{args: []string{"[", "-d", "/tmp", "]"}},
		{args: []string{"cat", "-", "/etc/hostname"}, in: "in\n", want: result{stdout: "in\nhost\n"}},
		{args: []string{"cat", "/nope"}, want: result{stderr: "cat: can't open '/nope': No such file or directory\n", code: 1}},
		{args: []string{"cat", "/etc"}, want: result{stderr: "cat: can't open '/etc': Is a directory\n", code: 1}},
		{args: []string{"head", "-n", "2"}, in: "1\n2\n3\n", want: result{stdout: "1\n2\n"}},
		{args: []string{"tail", "-n", "2"}, in: "1\n2\n3\n", want: result{stdout: "2\n3\n"}},
		{args: []string{"tail", "-1"}, in: "1\n2", want: result{stdout: "2"}},
		{args: []string{"wc", "-l"}, in: "1\n2\n", want: result{stdout: "2\n"}},
		{args: []string{"seq", "2", "2", "6"}, want: result{stdout: "2\n4\n6\n"}},
		{args: []string{"env", "-i", "A=1", "env"}, want: result{stdout: "A=1\n"}},
		{args: []string{"printenv", "A", "NOPE"}, want: result{stdout: "1\n", code: 1}},
		{args: []string{"pwd"}, want: result{stdout: "/tmp\n"}},
		{args: []string{"id"}, want: result{stdout: "uid=0(root) gid=0\n"}},
		{args: []string{"whoami"}, want: result{stdout: "root\n"}},
		{args: []string{"hostname"}, want: result{stdout: "host\n"}},
		{args: []string{"uname"}, want: result{stdout: "Linux\n"}},
		{args: []string{"date", "+%s"}, want: result{stdout: fmt.Sprint(now.Unix()) + "\n"}},
		{args: []string{"sleep", "x"}, want: result{stderr: "sleep: invalid number 'x'\n", code: 1}},
		{args: []string{"sleep", "0"}},
		{args: []string{"kill", "99"}, want: result{stderr: "kill: can't kill pid 99: No such process\n", code: 1}},
		{args: []string{"busybox", "echo", "x"}, want: result{stdout: "x\n"}},
		{args: []string{"busybox", "nope"}, want: result{stderr: "busybox: nope: applet not found\n", code: 127}},
		{args: []string{"ls", "/tmp", "/nope"}, want: result{stderr: "ls: /nope: No such file or directory\n", code: 1}},
		{args: []string{"mkdir", "/a/b"}, want: result{stderr: "mkdir: can't create directory '/a/b': No such file or directory\n", code: 1}},
		{args: []string{"rm", "/nope"}, want: result{stderr: "rm: can't remove '/nope': No such file or directory\n", code: 1}},
		{args: []string{"false"}, want: result{code: 1}},
	} {
		spec := container.Spec{Command: tt.args, Env: []string{"A=1"}, WorkDir: "/tmp", Hostname: "host", OpenStdin: true}
		if got := e.try(t, spec, strings.NewReader(tt.in)); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.args, got, tt.want)
		}
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	e := newBusybox(t, Options{})
	for _, tt := range []struct {
		line string
		want result
	}{
		{`echo a; exit 3`, result{stdout: "a\n", code: 3}},
		{`for i in 1 2; do echo $i | cat; done`, result{stdout: "1\n2\n"}},
		{`f() { echo "f $1"; return 4; }; f x || echo $?`, result{stdout: "f x\n4\n"}},
		{`echo $$ $PPID`, result{stdout: "1 0\n"}},
		{`echo x > /tmp/f; echo y >> /tmp/f; cat /tmp/f; cat < /tmp/f | wc -l`, result{stdout: "x\ny\n2\n"}},
		{`mkdir -p /d/e && cd /d && touch e/1 e/2 && echo e/* && ls /d/e && cp e/1 e/3 && rm -r e && ls`, result{stdout: "e/1 e/2\n1\n2\n"}},
		{`cd /nope`, result{stderr: "cd: no such file or directory: \"/nope\"\n", code: 1}},
		{`nope`, result{stderr: "sh: nope: not found\n", code: 127}},
		{`/tmp`, result{stderr: "sh: /tmp: Is a directory\n", code: 126}},
		{`cat <<EOF
here $((1+2))
EOF`, result{stdout: "here 3\n"}},
		{`read a; echo "got $a"`, result{stdout: "got in\n"}},
		{`set -e; false; echo not`, result{code: 1}},
		{`(exit 5); echo $?`, result{stdout: "5\n"}},
		{`x=$(echo sub; exit 2); echo $? $x`, result{stdout: "2 sub\n"}},
		{`trap 'echo bye' EXIT; echo hi`, result{stdout: "hi\nbye\n"}},
		{`trap 'echo usr; trap - USR1' USR1; kill -USR1 $$; echo after`, result{stdout: "usr\nafter\n"}},
		{`trap '' TERM; kill -TERM 1; kill -9 1; echo alive`, result{stdout: "alive\n"}},
		{`sleep 1000 & kill $!; wait $!; echo $?`, result{stdout: "143\n"}},
		{`(exit 7) & p=$!; (exit 8) & q=$!; wait $p; echo $?; wait $q; echo $?; wait; echo $?`, result{stdout: "7\n8\n0\n"}},
		{`wait 99; echo $?`, result{stdout: "127\n"}},
		{`trap 'echo stopped; exit 9' TERM; (sleep 0.05; kill -TERM 1) & sleep 1000 & wait`, result{stdout: "stopped\n", code: 9}},
		{`sh -c 'echo $0 $1' name arg; sh -ec 'false; echo not'; echo $?`, result{stdout: "name arg\n1\n"}},
		{`if`, result{stderr: "sh: sh:1:1: `if` must be followed by a statement list\n", code: 2}},
		{`cat /proc/self/status /etc/shadow 2>/dev/null; echo $?`, result{stdout: "1\n"}},
		{`kill -0 $$ && echo there; kill -0 77`, result{stdout: "there\n", stderr: "kill: can't kill pid 77: No such process\n", code: 1}},
		{`umask 022; export A=1; env | cat > /tmp/env; [ -s /tmp/env ] && echo some`, result{stdout: "some\n"}},
	} {
		if got := e.try(t, container.Spec{Command: []string{"sh", "-c", tt.line}, OpenStdin: true}, strings.NewReader("in\n")); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.line, got, tt.want)
		}
	}
	script := e.try(t, container.Spec{Command: []string{"sh"}, OpenStdin: true}, strings.NewReader("echo from stdin\nexit 6\n"))
	if want := (result{stdout: "from stdin\n", code: 6}); script != want {
		t.Errorf("%+v, want %+v", script, want)
	}
}

func TestFilesDecideWhatIsRun(t *testing.T) {
	t.Parallel()
	e := newBusybox(t, Options{})
	if _, err := e.Images.Assemble(t.Context(), image.Recipe{Name: "mine", Base: "busybox", Files: []image.File{
		{Path: "/app/run.sh", Content: []byte("#!/bin/sh -e\necho run $0 $1\nfalse\necho not\n"), Mode: 0o755},
		{Path: "/app/loop", Content: []byte("#!/app/loop\n"), Mode: 0o755},
		{Path: "/app/web", Content: []byte("\x7fELF"), Mode: 0o755},
		{Path: "/app/mine", Content: []byte("\x7fELF"), Mode: 0o755},
	}}); err != nil {
		t.Fatal(err)
	}
	got := e.try(t, container.Spec{Image: "mine", Command: []string{"/app/run.sh", "1"}}, nil)
	if want := (result{stdout: "run /app/run.sh 1\n", code: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	e.Register("mine", func(_ context.Context, p *Process) int {
		data, err := p.Files.ReadFile("/etc/hostname")
		fmt.Fprintf(p.Stdout, "%q %q %v %d", p.Args, data, err, p.PID())
		panic("at the disco")
	})
	got = e.try(t, container.Spec{Image: "mine", Command: []string{"/app/mine", "1"}, Hostname: "host"}, nil)
	if want := (result{stdout: `["/app/mine" "1"] "host\n" <nil> 1`, stderr: "panic: at the disco\n", code: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	c, err := e.Containers.Create(t.Context(), container.Spec{Image: "mine", Command: []string{"/app/loop"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); fault.CodeOf(err) != 126 {
		t.Errorf("a script that interprets itself: %v", err)
	}
	c, err = e.Containers.Create(t.Context(), container.Spec{Image: "mine", Command: []string{"/app/web"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Containers.Stop(t.Context(), c.ID, container.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if exit, err := e.Containers.Wait(t.Context(), c.ID); err != nil || exit.Code != 0 {
		t.Errorf("a server that is stopped: %+v, %v", exit, err)
	}
}

// An init makes the main process one like others: signals end it.
func TestInit(t *testing.T) {
	t.Parallel()
	e := newBusybox(t, Options{})
	c, err := e.Containers.Create(t.Context(), container.Spec{Image: "busybox", Command: []string{"sleep", "1000"}, Init: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Containers.Kill(t.Context(), c.ID, "TERM"); err != nil {
		t.Fatal(err)
	}
	if exit, err := e.Containers.Wait(t.Context(), c.ID); err != nil || exit.Code != 143 {
		t.Errorf("%+v, %v", exit, err)
	}
}

// The same seed and clock give the same values, so that a script's output can
// be compared as a whole.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	tell := func() string {
		e := newBusybox(t, Options{Seed: 7, Clock: NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), Networks: []string{"front"}})
		for i := range 3 {
			c, err := e.Containers.Create(t.Context(), container.Spec{
				Image: "busybox", Command: []string{"sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i)}, Networks: []string{"bridge", "front"}, Ports: []container.PortMapping{{ContainerPort: 80}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
				t.Fatal(err)
			}
			if i < 2 {
				if _, err := e.Containers.Wait(t.Context(), c.ID); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := e.Containers.Remove(t.Context(), c.ID, container.RemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
		all, err := e.Containers.List(t.Context(), container.ListOptions{All: true, Sizes: true})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if a, b := tell(), tell(); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestManualClock(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e := newBusybox(t, Options{Clock: clock})
	c, err := e.Containers.Create(t.Context(), container.Spec{Image: "busybox", Command: []string{"sh", "-c", "sleep 3600; echo hour"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := clock.WaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	exit, err := e.Containers.Wait(t.Context(), c.ID)
	if err != nil || exit.At.Truncate(time.Millisecond) != time.Date(2026, 1, 2, 4, 4, 5, 0, time.UTC) {
		t.Errorf("%+v, %v", exit, err)
	}

	// A stop that has to kill takes its timeout on this clock.
	c, err = e.Containers.Create(t.Context(), container.Spec{Image: "busybox", Command: []string{"sleep", "infinity"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- e.Containers.Stop(t.Context(), c.ID, container.StopOptions{}) }()
	if err := clock.WaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(10*time.Second - 1)
	select {
	case err := <-stopped:
		t.Errorf("stopped too early: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	clock.Advance(1)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestFastClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := newBusybox(t, Options{Clock: FastClock(start, 10_000)})
	at := time.Now()
	e.try(t, container.Spec{Command: []string{"sleep", "600"}}, nil)
	if took := time.Since(at); took > 10*time.Second || took < 50*time.Millisecond {
		t.Errorf("ten minutes took %s", took)
	}
	if now := e.clock.Now(); now.Before(start.Add(10 * time.Minute)) {
		t.Errorf("it is %s", now)
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	e := New(Options{})
	for _, name := range []string{"web:1", "ghcr.io/me/app"} {
		if err := e.Publish(image.Recipe{Name: name, Config: image.Config{Entrypoint: []string{"/srv/app"}, ExposedPorts: []string{"80/tcp"}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ ref, want, err string }{
		{"web:1", "docker.io/library/web:1", ""},
		{"ghcr.io/me/app", "ghcr.io/me/app:latest", ""},
		{"web:2", "", "manifest for web:2 not found: manifest unknown: manifest unknown"},
		{"nope:1", "", "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"},
		{"a b", "", "invalid reference format"},
	} {
		var seen []string
		img, err := e.Images.Pull(t.Context(), tt.ref, image.PullOptions{Progress: func(p image.Progress) { seen = append(seen, p.Status) }})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if img.Name != tt.want || text != tt.err || err == nil && !slices.Equal(seen, []string{"Downloading", "Extracting", "Pull complete"}) {
			t.Errorf("%s: %q, %q, %q; want %q, %q", tt.ref, img.Name, text, seen, tt.want, tt.err)
		}
	}
	e = New(Options{AnyImage: true})
	if _, err := e.Images.Pull(t.Context(), "whatever:9", image.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := e.Containers.Create(t.Context(), container.Spec{Image: "whatever:9"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	e := newBusybox(t, Options{Networks: []string{"front"}})
	start := func(spec container.Spec) (container.Container, error) {
		spec.Image, spec.Command = "busybox", []string{"sleep", "infinity"}
		c, err := e.Containers.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
			return c, err
		}
		return e.Containers.Get(t.Context(), c.ID)
	}
	a, err := start(container.Spec{Networks: []string{"front"}, IP: "10.4.1.7", Name: "first"})
	if err != nil || a.Networks[0] != (container.Endpoint{Network: "front", Interface: "eth0", IP: "10.4.1.7", PrefixLen: 24, Gateway: "10.4.1.1", MAC: "02:42:0a:04:01:07"}) {
		t.Errorf("%+v, %v", a.Networks, err)
	}
	for _, tt := range []struct {
		spec container.Spec
		kind fault.Kind
		err  string
	}{
		{container.Spec{Networks: []string{"front"}, IP: "10.4.1.7"}, fault.Conflict, "Address already in use: 10.4.1.7"},
		{container.Spec{Networks: []string{"front"}, IP: "10.4.1.1"}, fault.Conflict, "Address already in use: 10.4.1.1"},
		{container.Spec{IP: "10.9.9.9"}, fault.Invalid, "no configured subnet contains IP address 10.9.9.9"},
		{container.Spec{Networks: []string{"nope"}}, fault.NotFound, "network nope not found"},
		{container.Spec{Networks: []string{"container:nope"}}, fault.NotFound, "No such container: nope"},
	} {
		if _, err := start(tt.spec); err == nil || err.Error() != tt.err || fault.KindOf(err) != tt.kind {
			t.Errorf("%+v: %v (%s), want %s", tt.spec, err, fault.KindOf(err), tt.err)
		}
	}
	b, err := start(container.Spec{Networks: []string{"container:first"}})
	if err != nil || b.Networks[0] != (container.Endpoint{Network: "container:" + a.ID}) {
		t.Errorf("%+v, %v", b.Networks, err)
	}
	// 253 addresses are for containers; each one that goes gives its own back.
	for i := range 253 {
		c, err := start(container.Spec{})
		if err != nil {
			t.Fatalf("container %d: %v", i, err)
		}
		defer func() { _ = e.Containers.Remove(context.Background(), c.ID, container.RemoveOptions{Force: true}) }()
		a = c
	}
	if _, err := start(container.Spec{}); err == nil || err.Error() != "no available IPv4 addresses in 10.4.0.0/24" {
		t.Errorf("%v", err)
	}
	if err := e.Containers.Remove(t.Context(), a.ID, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if c, err := start(container.Spec{}); err != nil || c.Networks[0].IP != a.Networks[0].IP {
		t.Errorf("%+v, %v; want %s", c.Networks, err, a.Networks[0].IP)
	}
}

// All sorts of things done to the same few containers at once leave a state
// that holds together, with nothing taken by nobody.
func TestStorm(t *testing.T) {
	t.Parallel()
	e := newBusybox(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	svc := e.Containers
	zero := time.Duration(0)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 60 {
				name := fmt.Sprint("storm-", (worker+i)%3)
				switch (worker*7 + i) % 11 {
				case 0, 1:
					_, _ = svc.Create(ctx, container.Spec{Name: name, Image: "busybox", Command: []string{"sh", "-c", "while :; do echo tick; sleep 0.001; done"}, Ports: []container.PortMapping{{HostPort: 8080, ContainerPort: 80}}})
				case 2, 3:
					_, _ = svc.Start(ctx, name, nil)
				case 4:
					_ = svc.Stop(ctx, name, container.StopOptions{Timeout: &zero})
				case 5:
					_ = svc.Pause(ctx, name)
				case 6:
					_ = svc.Unpause(ctx, name)
				case 7:
					_ = svc.Kill(ctx, name, "KILL")
				case 8:
					if p, err := svc.Exec(ctx, name, container.ExecSpec{Command: []string{"echo", "x"}}, container.Streams{}); err == nil {
						short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
						_, _ = p.Wait(short)
						cancel()
					}
				case 9:
					_ = svc.Remove(ctx, name, container.RemoveOptions{Force: true})
				case 10:
					_, _ = svc.List(ctx, container.ListOptions{All: true, Sizes: true})
					_, _ = svc.Top(ctx, name, nil)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatal("it took too long: something waits for ever")
	}
	all, err := svc.List(ctx, container.ListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if err := svc.Remove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.boxes) != 0 || len(e.ports) != 0 || len(e.nets["bridge"].pools[0].used) != 0 {
		t.Errorf("left: %v, %v, %v", e.boxes, e.ports, e.nets["bridge"].pools[0].used)
	}
}

// A program may go on after it was killed, but nobody sees what it does.
func TestKilledProgram(t *testing.T) {
	t.Parallel()
	e := newBusybox(t, Options{})
	wrote := make(chan error)
	e.Register("stubborn", func(ctx context.Context, p *Process) int {
		<-ctx.Done()
		_, err := p.Stdout.Write([]byte("too late\n"))
		wrote <- err
		return 0
	})
	if err := e.Publish(image.Recipe{Name: "all"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Images.Pull(t.Context(), "all", image.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := e.Containers.Create(t.Context(), container.Spec{Image: "all", Command: []string{"stubborn"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Containers.Start(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Containers.Kill(t.Context(), c.ID, "KILL"); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != syscall.EPIPE {
		t.Errorf("writing gives %v", err)
	}
	exit, err := e.Containers.Wait(t.Context(), c.ID)
	if err != nil || exit.Code != 137 {
		t.Errorf("%+v, %v", exit, err)
	}
	if err := e.Containers.Logs(t.Context(), c.ID, container.LogOptions{Tail: -1}, func(l container.LogLine) error {
		t.Errorf("in the log: %q", l.Text)
		return nil
	}); err != nil {
		t.Error(err)
	}
}
