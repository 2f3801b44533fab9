package memory

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"time"

	"nsh/runtime/container"
	"nsh/runtime/fault"
)

// handle is a process that the caller is connected to.
type handle struct {
	p        *process
	tap      *tap          // nil: not to its output
	detached chan struct{} // closed when the detach keys were typed
}

func (h *handle) Pid() int { return h.p.hostPid }

func (h *handle) Wait(ctx context.Context) (container.Exit, error) {
	defer func() {
		if h.tap != nil {
			h.p.out.detach(h.tap)
		}
	}()
	select {
	case <-h.p.done:
	case <-h.detached:
		return container.Exit{}, container.ErrDetached
	case <-ctx.Done():
		return container.Exit{}, ctx.Err()
	}
	if h.tap != nil {
		select {
		case <-h.tap.done:
		case <-ctx.Done():
			return container.Exit{}, ctx.Err()
		}
	}
	return h.p.exit, nil
}

func (h *handle) Signal(ctx context.Context, sig string) error {
	n, err := container.ParseSignal(sig)
	if err != nil {
		return err
	}
	h.p.signal(n)
	return ctx.Err()
}

func (h *handle) Resize(ctx context.Context, width, height int) error {
	h.p.resize(width, height)
	return ctx.Err()
}

func (p *process) resize(width, height int) {
	p.mu.Lock()
	p.size = [2]int{width, height}
	p.mu.Unlock()
	p.signal(syscall.SIGWINCH)
}

// connect joins streams to a process. feed tells whether its input is open.
func (p *process) connect(streams container.Streams, tty, feed bool) *handle {
	h := &handle{p: p, tap: p.out.attach(streams.Stdout, streams.Stderr)}
	if tty && streams.Width > 0 {
		p.mu.Lock()
		p.size = [2]int{streams.Width, streams.Height}
		p.mu.Unlock()
	}
	if !feed || streams.Stdin == nil {
		return h
	}
	h.detached = make(chan struct{})
	in := streams.Stdin
	if tty {
		in = container.DetachReader(in, streams.DetachKeys)
	}
	go func() {
		_, err := io.Copy(p.in, in)
		switch {
		case errors.Is(err, container.ErrDetached):
			close(h.detached)
		case !tty:
			// The end of a terminal's input is a character, which somebody types.
			p.in.close()
		}
	}()
	return h
}

// Start implements [container.Service].
func (s *Containers) Start(ctx context.Context, ref string, streams *container.Streams) (container.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "start container", ref)
	}
	e := s.e
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.find(ref)
	if err != nil {
		return nil, err
	}
	switch b.status {
	case container.Running:
		if streams != nil {
			return b.main.connect(*streams, b.spec.TTY, b.spec.OpenStdin), nil
		}
		return &handle{p: b.main}, nil
	case container.Paused:
		return nil, fault.New(fault.Conflict, "cannot start a paused container, try unpause instead")
	}
	p, view, prog, err := e.prepare(b)
	if err != nil {
		b.failed = err.Error()
		return nil, err
	}
	h := &handle{p: p}
	if streams != nil {
		h = p.connect(*streams, b.spec.TTY, b.spec.OpenStdin)
	}
	if !b.spec.OpenStdin {
		p.in.close()
	}
	b.main, b.status, b.failed = p, container.Running, ""
	b.startedAt, b.finishedAt = e.stamp(), time.Time{}
	b.log.begin()
	select {
	case <-b.started:
	default:
		close(b.started)
	}
	go p.execute(prog, view)
	return h, nil
}

