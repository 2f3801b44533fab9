// Package conformance holds an engine to what the interfaces in
// runtime/container, runtime/image, runtime/network, runtime/volume and runtime/system
// promise.
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, func(t *testing.T) conformance.Instance { … })
//	}
//
// Each promise is a test of its own, named by what is promised and run against
// an instance of its own, all at the same time:
//
//	go test -run 'TestConformance/Stop/kills_after_the_timeout'
//
// What is compared is whole: the kind of an error and all of its text, all of an
// output. The suite is the same for all engines. It has no switches: what one
// engine cannot do belongs into the interface's comment, or into the engine.
package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/network"
	"nsh/runtime/system"
	"nsh/runtime/volume"
)

// Instance is an engine for one test, or a namespace of one: nobody else makes
// containers or images in it. It must be there until the test has ended, and
// take away by t.Cleanup what is left in it then.
type Instance struct {
	Containers container.Service
	Images     image.Service
	Volumes    volume.Service
	Networks   network.Service
	System     system.Service

	// Image is the reference of an image that is there. It has sh, echo, cat,
	// sleep (of fractions, too), kill, id, true and false in its PATH, as
	// busybox has, and /tmp; its user is root.
	Image string
}

// Factory makes an instance. It is called from several tests at once.
type Factory func(t *testing.T) Instance

// promise is a sentence that holds for every engine, and how to find out.
type promise struct {
	name string
	test func(s *suite)
}

// deadline bounds one promise. All together take longer, on a machine where
// few can run at once.
const deadline = 2 * time.Minute

// Run tests all promises as parallel subtests of t.
func Run(t *testing.T, factory Factory) {
	for _, group := range []struct {
		name     string
		promises []promise
	}{
		{"Create", create},
		{"Refs", refs},
		{"List", list},
		{"Start", start},
		{"Wait", wait},
		{"Attach", attach},
		{"Exec", exec},
		{"Stop", stop},
		{"Kill", kill},
		{"Pause", pause},
		{"Rename", rename},
		{"Update", update},
		{"Settings", settings},
		{"Remove", remove},
		{"Logs", logs},
		{"Top", top},
		{"Network", endpoints},
		{"Inspect", inspect},
		{"Images", images},
		{"Volumes", volumePromises},
		{"Networks", networkPromises},
		{"System", engine},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range group.promises {
				t.Run(p.name, func(t *testing.T) {
					t.Parallel()
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					p.test(&suite{T: t, Instance: factory(t), ctx: ctx, factory: factory})
				})
			}
		})
	}
}

// suite is one test at work.
type suite struct {
	*testing.T
	Instance
	ctx     context.Context
	factory Factory
}

// ok ends the test when err is not nil.
func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("unexpected error of kind %s: %v", fault.KindOf(err), err)
	}
}

// refuses checks an error by its kind and its whole text.
func (s *suite) refuses(err error, kind fault.Kind, text string) {
	s.Helper()
	switch {
	case err == nil:
		s.Errorf("no error, want one of kind %s: %s", kind, text)
	case fault.KindOf(err) != kind || err.Error() != text:
		s.Errorf("error of kind %s: %s\nwant one of kind %s: %s", fault.KindOf(err), err, kind, text)
	}
}

