package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// deaf is a container whose process ignores what asks it to end.
func (s *suite) deaf() container.Container {
	s.Helper()
	c := s.start(s.spec("sh", "-c", "trap '' TERM INT; echo ready; while :; do sleep 0.05; done"))
	s.says(c.ID, "ready\n")
	return c
}

var stop = []promise{
	{"asks the process to end, by SIGTERM", func(s *suite) {
		c := s.catching(s.spec(), "TERM")
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}))
		is(s, "the status", s.get(c.ID).Status, container.Exited)
		s.exits(c.ID, 7)
		stdout, _ := s.log(c.ID, container.LogOptions{Tail: -1})
		is(s, "the log", stdout, "ready\ncaught\n")
	}},
	{"asks by the container's stop signal", func(s *suite) {
		spec := s.spec()
		spec.StopSignal = "SIGUSR1"
		c := s.catching(spec, "USR1")
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}))
		s.exits(c.ID, 7)
	}},
	{"asks by the signal that is given before all others", func(s *suite) {
		spec := s.spec()
		spec.StopSignal = "SIGUSR1"
		c := s.catching(spec, "USR2")
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{Signal: "USR2"}))
		s.exits(c.ID, 7)
	}},
	{"kills after the timeout", func(s *suite) {
		c := s.deaf()
		at := time.Now()
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{Timeout: seconds(1)}))
		if took := time.Since(at); took < 900*time.Millisecond {
			s.Errorf("it took %s", took)
		}
		s.exits(c.ID, 137)
	}},
	{"kills after the container's own timeout", func(s *suite) {
		one := 1
		// The main process has no handler: SIGTERM does nothing. Right after the start it
		// may still be runc's, which has one.
		spec := s.spec("sh", "-c", "echo ready; exec sleep 1000")
		spec.StopTimeout = &one
		c := s.start(spec)
		s.says(c.ID, "ready\n")
		at := time.Now()
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}))
		if took := time.Since(at); took < 900*time.Millisecond || took > 9*time.Second {
			s.Errorf("it took %s", took)
		}
		s.exits(c.ID, 137)
	}},
	{"kills at once with timeout 0", func(s *suite) {
		c := s.catching(s.spec(), "TERM")
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{Timeout: seconds(0)}))
		s.exits(c.ID, 137)
	}},
	{"waits for ever with a negative timeout", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "trap 'sleep 0.5; exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
		s.says(c.ID, "ready\n")
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{Timeout: seconds(-1)}))
		s.exits(c.ID, 7)
	}},
	{"of what does not run is no error", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "exit 3"))
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}))
		is(s, "the status", s.get(c.ID).Status, container.Created)
		s.startForeground(c.ID, nil)
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}))
		s.exits(c.ID, 3)
	}},
	{"of a paused container ends it", func(s *suite) {
		c := s.catching(s.spec(), "TERM")
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		s.ok(s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}))
		s.exits(c.ID, 7)
	}},
	{"by an unknown signal is invalid", func(s *suite) {
		c := s.idle()
		err := s.Containers.Stop(s.ctx, c.ID, container.StopOptions{Signal: "NOPE"})
		s.refuses(err, fault.Invalid, "invalid signal: NOPE")
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
	{"that is given up leaves the container running", func(s *suite) {
		c := s.deaf()
		ctx, cancel := context.WithTimeout(s.ctx, 100*time.Millisecond)
		defer cancel()
		err := s.Containers.Stop(ctx, c.ID, container.StopOptions{Timeout: seconds(1000)})
		is(s, "the kind of error", fault.KindOf(err), fault.Timeout)
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
	{"many times at once is no error", func(s *suite) {
		c := s.catching(s.spec(), "TERM")
		for _, err := range every(5, func(int) error { return s.Containers.Stop(s.ctx, c.ID, container.StopOptions{}) }) {
			s.ok(err)
		}
		s.exits(c.ID, 7)
	}},
}

var kill = []promise{
	{"sends a signal by name, with and without SIG, and by number", func(s *suite) {
		for _, signal := range []string{"SIGUSR1", "usr1", "10"} {
			c := s.catching(s.spec(), "USR1")
			s.ok(s.Containers.Kill(s.ctx, c.ID, signal))
			s.exits(c.ID, 7)
		}
	}},
	{"by SIGKILL returns when the container has ended", func(s *suite) {
		c := s.deaf()
		s.ok(s.Containers.Kill(s.ctx, c.ID, "KILL"))
		now := s.get(c.ID)
		is(s, "the status", now.Status, container.Exited)
		is(s, "the exit code", now.ExitCode, 137)
		is(s, "the pid", now.Pid, 0)
	}},
	{"by what the process ignores leaves it running", func(s *suite) {
		c := s.deaf()
		s.ok(s.Containers.Kill(s.ctx, c.ID, "TERM"))
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
	{"of what does not run is a conflict", func(s *suite) {
		c := s.create(s.spec("true"))
		s.refuses(s.Containers.Kill(s.ctx, c.Name, "KILL"), fault.Conflict, "cannot kill container: "+c.Name+": container "+c.ID+" is not running")
		s.startForeground(c.ID, nil)
		s.refuses(s.Containers.Kill(s.ctx, c.ID[:12], "TERM"), fault.Conflict, "cannot kill container: "+c.ID[:12]+": container "+c.ID+" is not running")
	}},
	{"by an unknown signal is invalid", func(s *suite) {
		c := s.idle()
		for _, signal := range []string{"NOPE", "0", "-9", "999"} {
			s.refuses(s.Containers.Kill(s.ctx, c.ID, signal), fault.Invalid, "invalid signal: "+signal)
		}
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
	{"of a paused container by SIGKILL ends it", func(s *suite) {
		c := s.idle()
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		s.ok(s.Containers.Kill(s.ctx, c.ID, "KILL"))
		s.exits(c.ID, 137)
	}},
}

var pause = []promise{
	{"freezes the processes until they are thawed", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "while :; do echo tick; sleep 0.02; done"))
		s.says(c.ID, "tick\n")
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		now := s.get(c.ID)
		is(s, "the status", now.Status, container.Paused)
		is(s, "the pid", now.Pid, c.Pid)
		// What was written before is on its way still.
		time.Sleep(200 * time.Millisecond)
		before := len(s.lines(c.ID, container.LogOptions{Tail: -1}))
		time.Sleep(200 * time.Millisecond)
		is(s, "the number of lines", len(s.lines(c.ID, container.LogOptions{Tail: -1})), before)
		s.ok(s.Containers.Unpause(s.ctx, c.ID))
		is(s, "the status", s.get(c.ID).Status, container.Running)
		s.until("it goes on", func() bool { return len(s.lines(c.ID, container.LogOptions{Tail: -1})) > before })
	}},
	{"holds signals back", func(s *suite) {
		c := s.catching(s.spec(), "TERM")
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		s.ok(s.Containers.Kill(s.ctx, c.ID, "TERM"))
		time.Sleep(100 * time.Millisecond)
		is(s, "the status", s.get(c.ID).Status, container.Paused)
		s.ok(s.Containers.Unpause(s.ctx, c.ID))
		s.exits(c.ID, 7)
	}},
	{"of what does not run is a conflict", func(s *suite) {
		c := s.create(s.spec("true"))
		s.refuses(s.Containers.Pause(s.ctx, c.ID), fault.Conflict, "container "+c.ID+" is not running")
		s.startForeground(c.ID, nil)
		s.refuses(s.Containers.Pause(s.ctx, c.ID), fault.Conflict, "container "+c.ID+" is not running")
	}},
	{"of a paused one is a conflict", func(s *suite) {
		c := s.idle()
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		s.refuses(s.Containers.Pause(s.ctx, c.ID), fault.Conflict, "Container "+c.ID+" is already paused")
	}},
	{"cannot be ended where it was not begun", func(s *suite) {
		c := s.create(s.spec("sleep", "1000"))
		want := "Container " + c.ID + " is not paused"
		s.refuses(s.Containers.Unpause(s.ctx, c.ID), fault.Conflict, want)
		_, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.ok(err)
		s.refuses(s.Containers.Unpause(s.ctx, c.ID), fault.Conflict, want)
	}},
}

var rename = []promise{
	{"gives another name and frees the old one", func(s *suite) {
		spec := s.spec("sleep", "1000")
		spec.Name = "old"
		c := s.start(spec)
		s.ok(s.Containers.Rename(s.ctx, "old", "new"))
		is(s, "the container of the new name", s.get("new").ID, c.ID)
		is(s, "the name", s.get(c.ID).Name, "new")
		is(s, "the status", s.get(c.ID).Status, container.Running)
		_, err := s.Containers.Get(s.ctx, "old")
		s.refuses(err, fault.NotFound, "No such container: old")
		s.create(spec)
	}},
	{"to a name in use is a conflict", func(s *suite) {
		spec := s.spec("true")
		spec.Name = "taken"
		holder := s.create(spec)
		c := s.create(s.spec("true"))
		s.refuses(s.Containers.Rename(s.ctx, c.ID, "taken"), fault.Conflict, "Error when allocating new name: "+inUse("taken", holder.ID))
		is(s, "the name", s.get(c.ID).Name, c.Name)
	}},
	{"to an invalid name is invalid", func(s *suite) {
		c := s.create(s.spec("true"))
		s.refuses(s.Containers.Rename(s.ctx, c.ID, "a b"), fault.Invalid, "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
	}},
	{"to its own name is invalid", func(s *suite) {
		c := s.create(s.spec("true"))
		s.refuses(s.Containers.Rename(s.ctx, c.ID, c.Name), fault.Invalid, "Renaming a container with the same name as its current name")
	}},
	{"of many to one name succeeds once", func(s *suite) {
		var all [8]container.Container
		for i := range all {
			all[i] = s.create(s.spec("true"))
		}
		renamed := 0
		for i, err := range every(len(all), func(i int) error { return s.Containers.Rename(s.ctx, all[i].ID, "one") }) {
			if err == nil {
				renamed++
				is(s, "the container of the name", s.get("one").ID, all[i].ID)
			} else {
				is(s, "the kind of error", fault.KindOf(err), fault.Conflict)
				is(s, "the name", s.get(all[i].ID).Name, all[i].Name)
			}
		}
		is(s, "how many were renamed", renamed, 1)
	}},
}

var remove = []promise{
	{"takes a container away, and frees its name", func(s *suite) {
		spec := s.spec("true")
		spec.Name = "web"
		for _, began := range []bool{false, true} {
			c := s.create(spec)
			if began {
				s.startForeground(c.ID, nil)
			}
			s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}))
			_, err := s.Containers.Get(s.ctx, c.ID)
			s.refuses(err, fault.NotFound, "No such container: "+c.ID)
			s.leaves()
		}
		s.create(spec)
	}},
	{"of a running container is a conflict", func(s *suite) {
		c := s.idle()
		err := s.Containers.Remove(s.ctx, c.Name, container.RemoveOptions{})
		s.refuses(err, fault.Conflict, `cannot remove container "`+c.Name+`": container is running: stop the container before removing or force remove`)
		is(s, "the status", s.get(c.ID).Status, container.Running)
	}},
	{"of a paused container is a conflict", func(s *suite) {
		c := s.idle()
		s.ok(s.Containers.Pause(s.ctx, c.ID))
		err := s.Containers.Remove(s.ctx, c.Name, container.RemoveOptions{})
		s.refuses(err, fault.Conflict, `cannot remove container "`+c.Name+`": container is paused and must be unpaused first`)
		is(s, "the status", s.get(c.ID).Status, container.Paused)
	}},
	{"by force takes a running one and a paused one", func(s *suite) {
		running, paused := s.idle(), s.deaf()
		s.ok(s.Containers.Pause(s.ctx, paused.ID))
		s.ok(s.Containers.Remove(s.ctx, running.ID, container.RemoveOptions{Force: true}))
		s.ok(s.Containers.Remove(s.ctx, paused.ID, container.RemoveOptions{Force: true}))
		s.leaves()
	}},
	{"twice is not_found", func(s *suite) {
		c := s.create(s.spec("true"))
		s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}))
		s.refuses(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}), fault.NotFound, "No such container: "+c.ID)
	}},
	{"many times at once succeeds, or finds it gone", func(s *suite) {
		c := s.idle()
		removed := 0
		for _, err := range every(5, func(int) error { return s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{Force: true}) }) {
			if err == nil {
				removed++
			} else {
				s.refuses(err, fault.NotFound, "No such container: "+c.ID)
			}
		}
		if removed == 0 {
			s.Error("nobody removed it")
		}
		s.leaves()
	}},
	{"at exit is the caller's business until he lets go", func(s *suite) {
		_, err := s.Containers.RemoveAtExit(s.ctx, "nope")
		s.refuses(err, fault.NotFound, "No such container: nope")
		c := s.create(s.spec("true"))
		release, err := s.Containers.RemoveAtExit(s.ctx, c.ID)
		s.ok(err)
		is(s, "the output", s.startForeground(c.ID, nil), output{})
		time.Sleep(300 * time.Millisecond)
		is(s, "the status", s.get(c.ID).Status, container.Exited)
		s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{}))
		release()
		s.leaves()
	}},
	{"ends those who follow its log", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "echo ready; exec sleep 1000"))
		s.says(c.ID, "ready\n")
		ended := make(chan error, 1)
		go func() {
			ended <- s.Containers.Logs(s.ctx, c.ID, container.LogOptions{Follow: true, Tail: -1}, func(container.LogLine) error { return nil })
		}()
		time.Sleep(50 * time.Millisecond)
		s.ok(s.Containers.Remove(s.ctx, c.ID, container.RemoveOptions{Force: true}))
		select {
		case err := <-ended:
			s.ok(err)
		case <-s.ctx.Done():
			s.Error("they wait still")
		}
	}},
}