// prepare makes all that a start needs. It is called with the lock held; after an
// error the container is as it was.
func (e *Engine) prepare(b *box) (*process, *Process, program, error) {
	prog, args, err := e.lookup(b.files, b.args, b.env, b.dir)
	if err != nil {
		return nil, nil, program{}, startError("failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: ", err)
	}
	if err := b.files.MkdirAll(b.dir); err != nil {
		return nil, nil, program{}, fault.Wrap(err, "make the working directory of container", b.name)
	}
	if err := e.connect(b); err != nil {
		return nil, nil, program{}, err
	}
	for path, text := range map[string]string{"/etc/hostname": b.spec.Hostname + "\n", "/etc/hosts": b.hosts(), "/etc/resolv.conf": "nameserver 8.8.8.8\n"} {
		_ = b.files.MkdirAll("/etc")
		_ = b.files.WriteFile(path, []byte(text), 0o644)
	}
	b.run = &run{procs: map[int]*process{}}
	p := b.newProcess(b.run, args, b.spec.User, nil, prog)
	p.immune = !b.spec.Init
	p.onEnding = func() { e.ended(b, p) }
	return p, b.view(p, args, b.env, b.dir, b.spec.User, b.spec.TTY, b.log), prog, nil
}

func (b *box) view(p *process, args, env []string, dir, user string, tty bool, notes *journal) *Process {
	out := &stream{p: p, name: "stdout", tty: tty, notes: notes}
	err := out
	if !tty {
		err = &stream{p: p, name: "stderr", notes: notes}
	}
	return &Process{
		Args: args, Env: env, Dir: dir, User: user, TTY: tty, Files: b.files,
		Stdin: p.in, Stdout: p.gated(out), Stderr: p.gated(err), process: p,
	}
}

// ended makes the container one that has exited. It is called once a run, while
// nobody can know it from the process yet.
func (e *Engine) ended(b *box, p *process) {
	b.log.end(p.exit.At)
	e.mu.Lock()
	e.disconnect(b)
	b.status, b.exit, b.finishedAt = container.Exited, p.exit, p.exit.At
	e.mu.Unlock()
	// With the first process of a PID namespace all others go
	// (pid_namespaces(7)). None comes after the status has changed.
	for _, o := range p.run.all() {
		o.end(137)
	}
	p.run.gate.thaw()
}

// launchError is why a program cannot be run.
type launchError struct {
	name  string
	shell string // in a shell's words
	runc  string // in the runtime's
	code  int
	hint  string
}

func (l *launchError) Error() string { return l.shell }

// startError puts it into the words of runc, with docker's exit status.
func startError(prefix string, err error) error {
	var l *launchError
	if !errors.As(err, &l) {
		return err
	}
	out := fault.New(fault.Invalid, "%sexec: %q: %s", prefix, l.name, l.runc).WithHint("%s", l.hint)
	out.Code = l.code
	return out
}

// Attach implements [container.Service].
func (s *Containers) Attach(ctx context.Context, ref string, streams container.Streams) (container.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "attach to container", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	b, err := s.e.find(ref)
	if err != nil {
		return nil, err
	}
	switch {
	case b.status == container.Paused:
		return nil, fault.New(fault.Conflict, "container %s is paused, unpause the container before attach", b.id)
	case !b.alive():
		return nil, container.NotRunning(b.id, ref)
	}
	return b.main.connect(streams, b.spec.TTY, b.spec.OpenStdin), nil
}

// Exec implements [container.Service].
func (s *Containers) Exec(ctx context.Context, ref string, spec container.ExecSpec, streams container.Streams) (container.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "exec in container", ref)
	}
	e := s.e
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.find(ref)
	if err != nil {
		return nil, err
	}
	switch {
	case b.status == container.Paused:
		return nil, container.PausedExec(b.id)
	case !b.alive():
		return nil, container.NotRunning(b.id, ref)
	case len(spec.Command) == 0:
		return nil, fault.New(fault.Invalid, "No exec command specified")
	}
	env := container.MergeEnv(b.env, spec.Env)
	dir, user := b.dir, b.spec.User
	if spec.WorkDir != "" {
		dir = spec.WorkDir
	}
	if spec.User != "" {
		user = spec.User
		if err := b.knows(user); err != nil {
			return nil, err
		}
	}
	const prefix = "OCI runtime exec failed: exec failed: unable to start container process: "
	if st, err := b.files.Stat(dir); err != nil || !st.IsDir() {
		out := fault.New(fault.Invalid, "%schdir to cwd (%q) set in config.json failed: no such file or directory", prefix, dir)
		out.Code = 127
		return nil, out
	}
	prog, args, err := e.lookup(b.files, spec.Command, env, dir)
	if err != nil {
		return nil, startError(prefix, err)
	}
	p := b.newProcess(b.run, args, user, nil, prog)
	h := &handle{p: p}
	if spec.Detach {
		p.in.close()
	} else {
		h = p.connect(streams, spec.TTY, true)
		if streams.Stdin == nil {
			p.in.close()
		}
	}
	go p.execute(prog, b.view(p, args, env, dir, user, spec.TTY, nil))
	return h, nil
}

