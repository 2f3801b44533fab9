package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// secret puts something into this program's environment that no container may
// see. T.Setenv is not for parallel tests; the value is always the same one.
func (s *suite) secret() { _ = os.Setenv("NSH_CONFORMANCE_SECRET", "leaked") }

func contextThatHasEnded(s *suite) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	return ctx, cancel
}

// counting is a script that writes n lines, and what it writes.
func counting(n int) (script, text string) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); done", n), b.String()
}

var start = []promise{
	{"runs the process", func(s *suite) {
		before := time.Now().Add(-2 * time.Second)
		c := s.idle()
		is(s, "the status", c.Status, container.Running)
		if c.Pid <= 0 || c.StartedAt.Before(before) || c.StartedAt.After(time.Now().Add(2*time.Second)) {
			s.Errorf("pid %d, started at %s", c.Pid, c.StartedAt)
		}
	}},
	{"with streams gives all output and the exit code", func(s *suite) {
		script, text := counting(2000)
		out := s.foreground(s.spec("sh", "-c", script+"; echo oops >&2; exit 42"), nil)
		is(s, "the output", out, output{stdout: text, stderr: "oops\n", code: 42})
	}},
	{"with streams loses nothing of what is short", func(s *suite) {
		for _, err := range every(8, func(i int) error {
			c, err := s.Containers.Create(s.ctx, s.spec("echo", fmt.Sprint("word ", i)))
			if err != nil {
				return err
			}
			var stdout buffer
			p, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdout: &stdout})
			if err != nil {
				return err
			}
			exit, err := p.Wait(s.ctx)
			if want := fmt.Sprintf("word %d\n", i); err == nil && (stdout.String() != want || exit.Code != 0) {
				err = fmt.Errorf("%q, %d, want %q", stdout.String(), exit.Code, want)
			}
			return err
		}) {
			s.ok(err)
		}
	}},
	{"keeps bytes as they are", func(s *suite) {
		out := s.foreground(s.spec("sh", "-c", `printf 'a\0b\377\r\nno newline'`), nil)
		is(s, "the output", out, output{stdout: "a\x00b\xff\r\nno newline"})
	}},
	{"gives the exit codes of processes", func(s *suite) {
		for command, code := range map[string]int{"true": 0, "false": 1, "exit 255": 255, "sleep 1000 & kill -9 $!; wait $!": 137} {
			is(s, "the exit code of "+command, s.foreground(s.spec("sh", "-c", command), nil).code, code)
		}
	}},
	{"with streams leaves the container Exited when Wait returns", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "exit 3"))
		is(s, "the output", s.startForeground(c.ID, nil), output{code: 3})
		c = s.get(c.ID)
		is(s, "the status", c.Status, container.Exited)
		is(s, "the exit code", c.ExitCode, 3)
		is(s, "the pid", c.Pid, 0)
		if c.FinishedAt.Before(c.StartedAt.Add(-time.Second)) || c.FinishedAt.After(time.Now().Add(time.Second)) {
			s.Errorf("started at %s, finished at %s", c.StartedAt, c.FinishedAt)
		}
	}},
	{"logs what streams see", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo out; echo err >&2"))
		is(s, "the output", s.startForeground(c.ID, nil), output{stdout: "out\n", stderr: "err\n"})
		stdout, stderr := s.log(c.ID, container.LogOptions{Tail: -1})
		is(s, "the log of stdout", stdout, "out\n")
		is(s, "the log of stderr", stderr, "err\n")
	}},
	{"passes standard input to its end", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin = true
		_, text := counting(500)
		is(s, "the output", s.foreground(spec, strings.NewReader(text)), output{stdout: text})
	}},
	{"passes a megabyte in and out", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin = true
		text := strings.Repeat("0123456789abcde\n", 1<<16)
		out := s.foreground(spec, strings.NewReader(text))
		if out.stdout != text || out.stderr != "" || out.code != 0 {
			s.Errorf("%d bytes of %d come out, stderr is %q, the code %d", len(out.stdout), len(text), out.stderr, out.code)
		}
	}},
	{"waits for one who takes his time to read", func(s *suite) {
		script, text := counting(300)
		c := s.create(s.spec("sh", "-c", script))
		var stdout slowBuffer
		var stderr buffer
		p, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdout: &stdout, Stderr: &stderr})
		s.ok(err)
		is(s, "the output", s.finish(p, &stdout.buffer, &stderr), output{stdout: text})
	}},
	{"with a context that has ended starts nothing", func(s *suite) {
		c := s.create(s.spec("true"))
		ctx, cancel := contextThatHasEnded(s)
		defer cancel()
		_, err := s.Containers.Start(ctx, c.ID, nil)
		is(s, "the kind of error", fault.KindOf(err), fault.Cancelled)
		is(s, "the status", s.get(c.ID).Status, container.Created)
	}},
	{"without an open stdin gives an input at its end", func(s *suite) {
		is(s, "the output", s.foreground(s.spec("cat"), strings.NewReader("lost")), output{})
	}},
	{"with a terminal makes one stream of two", func(s *suite) {
		spec := s.spec("sh", "-c", "echo out; echo err >&2")
		spec.TTY = true
		is(s, "the output", s.foreground(spec, nil), output{stdout: "out\r\nerr\r\n"})
	}},
	{"gives a process that can be signalled", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
		var stdout, stderr buffer
		p, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdout: &stdout, Stderr: &stderr})
		s.ok(err)
		s.shows(&stdout, "ready\n")
		is(s, "the pid", p.Pid(), s.get(c.ID).Pid)
		s.ok(p.Signal(s.ctx, "SIGTERM"))
		is(s, "the output", s.finish(p, &stdout, &stderr), output{stdout: "ready\ncaught\n", code: 7})
	}},
	{"goes on when the caller stops waiting", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo ready; exec sleep 1000"))
		var stdout buffer
		p, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdout: &stdout})
		s.ok(err)
		s.shows(&stdout, "ready\n")
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			s.Errorf("Wait gives %v", err)
		}
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
	{"of a running container is no error", func(s *suite) {
		c := s.idle()
		p, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.ok(err)
		is(s, "the pid", p.Pid(), c.Pid)
		is(s, "the pid of the container", s.get(c.ID).Pid, c.Pid)
	}},
	{"of a running container with streams attaches", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin = true
		c := s.start(spec)
		is(s, "the output", s.startForeground(c.ID, strings.NewReader("hello\n")), output{stdout: "hello\n"})
	}},
	{"runs an ended container again", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo once more >> /tmp/f; cat /tmp/f; exit 5"))
		first := s.startForeground(c.ID, nil)
		is(s, "the first output", first, output{stdout: "once more\n", code: 5})
		at := s.get(c.ID).StartedAt
		is(s, "the second output", s.startForeground(c.ID, nil), output{stdout: "once more\nonce more\n", code: 5})
		if again := s.get(c.ID).StartedAt; again.Before(at) {
			s.Errorf("started at %s, then at %s", at, again)
		}
		stdout, _ := s.log(c.ID, container.LogOptions{Tail: -1})
		is(s, "the log of both", stdout, "once more\nonce more\nonce more\n")
	}},
	{"of a paused container is a conflict", func(s *suite) {
		c := s.idle()
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		_, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.refuses(err, fault.Conflict, "cannot start a paused container, try unpause instead")
	}},
	{"without the program is exit status 127", func(s *suite) {
		s.cannotStart([]string{"no-such-program"}, 127, `exec: "no-such-program": executable file not found in $PATH`)
		s.cannotStart([]string{"/no/such/program"}, 127, `exec: "/no/such/program": `)
	}},
	{"of what is not executable is exit status 126", func(s *suite) {
		s.derive("plain", image.Config{}, image.File{Path: "/plain", Content: []byte("x"), Mode: 0o644})
		s.Image = "plain"
		s.cannotStart([]string{"/plain"}, 126, `exec: "/plain": permission denied`)
		s.cannotStart([]string{"/tmp"}, 126, `exec: "/tmp": `)
	}},
	{"many at once is no problem", func(s *suite) {
		for _, err := range every(10, func(i int) error {
			spec := s.spec("sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))
			c, err := s.Containers.Create(s.ctx, spec)
			if err != nil {
				return err
			}
			if _, err := s.Containers.Start(s.ctx, c.ID, nil); err != nil {
				return err
			}
			exit, err := s.Containers.Wait(s.ctx, c.ID)
			if err == nil && exit.Code != i {
				err = fmt.Errorf("container %d exited with %d", i, exit.Code)
			}
			return errors.Join(err, s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}))
		}) {
			s.ok(err)
		}
		s.leaves()
	}},
	{"of one container many times at once starts it once", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo started; exec sleep 1000"))
		for _, err := range every(5, func(int) error { _, err := s.Containers.Start(s.ctx, c.ID, nil); return err }) {
			s.ok(err)
		}
		s.says(c.ID, "started\n")
		s.ok(s.Containers.Kill(s.ctx, c.ID, "KILL"))
		stdout, _ := s.log(c.ID, container.LogOptions{Tail: -1})
		is(s, "the log", stdout, "started\n")
	}},
}