var logs = []promise{
	{"give all lines in order, with stream and time", func(s *suite) {
		before := time.Now().Add(-time.Second)
		c := s.create(s.spec("sh", "-c", "for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done"))
		s.startForeground(c.ID, nil)
		var got []string
		last := before
		for _, l := range s.lines(c.ID, container.LogOptions{Tail: -1}) {
			got = append(got, l.Stream+": "+string(l.Text))
			if l.Time.Before(last) || l.Time.After(time.Now().Add(time.Second)) {
				s.Errorf("%q at %s comes after one at %s", l.Text, l.Time, last)
			}
			last = l.Time
		}
		is(s, "the log", strings.Join(got, ""), "stdout: out 1\nstderr: err 1\nstdout: out 2\nstderr: err 2\nstdout: out 3\nstderr: err 3\n")
	}},
	{"are empty before the first start", func(s *suite) {
		c := s.create(s.spec("true"))
		is(s, "the number of lines", len(s.lines(c.ID, container.LogOptions{Tail: -1})), 0)
	}},
	{"with Tail give the last lines", func(s *suite) {
		script, text := counting(30)
		c := s.create(s.spec("sh", "-c", script))
		s.startForeground(c.ID, nil)
		for tail, want := range map[int]string{-1: text, 0: "", 1: "line 29\n", 3: "line 27\nline 28\nline 29\n", 30: text, 1000: text} {
			is(s, fmt.Sprint("the log with tail ", tail), join(s.lines(c.ID, container.LogOptions{Tail: tail})), want)
		}
	}},
	{"with Since and Until give what is between", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"))
		s.startForeground(c.ID, nil)
		all := s.lines(c.ID, container.LogOptions{Tail: -1})
		if len(all) != 3 {
			s.Fatalf("%d lines", len(all))
		}
		for _, tt := range []struct {
			opts container.LogOptions
			want string
		}{
			{container.LogOptions{Tail: -1, Since: all[1].Time}, "2\n3\n"},
			{container.LogOptions{Tail: -1, Since: all[1].Time.Add(1)}, "3\n"},
			{container.LogOptions{Tail: -1, Until: all[1].Time}, "1\n2\n"},
			{container.LogOptions{Tail: -1, Since: all[1].Time, Until: all[1].Time}, "2\n"},
			{container.LogOptions{Tail: -1, Since: all[2].Time.Add(time.Hour)}, ""},
			{container.LogOptions{Tail: -1, Until: all[0].Time.Add(-time.Hour)}, ""},
			{container.LogOptions{Tail: 1, Until: all[1].Time}, ""},
		} {
			is(s, fmt.Sprintf("the log with %+v", tt.opts), join(s.lines(c.ID, tt.opts)), tt.want)
		}
	}},
	{"that are followed end with the container, and nothing is lost", func(s *suite) {
		script, text := counting(2000)
		spec := s.spec("sh", "-c", "cat >/dev/null; "+script+"; printf 'the end'")
		spec.OpenStdin = true
		c := s.start(spec)
		got := make(chan string, 3)
		for range cap(got) {
			go func() {
				var b strings.Builder
				err := s.Containers.Logs(s.ctx, c.ID, container.LogOptions{Follow: true, Tail: -1}, func(l container.LogLine) error { b.Write(l.Text); return nil })
				if err != nil {
					b.WriteString(err.Error())
				}
				got <- b.String()
			}()
		}
		p, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{Stdin: strings.NewReader("go\n")})
		s.ok(err)
		_, err = p.Wait(s.ctx)
		s.ok(err)
		for range cap(got) {
			is(s, "what was followed", <-got, text+"the end")
		}
	}},
	{"that are followed come while the container runs", func(s *suite) {
		spec := s.spec("cat")
		spec.OpenStdin = true
		c := s.start(spec)
		for _, word := range []string{"one\n", "two\n"} {
			// The input stays open: only Logs can tell that the line is there.
			in := &endless{text: word, done: s.ctx.Done()}
			ctx, cancel := context.WithCancel(s.ctx)
			p, err := s.Containers.Attach(s.ctx, c.ID, container.Streams{Stdin: in})
			s.ok(err)
			s.says(c.ID, word)
			cancel()
			_, _ = p.Wait(ctx)
		}
	}},
	{"can be followed from before the start", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo first; while ! [ -e /tmp/go ]; do sleep 0.05; done; echo last"))
		lines := make(chan string, 10)
		ended := make(chan error, 1)
		go func() {
			ended <- s.Containers.Logs(s.ctx, c.ID, container.LogOptions{Follow: true, Tail: -1}, func(l container.LogLine) error {
				lines <- string(l.Text)
				return nil
			})
		}()
		time.Sleep(50 * time.Millisecond)
		_, err := s.Containers.Start(s.ctx, c.ID, nil)
		s.ok(err)
		select {
		case l := <-lines:
			is(s, "the first line", l, "first\n")
		case err := <-ended:
			s.Fatalf("following ended (%v) before the first line", err)
		case <-time.After(20 * time.Second):
			s.Fatal("no line comes while the container runs")
		}
		is(s, "the exec", s.execute(c.ID, container.ExecSpec{Command: []string{"sh", "-c", "echo > /tmp/go"}}, nil), output{})
		s.ok(<-ended)
		is(s, "the last line", <-lines, "last\n")
	}},
	{"that are followed end without error with the context", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "echo ready; exec sleep 1000"))
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		s.ok(s.Containers.Logs(ctx, c.ID, container.LogOptions{Follow: true, Tail: -1}, func(container.LogLine) error { cancel(); return nil }))
	}},
	{"that are followed until a time end then", func(s *suite) {
		c := s.start(s.spec("sh", "-c", "echo ready; exec sleep 1000"))
		s.says(c.ID, "ready\n")
		is(s, "the log", join(s.lines(c.ID, container.LogOptions{Follow: true, Tail: -1, Until: time.Now().Add(200 * time.Millisecond)})), "ready\n")
	}},
	{"give the error of the function", func(s *suite) {
		c := s.create(s.spec("sh", "-c", "echo 1; echo 2"))
		s.startForeground(c.ID, nil)
		calls := 0
		mine := fault.New(fault.Denied, "enough")
		err := s.Containers.Logs(s.ctx, c.ID, container.LogOptions{Tail: -1}, func(container.LogLine) error { calls++; return mine })
		s.refuses(err, fault.Denied, "enough")
		is(s, "the number of calls", calls, 1)
	}},
	{"keep lines of any length and any UTF-8", func(s *suite) {
		// 40000 bytes are more than an entry of a log and less than a pipe holds.
		c := s.create(s.spec("sh", "-c", `x=0123456789; x=$x$x$x$x$x$x$x$x$x$x; x=$x$x$x$x$x$x$x$x$x$x; echo "$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x$x"; printf 'a\0b\r\n"\\<&ü'`))
		s.startForeground(c.ID, nil)
		is(s, "the log", join(s.lines(c.ID, container.LogOptions{Tail: -1})), strings.Repeat("0123456789", 4000)+"\na\x00b\r\n\"\\<&ü")
	}},
	{"of a terminal are one stream", func(s *suite) {
		spec := s.spec("sh", "-c", "echo out; echo err >&2")
		spec.TTY = true
		c := s.create(spec)
		s.startForeground(c.ID, nil)
		stdout, stderr := s.log(c.ID, container.LogOptions{Tail: -1})
		is(s, "the log of stdout", stdout, "out\r\nerr\r\n")
		is(s, "the log of stderr", stderr, "")
	}},
	{"of the driver none cannot be read", func(s *suite) {
		spec := s.spec("echo", "lost")
		spec.LogDriver = "none"
		c := s.create(spec)
		is(s, "the output", s.startForeground(c.ID, nil), output{stdout: "lost\n"})
		err := s.Containers.Logs(s.ctx, c.ID, container.LogOptions{Tail: -1}, func(container.LogLine) error { return nil })
		s.refuses(err, fault.Invalid, "configured logging driver does not support reading")
	}},
}

// endless is an input that says something once and does not end before done.
type endless struct {
	text string
	done <-chan struct{}
}

func (e *endless) Read(p []byte) (int, error) {
	if e.text == "" {
		<-e.done
		return 0, context.Canceled
	}
	n := copy(p, e.text)
	e.text = e.text[n:]
	return n, nil
}