// Stop implements [container.Service].
func (s *Containers) Stop(ctx context.Context, ref string, opts container.StopOptions) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "stop container", ref)
	}
	sig := syscall.SIGTERM
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	if err == nil {
		name := opts.Signal
		if name == "" {
			name = b.stop
		}
		sig, err = container.ParseSignal(name)
	}
	if err != nil || !b.alive() {
		s.e.mu.Unlock()
		return err
	}
	timeout := 10 * time.Second
	if b.spec.StopTimeout != nil {
		timeout = time.Duration(*b.spec.StopTimeout) * time.Second
	}
	if opts.Timeout != nil {
		timeout = *opts.Timeout
	}
	p := b.main
	if b.status == container.Paused {
		b.status = container.Running
	}
	s.e.mu.Unlock()

	b.thaw()
	if timeout != 0 {
		p.signal(sig)
		waiting, cancel := context.WithCancel(ctx)
		defer cancel()
		late := make(chan struct{})
		if timeout > 0 {
			go func() {
				if s.e.clock.Sleep(waiting, timeout) == nil {
					close(late)
				}
			}()
		}
		select {
		case <-p.done:
			return nil
		case <-late:
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), "stop container", ref)
		}
	}
	p.end(137)
	<-p.done
	return nil
}

func (b *box) thaw() {
	b.run.gate.thaw()
	for _, p := range b.run.all() {
		p.thaw()
	}
}

// Kill implements [container.Service].
func (s *Containers) Kill(ctx context.Context, ref, sig string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "kill container", ref)
	}
	if sig == "" {
		sig = "KILL"
	}
	n, err := container.ParseSignal(sig)
	if err != nil {
		return err
	}
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	if err != nil {
		s.e.mu.Unlock()
		return err
	}
	alive, p := b.alive(), b.main
	s.e.mu.Unlock()
	if !alive || !p.signal(n) {
		return container.CannotKill(ref, b.id)
	}
	if n == syscall.SIGKILL {
		<-p.done
	}
	return nil
}

// Pause implements [container.Service].
func (s *Containers) Pause(ctx context.Context, ref string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "pause container", ref)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	b, err := s.e.find(ref)
	switch {
	case err != nil:
		return err
	case b.status == container.Paused:
		return container.AlreadyPaused(b.id)
	case !b.alive():
		return container.NotRunning(b.id, ref)
	}
	b.status = container.Paused
	b.run.gate.freeze()
	return nil
}

// Unpause implements [container.Service].
func (s *Containers) Unpause(ctx context.Context, ref string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "unpause container", ref)
	}
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	if err == nil && b.status != container.Paused {
		err = container.NotPaused(b.id)
	}
	if err != nil {
		s.e.mu.Unlock()
		return err
	}
	b.status = container.Running
	s.e.mu.Unlock()
	b.thaw()
	return nil
}