// cannotStart checks a start that fails for the program's sake: what runc says
// differs before its last words between versions.
func (s *suite) cannotStart(command []string, code int, words string) {
	s.Helper()
	c := s.create(s.spec(command...))
	_, err := s.Containers.Start(s.ctx, c.ID, nil)
	if err == nil || fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != code || !strings.Contains(err.Error(), words) || fault.HintOf(err) == "" {
		s.Errorf("%q: error of kind %s and code %d with hint %q: %v\nwant kind invalid, code %d and the words %s",
			command, fault.KindOf(err), fault.CodeOf(err), fault.HintOf(err), err, code, words)
		return
	}
	c = s.get(c.ID)
	is(s, "the status after the failure", c.Status, container.Created)
	is(s, "the error that the container shows", c.Error, err.Error())
	s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}))
}

var wait = []promise{
	{"tells how a container ended, as often as asked", func(s *suite) {
		before := time.Now().Add(-time.Second)
		c := s.start(s.spec("sh", "-c", "exit 9"))
		for range 2 {
			exit, err := s.Containers.Wait(s.ctx, c.ID)
			s.ok(err)
			is(s, "the exit code", exit.Code, 9)
			if exit.At.Before(before) || exit.At.After(time.Now().Add(time.Second)) {
				s.Errorf("ended at %s", exit.At)
			}
		}
	}},
	{"blocks until the end, for all who wait", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin = true
		c := s.create(spec)
		in, feed := io.Pipe()
		_, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdin: in})
		s.ok(err)
		ended := make(chan error, 3)
		for range cap(ended) {
			go func() {
				exit, err := s.Containers.Wait(s.ctx, c.ID)
				if err == nil && exit.Code != 0 {
					err = fmt.Errorf("exit code %d", exit.Code)
				}
				ended <- err
			}()
		}
		select {
		case err := <-ended:
			s.Errorf("Wait returned (%v) while the container ran", err)
		case <-time.After(100 * time.Millisecond):
		}
		feed.Close()
		for range cap(ended) {
			s.ok(<-ended)
		}
	}},
	{"for one that was never started waits for the first end", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "exit 4"))
		ended := make(chan container.Exit, 1)
		go func() {
			if exit, err := s.Containers.Wait(s.ctx, c.ID); err == nil {
				ended <- exit
			}
		}()
		select {
		case exit := <-ended:
			s.Errorf("Wait returned %+v before the start", exit)
		case <-time.After(100 * time.Millisecond):
		}
		_, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.ok(err)
		select {
		case exit := <-ended:
			is(s, "the exit code", exit.Code, 4)
		case <-s.ctx.Done():
			s.Error("Wait did not return")
		}
	}},
	{"for one that is removed before its start is not_found", func(s *suite) {
		c := s.create(s.spec("true"))
		ended := make(chan error, 1)
		go func() {
			_, err := s.Containers.Wait(s.ctx, c.ID)
			ended <- err
		}()
		time.Sleep(50 * time.Millisecond)
		s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}))
		s.refuses(<-ended, fault.NotFound, "No such container: "+c.ID)
	}},
	{"ends with its context, and the container goes on", func(s *suite) {
		c := s.idle()
		ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
		defer cancel()
		_, err := s.Containers.Wait(ctx, c.ID)
		is(s, "the kind of error", fault.KindOf(err), fault.Timeout)
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
}

var attach = []promise{
	{"by several shows all of them all output", func(s *suite) {
		spec := s.spec("sh", "-c", "cat >/dev/null; i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; exit 6")
		spec.OpenStdin = true
		c := s.create(spec)
		in, feed := io.Pipe()
		_, text := counting(500)
		want := output{stdout: text, stderr: "oops\n", code: 6}
		var outs [3][2]buffer
		first, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdin: in, Stdout: &outs[0][0], Stderr: &outs[0][1]})
		s.ok(err)
		all := []container.Process{first}
		for i := 1; i < len(outs); i++ {
			p, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{Stdout: &outs[i][0], Stderr: &outs[i][1]})
			s.ok(err)
			all = append(all, p)
		}
		feed.Close()
		for i, p := range all {
			is(s, fmt.Sprint("the output of ", i), s.finish(p, &outs[i][0], &outs[i][1]), want)
		}
	}},
	{"passes standard input on", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin = true
		c := s.start(spec)
		var stdout, stderr buffer
		p, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{Stdin: strings.NewReader("typed\n"), Stdout: &stdout, Stderr: &stderr})
		s.ok(err)
		is(s, "the output", s.finish(p, &stdout, &stderr), output{stdout: "typed\n"})
	}},
	{"ends at the detach keys, and the process goes on", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin, spec.TTY = true, true
		c := s.start(spec)
		var stdout buffer
		p, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{
			Stdin: strings.NewReader("typed\n\x10\x11"), Stdout: &stdout, DetachKeys: []byte("\x10\x11"), Width: 80, Height: 24,
		})
		s.ok(err)
		s.ok(p.Resize(s.ctx, 100, 30))
		if _, err := p.Wait(s.ctx); !errors.Is(err, container.ErrDetached) {
			s.Errorf("Wait gives %v, want ErrDetached", err)
		}
		is(s, "the status", s.get(c.ID).Status, container.Running)
		s.says(c.ID, "typed\r\n")
		// Who comes later finds the input open.
		p, err = s.Containers.Attach(s.ctx, c.ID, container.Streams{Stdin: strings.NewReader("again\n\x10\x11"), Stdout: &stdout, DetachKeys: []byte("\x10\x11")})
		s.ok(err)
		if _, err := p.Wait(s.ctx); !errors.Is(err, container.ErrDetached) {
			s.Errorf("the second Wait gives %v, want ErrDetached", err)
		}
		s.says(c.ID, "again\r\n")
	}},
	{"to a container that does not run is a conflict", func(s *suite) {
		c := s.create(s.spec("true"))
		_, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{})
		s.refuses(err, fault.Conflict, "container "+c.ID+" is not running")
		s.startForeground(c.ID, nil)
		_, err = s.Containers.Attach(s.ctx, c.ID, container.Streams{})
		s.refuses(err, fault.Conflict, "container "+c.ID+" is not running")
	}},
	{"that is given up does not harm the others", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo ready; while ! [ -e /tmp/go ]; do sleep 0.05; done; echo done"))
		var stdout, stderr, other buffer
		p, err := s.Containers.Start(s.ctx, c.ID, &container.Streams{Stdout: &stdout, Stderr: &stderr})
		s.ok(err)
		s.shows(&stdout, "ready\n")
		q, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{Stdout: &other})
		s.ok(err)
		ctx, cancel := contextThatHasEnded(s)
		defer cancel()
		if _, err := q.Wait(ctx); !errors.Is(err, context.Canceled) {
			s.Errorf("Wait gives %v", err)
		}
		is(s, "the exec", s.execute(c.ID, container.ExecSpec{Command: []string{"sh", "-c", "echo > /tmp/go"}}, nil), output{})
		is(s, "the output", s.finish(p, &stdout, &stderr), output{stdout: "ready\ndone\n"})
	}},
}

