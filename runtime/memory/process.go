package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"nsh/runtime/container"
)

// Program is what a process does; what it returns is the exit status. ctx ends
// when the process has been killed: the function should return then, and what
// it still does is not seen. A panic is exit status 2, with the panic's text on
// standard error, as for a Go program.
type Program func(ctx context.Context, p *Process) int

// program is what is registered under a name.
type program struct {
	run     Program
	catches []syscall.Signal
}

// Process is a simulated process, as its [Program] sees it.
type Process struct {
	Args   []string // with the name that it was started by
	Env    []string
	Dir    string
	User   string // as the container or the exec names it; empty for root
	TTY    bool
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Files  *Files

	*process
}

// process is the kernel's view.
type process struct {
	box     *box
	run     *run
	pid     int // inside
	ppid    int
	hostPid int
	args    []string
	user    string
	started time.Time
	immune  bool // the main process of its namespace, see the package's doc

	ctx  context.Context
	kill context.CancelFunc
	in   *input
	out  *output
	done chan struct{} // closed when it has ended

	mu       sync.Mutex
	caught   map[syscall.Signal]bool
	ignored  map[syscall.Signal]bool
	signals  chan syscall.Signal
	pending  []syscall.Signal // sent while it was frozen
	ended    bool
	exit     container.Exit
	size     [2]int // of the terminal
	onEnding func() // while the exit is set and nobody knows it yet
}

// PID is the process's number inside its container, 1 for the main one.
func (p *Process) PID() int { return p.pid }

// Getenv gives the value of a variable, empty when it is not set.
func (p *Process) Getenv(name string) string {
	for _, kv := range slices.Backward(p.Env) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// Now is the engine's time.
func (p *Process) Now() time.Time { return p.box.e.now() }

// Size is that of the terminal, 0 and 0 where nobody has set it.
func (p *Process) Size() (width, height int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size[0], p.size[1]
}

// Sleep blocks for d, and while the container is paused. The error is that of
// ctx, or that the process is gone.
func (p *Process) Sleep(ctx context.Context, d time.Duration) error {
	ctx, stop := p.alive(ctx)
	defer stop()
	if err := p.box.e.clock.Sleep(ctx, d); err != nil {
		return err
	}
	return p.run.gate.pass(ctx)
}

// alive ends with ctx and with the process.
func (p *process) alive(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(p.ctx, cancel)
	return ctx, func() { unhook(); cancel() }
}

// Catch makes signals come out of the channel rather than do what they do by
// default. The channel is the same at each call. SIGKILL and SIGSTOP cannot be
// caught.
func (p *Process) Catch(signals ...syscall.Signal) <-chan syscall.Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range signals {
		p.caught[s] = true
		delete(p.ignored, s)
	}
	return p.signals
}

// Ignore makes signals do nothing.
func (p *Process) Ignore(signals ...syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range signals {
		p.ignored[s] = true
		delete(p.caught, s)
	}
}

// Default makes signals do what they do by default.
func (p *Process) Default(signals ...syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range signals {
		delete(p.ignored, s)
		delete(p.caught, s)
	}
}

// Spawn runs a program of the container as a child, with streams of its own, and
// waits for its end. A program that is not there is 127 or 126, with a shell's
// words on stderr.
func (p *Process) Spawn(ctx context.Context, args []string, env []string, dir string, stdin io.Reader, stdout, stderr io.Writer) int {
	prog, argv, err := p.box.program(p.Files, args, env, dir)
	if err != nil {
		var l *launchError
		if errors.As(err, &l) {
			fmt.Fprintf(stderr, "%s: %s: %s\n", p.Args[0], args[0], l.shell)
			return l.code
		}
		fmt.Fprintf(stderr, "%s: %s: %s\n", p.Args[0], args[0], err)
		return 126
	}
	child := p.box.newProcess(p.run, argv, p.user, p.process, prog)
	if child.ctx.Err() != nil {
		child.end(137)
		return 137
	}
	go child.execute(prog, &Process{
		Args: argv, Env: env, Dir: dir, User: p.User, TTY: p.TTY, Files: p.Files,
		Stdin: orEmpty(stdin), Stdout: child.gated(stdout), Stderr: child.gated(stderr),
	})
	select {
	case <-child.done:
	case <-ctx.Done():
		child.end(137)
	}
	return child.exit.Code
}