// Wait implements [container.Service].
func (s *Containers) Wait(ctx context.Context, ref string) (container.Exit, error) {
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	s.e.mu.Unlock()
	if err != nil {
		return container.Exit{}, err
	}
	select {
	case <-b.started:
	case <-b.gone:
		return container.Exit{}, container.NotFound(ref)
	case <-ctx.Done():
		return container.Exit{}, fault.Wrap(ctx.Err(), "wait for container", ref)
	}
	s.e.mu.Lock()
	p := b.main
	s.e.mu.Unlock()
	select {
	case <-p.done:
		return p.exit, nil
	case <-ctx.Done():
		return container.Exit{}, fault.Wrap(ctx.Err(), "wait for container", ref)
	}
}

// Logs implements [container.Service].
func (s *Containers) Logs(ctx context.Context, ref string, opts container.LogOptions, fn func(container.LogLine) error) error {
	s.e.mu.Lock()
	b, err := s.e.find(ref)
	s.e.mu.Unlock()
	if err != nil {
		return err
	}
	if d := b.spec.LogDriver; d != "" && d != "json-file" {
		return fault.New(fault.Invalid, "configured logging driver does not support reading").WithHint("the log driver of this container is %q", d)
	}
	err = b.log.read(ctx, s.e.clock, b.gone, opts, fn)
	if opts.Follow && err != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(err, "read the log of container", ref)
	}
	return err
}

// program is lookup for a process that runs.
func (b *box) program(files *Files, args, env []string, dir string) (program, []string, error) {
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	return b.e.lookup(files, args, env, dir)
}

// lookup finds the program that a command stands for, and the arguments it is
// run with, which for a script are more. It is called with the lock held.
func (e *Engine) lookup(files *Files, args, env []string, dir string) (program, []string, error) {
	for range 4 { // binfmt_script follows as many interpreters (execve(2))
		path, err := executable(files, args[0], env, dir)
		if err != nil {
			return program{}, nil, err
		}
		base := path[strings.LastIndexByte(path, '/')+1:]
		if p, ok := e.programs[base]; ok {
			return p, args, nil
		}
		data, _ := files.ReadFile(path)
		line, _, _ := strings.Cut(string(data), "\n")
		script, ok := strings.CutPrefix(line, "#!")
		if !ok {
			return server, args, nil
		}
		// The interpreter takes one argument at most (execve(2)).
		interp, arg, _ := strings.Cut(strings.TrimSpace(script), " ")
		next := []string{interp}
		if arg = strings.TrimSpace(arg); arg != "" {
			next = append(next, arg)
		}
		args = append(append(next, path), args[1:]...)
	}
	return program{}, nil, &launchError{args[0], "Too many levels of symbolic links", "too many levels of symbolic links", 126, "the program is a script whose interpreter is a script, and so on"}
}

// executable finds the file of a program by PATH, as execvp(3) does.
func executable(files *Files, name string, env []string, dir string) (string, error) {
	notThere := &launchError{name, "not found", "executable file not found in $PATH", 127, "the image has no such program: check the command, or the PATH of the image"}
	if name == "" {
		return "", notThere
	}
	check := func(path string) error {
		st, err := files.Stat(path)
		switch {
		case err != nil:
			return &launchError{name, "not found", "no such file or directory", 127, "the program, or the interpreter that it names, is not in the image"}
		case st.IsDir():
			return &launchError{name, "Is a directory", "is a directory", 126, "name a program, not a directory"}
		case st.Mode()&0o111 == 0:
			return &launchError{name, "Permission denied", "permission denied", 126, "the file is not executable for the user of the container"}
		}
		return nil
	}
	if strings.Contains(name, "/") {
		if !strings.HasPrefix(name, "/") {
			name = dir + "/" + name
		}
		return name, check(name)
	}
	list := strings.TrimPrefix(defaultPath, "PATH=")
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			list = v
		}
	}
	var denied error
	for _, d := range strings.Split(list, ":") {
		path := strings.TrimSuffix(d, "/") + "/" + name
		err := check(path)
		if err == nil {
			return path, nil
		}
		if l := err.(*launchError); l.runc == "permission denied" {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", notThere
}