var exec = []promise{
	{"gives output and exit code", func(s *suite) {
		c := s.idle()
		script, text := counting(500)
		out := s.execute(c.ID, container.ExecSpec{Command: []string{"sh", "-c", script + "; echo oops >&2; exit 42"}}, nil)
		is(s, "the output", out, output{stdout: text, stderr: "oops\n", code: 42})
	}},
	{"has the container's environment, directory and user, or its own", func(s *suite) {
		spec := s.spec("sleep", "1000")
		spec.Env, spec.WorkDir, spec.User = []string{"A=1", "B=2"}, "/tmp", "1000"
		c := s.start(spec)
		tell := container.ExecSpec{Command: []string{"sh", "-c", `echo "$A $B $C $(pwd) $(id -u)"`}}
		is(s, "the output", s.execute(c.ID, tell, nil), output{stdout: "1 2  /tmp 1000\n"})
		tell.Env, tell.WorkDir, tell.User = []string{"B=3", "C=4"}, "/", "0"
		is(s, "the output with its own", s.execute(c.ID, tell, nil), output{stdout: "1 3 4 / 0\n"})
	}},
	{"passes standard input to its end", func(s *suite) {
		c := s.idle()
		_, text := counting(500)
		is(s, "the output", s.execute(c.ID, container.ExecSpec{Command: []string{"cat"}}, strings.NewReader(text)), output{stdout: text})
	}},
	{"without standard input finds it at its end", func(s *suite) {
		c := s.idle()
		is(s, "the output", s.execute(c.ID, container.ExecSpec{Command: []string{"cat"}}, nil), output{})
	}},
	{"with a terminal makes one stream of two", func(s *suite) {
		c := s.idle()
		out := s.execute(c.ID, container.ExecSpec{Command: []string{"sh", "-c", "echo out; echo err >&2"}, TTY: true}, nil)
		is(s, "the output", out, output{stdout: "out\r\nerr\r\n"})
	}},
	{"leaves the container as it is, and its log", func(s *suite) {
		c := s.idle()
		s.execute(c.ID, container.ExecSpec{Command: []string{"echo", "hidden"}}, nil)
		now := s.get(c.ID)
		is(s, "the status", now.Status, container.Running)
		is(s, "the pid", now.Pid, c.Pid)
		is(s, "the log", join(s.lines(c.ID, container.LogOptions{Tail: -1})), "")
	}},
	{"detached runs on its own", func(s *suite) {
		c := s.idle()
		p, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"sh", "-c", "echo here > /tmp/made"}, Detach: true}, container.Streams{})
		s.ok(err)
		if p.Pid() <= 0 || p.Pid() == c.Pid {
			s.Errorf("the pid is %d, the container's %d", p.Pid(), c.Pid)
		}
		s.until("the file is there", func() bool {
			return s.execute(c.ID, container.ExecSpec{Command: []string{"sh", "-c", "cat /tmp/made 2>/dev/null"}}, nil).stdout == "here\n"
		})
	}},
	{"gives a process that can be signalled", func(s *suite) {
		c := s.idle()
		var stdout, stderr buffer
		p, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"sleep", "1000"}}, container.Streams{Stdout: &stdout, Stderr: &stderr})
		s.ok(err)
		s.ok(p.Signal(s.ctx, "TERM"))
		is(s, "the output", s.finish(p, &stdout, &stderr), output{code: 143})
		is(s, "the status of the container", s.get(c.ID).Status, container.Running)
	}},
	{"with a terminal ends at the detach keys, and the process goes on", func(s *suite) {
		c := s.idle()
		p, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"sh", "-c", "while ! [ -e /tmp/go ]; do sleep 0.05; done; echo > /tmp/gone"}, TTY: true},
			container.Streams{Stdin: strings.NewReader("\x10\x11"), DetachKeys: []byte("\x10\x11")})
		s.ok(err)
		if _, err := p.Wait(s.ctx); !errors.Is(err, container.ErrDetached) {
			s.Errorf("Wait gives %v, want ErrDetached", err)
		}
		is(s, "the exec", s.execute(c.ID, container.ExecSpec{Command: []string{"sh", "-c", "echo > /tmp/go; while ! [ -e /tmp/gone ]; do sleep 0.05; done"}}, nil), output{})
	}},
	{"many at once is no problem", func(s *suite) {
		c := s.idle()
		for _, err := range every(10, func(i int) error {
			var stdout buffer
			p, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i)}}, container.Streams{Stdout: &stdout})
			if err != nil {
				return err
			}
			exit, err := p.Wait(s.ctx)
			if err == nil && (exit.Code != i || stdout.String() != fmt.Sprintf("%d\n", i)) {
				err = fmt.Errorf("process %d exited with %d and wrote %q", i, exit.Code, stdout.String())
			}
			return err
		}) {
			s.ok(err)
		}
	}},
	{"without the program is exit status 127", func(s *suite) {
		c := s.idle()
		_, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"no-such-program"}}, container.Streams{})
		const words = `exec: "no-such-program": executable file not found in $PATH`
		if fault.KindOf(err) != fault.Invalid || fault.CodeOf(err) != 127 || err == nil || !strings.Contains(err.Error(), words) {
			s.Errorf("error of kind %s and code %d: %v\nwant kind invalid, code 127 and the words %s", fault.KindOf(err), fault.CodeOf(err), err, words)
		}
		is(s, "the status of the container", s.get(c.ID).Status, container.Running)
	}},
	{"with an unknown user is invalid", func(s *suite) {
		c := s.idle()
		_, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"true"}, User: "no-such-user"}, container.Streams{})
		s.refuses(err, fault.Invalid, "unable to find user no-such-user: no matching entries in passwd file")
	}},
	{"in a container that does not run is a conflict", func(s *suite) {
		c := s.create(s.spec("true"))
		again := func() error {
			_, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"true"}}, container.Streams{})
			return err
		}
		s.refuses(again(), fault.Conflict, "container "+c.ID+" is not running")
		s.startForeground(c.ID, nil)
		s.refuses(again(), fault.Conflict, "container "+c.ID+" is not running")
	}},
	{"in a paused container is a conflict", func(s *suite) {
		c := s.idle()
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		_, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"true"}}, container.Streams{})
		s.refuses(err, fault.Conflict, "Container "+c.ID+" is paused, unpause the container before exec")
	}},
	{"ends with its container", func(s *suite) {
		c := s.idle()
		p, err := s.Containers.Exec(s.ctx, c.ID, container.ExecSpec{Command: []string{"sleep", "1000"}}, container.Streams{})
		s.ok(err)
		s.ok(s.Containers.Kill(s.ctx, c.ID, "KILL"))
		exit, err := p.Wait(s.ctx)
		s.ok(err)
		is(s, "the exit code", exit.Code, 137)
	}},
}