func orEmpty(r io.Reader) io.Reader {
	if r == nil {
		return strings.NewReader("")
	}
	return r
}

// execute runs the program to its end.
func (p *process) execute(prog program, view *Process) {
	view.process = p
	code := 2
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(view.Stderr, "panic: %v\n", r)
		}
		p.end(code)
	}()
	code = prog.run(p.ctx, view) & 0xff
}

// end makes the process end with a status. Whoever comes second changes
// nothing.
func (p *process) end(code int) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	p.exit = container.Exit{Code: code, At: p.box.e.stamp()}
	p.mu.Unlock()
	p.kill()
	p.in.close()
	p.run.forget(p)
	if p.onEnding != nil {
		p.onEnding()
	}
	p.out.close()
	close(p.done)
}

// signal is kill(2). It reports whether there was a process to send it to.
func (p *process) signal(s syscall.Signal) bool {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return false
	}
	if s != syscall.SIGKILL && p.run.gate.frozen() {
		p.pending = append(p.pending, s)
		p.mu.Unlock()
		return true
	}
	ends := false
	switch {
	case s == syscall.SIGKILL:
		ends = true
	case p.ignored[s]:
	case p.caught[s]:
		select {
		case p.signals <- s:
		default: // as many are pending as there is room for
		}
	case p.immune:
	default:
		// signal(7): these do nothing, or stop and continue, which nobody sees.
		switch s {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGCONT,
			syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		default:
			ends = true
		}
	}
	p.mu.Unlock()
	if ends {
		p.end(128 + int(s))
	}
	return true
}

// thaw delivers what came while the process was frozen.
func (p *process) thaw() {
	p.mu.Lock()
	pending := p.pending
	p.pending = nil
	p.mu.Unlock()
	for _, s := range pending {
		p.signal(s)
	}
}

// gated is a writer that fails when the process is gone, and blocks while it is
// frozen.
func (p *process) gated(w io.Writer) io.Writer { return gatedWriter{p, w} }

type gatedWriter struct {
	p *process
	w io.Writer
}

func (g gatedWriter) Write(b []byte) (int, error) {
	if g.p.run.gate.pass(g.p.ctx) != nil {
		return 0, syscall.EPIPE
	}
	if g.w == nil {
		return len(b), nil
	}
	return g.w.Write(b)
}

// stream is a process's standard output or error.
type stream struct {
	p     *process
	name  string
	tty   bool
	notes *journal // nil for an exec
}

func (s *stream) Write(b []byte) (int, error) {
	data := b
	if s.tty {
		data = []byte(strings.ReplaceAll(string(b), "\n", "\r\n"))
	}
	// The lock orders the two streams of a process, and its last words before its end.
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.ended {
		return 0, syscall.EPIPE
	}
	if s.notes != nil {
		s.notes.write(s.p.box.e.now(), s.name, data)
	}
	s.p.out.write(s.name, data)
	return len(b), nil
}

// run is the time from a start of a container to its end.
type run struct {
	gate gate

	mu      sync.Mutex
	procs   map[int]*process
	nextPid int
}

func (r *run) forget(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.procs, p.pid)
}

// all lists the processes by number.
func (r *run) all() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*process
	for _, p := range r.procs {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *process) int { return a.pid - b.pid })
	return out
}

// newProcess makes a process that does not run yet. As a child of one that has
// been killed it has been, too.
func (b *box) newProcess(r *run, args []string, user string, parent *process, prog program) *process {
	p := &process{
		box: b, run: r, args: args, user: user, in: newInput(), out: &output{}, done: make(chan struct{}),
		caught: map[syscall.Signal]bool{}, ignored: map[syscall.Signal]bool{}, signals: make(chan syscall.Signal, 64),
	}
	for _, sig := range prog.catches {
		p.caught[sig] = true
	}
	up := context.Background()
	if parent != nil {
		up, p.ppid = parent.ctx, parent.pid
	}
	p.ctx, p.kill = context.WithCancel(up)
	p.hostPid = b.e.takePid()
	p.started = b.e.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nextPid++
	p.pid = r.nextPid
	r.procs[p.pid] = p
	return p
}

// gate is the freezer of a container.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // nil: it is; else closed when it is again
}

func (g *gate) frozen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open != nil
}

func (g *gate) freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(chan struct{})
	}
}

func (g *gate) thaw() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
}

// pass blocks while the gate is shut. The error is that of ctx.
func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open != nil {
		select {
		case <-open:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