// is compares two texts or other values.
func is[T comparable](s *suite, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

// spec is a container of the image, without a network: most promises need none.
func (s *suite) spec(command ...string) container.Spec {
	return container.Spec{Image: s.Image, Command: command, Networks: []string{"none"}}
}

func (s *suite) create(spec container.Spec) container.Container {
	s.Helper()
	c, err := s.Containers.Create(s.ctx, spec)
	s.ok(err)
	return c
}

// start makes a container and starts it, with nothing connected.
func (s *suite) start(spec container.Spec) container.Container {
	s.Helper()
	c := s.create(spec)
	_, err := s.Containers.Start(s.ctx, c.ID, nil)
	s.ok(err)
	return s.get(c.ID)
}

func (s *suite) get(ref string) container.Container {
	s.Helper()
	c, err := s.Containers.Get(s.ctx, ref)
	s.ok(err)
	return c
}

// idle is a container that runs until it is killed.
func (s *suite) idle() container.Container {
	s.Helper()
	return s.start(s.spec("sleep", "1000"))
}

// catching is a container whose process, when it gets one of the signals, says so
// and exits with status 7. It is ready for them.
func (s *suite) catching(spec container.Spec, signals string) container.Container {
	s.Helper()
	spec.Command = []string{"sh", "-c", "trap 'echo caught; exit 7' " + signals + "; echo ready; while :; do sleep 0.05; done"}
	c := s.start(spec)
	s.says(c.ID, "ready\n")
	return c
}

// says waits until the log holds text.
func (s *suite) says(ref, text string) {
	s.Helper()
	found := errors.New("found")
	var all strings.Builder
	err := s.Containers.Logs(s.ctx, ref, container.LogOptions{Follow: true, Tail: -1}, func(l container.LogLine) error {
		all.Write(l.Text)
		if strings.Contains(all.String(), text) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		s.Fatalf("the log of %s ended (%v) without %q: %q", ref, err, text, all.String())
	}
}

// output is what a process in the foreground wrote, and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// foreground creates, starts and waits for a container.
func (s *suite) foreground(spec container.Spec, stdin io.Reader) output {
	s.Helper()
	c := s.create(spec)
	return s.startForeground(c.ID, stdin)
}

func (s *suite) startForeground(ref string, stdin io.Reader) output {
	s.Helper()
	var stdout, stderr buffer
	p, err := s.Containers.Start(s.ctx, ref, &container.Streams{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	s.ok(err)
	return s.finish(p, &stdout, &stderr)
}

func (s *suite) finish(p container.Process, stdout, stderr *buffer) output {
	s.Helper()
	exit, err := p.Wait(s.ctx)
	s.ok(err)
	return output{stdout.String(), stderr.String(), exit.Code}
}

// execute runs a further process to its end.
func (s *suite) execute(ref string, spec container.ExecSpec, stdin io.Reader) output {
	s.Helper()
	var stdout, stderr buffer
	p, err := s.Containers.Exec(s.ctx, ref, spec, container.Streams{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	s.ok(err)
	return s.finish(p, &stdout, &stderr)
}

// log reads the whole log, stdout and stderr each on its own.
func (s *suite) log(ref string, opts container.LogOptions) (stdout, stderr string) {
	s.Helper()
	for _, l := range s.lines(ref, opts) {
		if l.Stream == "stdout" {
			stdout += string(l.Text)
		} else {
			stderr += string(l.Text)
		}
	}
	return stdout, stderr
}

func (s *suite) lines(ref string, opts container.LogOptions) []container.LogLine {
	s.Helper()
	var out []container.LogLine
	s.ok(s.Containers.Logs(s.ctx, ref, opts, func(l container.LogLine) error {
		l.Text = bytes.Clone(l.Text)
		out = append(out, l)
		return nil
	}))
	return out
}

// join puts the text of lines together.
func join(lines []container.LogLine) string {
	var b strings.Builder
	for _, l := range lines {
		b.Write(l.Text)
	}
	return b.String()
}

// exits waits for the end of a container and checks the status it ends with.
func (s *suite) exits(ref string, code int) {
	s.Helper()
	exit, err := s.Containers.Wait(s.ctx, ref)
	s.ok(err)
	is(s, "the exit code", exit.Code, code)
	c := s.get(ref)
	is(s, "the status after the end", c.Status, container.Exited)
	is(s, "the exit code of the container", c.ExitCode, code)
}

// every calls fn n times at once and gives the errors.
func every(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errs
}

// buffer is a bytes.Buffer that can be looked at while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// slowBuffer is one who takes his time for each write.
type slowBuffer struct{ buffer }

func (b *slowBuffer) Write(p []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	return b.buffer.Write(p)
}

// shows waits until the buffer holds text.
func (s *suite) shows(b *buffer, text string) {
	s.Helper()
	s.until("the output holds "+text, func() bool { return strings.Contains(b.String(), text) })
}

// until polls for what nothing announces.
func (s *suite) until(what string, holds func() bool) {
	s.Helper()
	for !holds() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-s.ctx.Done():
			s.Fatalf("it did not come true that %s", what)
		}
	}
}

func seconds(n int) *time.Duration {
	d := time.Duration(n) * time.Second
	return &d
}
