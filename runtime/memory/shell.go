package memory

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"nsh/runtime/container"
)

// shell is sh -c LINE [NAME [ARG…]], sh FILE [ARG…] and sh -s on standard
// input: mvdan.cc/sh, on the container's files and programs. It runs what it
// reads from standard input when that has ended.
func shell(ctx context.Context, p *Process) int {
	args, name := p.Args[1:], p.Args[0]
	var options []string
	line, given := "", false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		opt := args[0]
		args = args[1:]
		for _, c := range opt[1:] {
			switch c {
			case 'c':
				given = true
			case 's', 'i', 'l':
			case 'e', 'u', 'x', 'n', 'f', 'a':
				options = append(options, opt[:1]+string(c))
			default:
				return p.complain(2, "illegal option -%c", c)
			}
		}
		if opt == "--" {
			break
		}
	}
	switch {
	case given && len(args) == 0:
		return p.complain(2, "-c requires an argument")
	case given:
		line, args = args[0], args[1:]
		if len(args) > 0 {
			name, args = args[0], args[1:]
		}
	case len(args) > 0:
		data, err := p.Files.ReadFile(p.path(args[0]))
		if err != nil {
			return p.complain(2, "can't open '%s': %s", args[0], errno(err))
		}
		line, name, args = string(data), args[0], args[1:]
	default:
		data, err := io.ReadAll(p.Stdin)
		if err != nil {
			return 1
		}
		line = string(data)
		p.Stdin = strings.NewReader("")
	}
	return p.interpret(ctx, line, name, options, args)
}

// byShell are the programs that a shell has built in.
func byShell(ctx context.Context, p *Process) int {
	return p.interpret(ctx, `"$@"`, p.Args[0], nil, append([]string{path.Base(p.Args[0])}, p.Args[1:]...))
}

// sh is one running shell.
type sh struct {
	p       *Process
	runner  *interp.Runner
	signals <-chan syscall.Signal
	// background holds the commands that end with &, which this package runs by
	// itself: the interpreter's own have no process ID, and a wait for them
	// cannot be interrupted.
	background []*syntax.Stmt

	mu    sync.Mutex
	traps map[syscall.Signal]string
	jobs  map[int]*process
}

// The interpreter's names for what is the simulated process's.
const (
	pidVariable    = "NSH_SH_PID"
	parentVariable = "NSH_SH_PPID"
	jobVariable    = "NSH_SH_JOB"
	startJob       = "nsh-sh-job"
	giveStatus     = "nsh-sh-status"
	runProgram     = "nsh-sh-run"
)

func (p *Process) interpret(ctx context.Context, line, name string, options, args []string) int {
	// Bash's language, since the interpreter knows export and others as words of
	// that only.
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(line), name)
	if err != nil {
		return p.complain(2, "%s", err)
	}
	substitutes := false
	syntax.Walk(file, func(n syntax.Node) bool {
		_, is := n.(*syntax.ProcSubst)
		substitutes = substitutes || is
		return true
	})
	if substitutes {
		// It would need a named pipe of the machine's.
		return p.complain(2, "process substitution is not simulated")
	}
	s := &sh{p: p, signals: p.Catch(), traps: map[syscall.Signal]string{}, jobs: map[int]*process{}}
	s.adapt(file)
	vars := container.MergeEnv(p.Env, []string{pidVariable + "=" + strconv.Itoa(p.pid), parentVariable + "=" + strconv.Itoa(p.ppid), "PWD=" + p.Dir})
	s.runner, err = interp.New(
		interp.Env(expand.ListEnviron(vars...)),
		interp.Params(slices.Concat(options, []string{"--"}, args)...),
		interp.StdIO(p.Stdin, p.Stdout, p.Stderr),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
		interp.OpenHandler(s.open),
		interp.StatHandler(s.stat),
		interp.ReadDirHandler2(func(_ context.Context, dir string) ([]fs.DirEntry, error) { return p.Files.ReadDir(dir) }),
		interp.AccessHandler(s.access),
	)
	if err != nil {
		return p.complain(2, "%s", err)
	}
	s.runner.Dir = p.Dir
	return s.status(ctx, s.runner.Run(ctx, file))
}

func (s *sh) status(ctx context.Context, err error) int {
	var status interp.ExitStatus
	switch {
	case errors.As(err, &status):
		return int(status)
	case err != nil && ctx.Err() == nil:
		return s.p.complain(2, "%s", err)
	case err != nil:
		return 137
	}
	return 0
}

// adapt replaces what would be of the process that simulates.
func (s *sh) adapt(file *syntax.File) {
	syntax.Walk(file, func(n syntax.Node) bool {
		pe, ok := n.(*syntax.ParamExp)
		if !ok || pe.Param == nil {
			return true
		}
		if name := map[string]string{"$": pidVariable, "PPID": parentVariable, "!": jobVariable}[pe.Param.Value]; name != "" {
			pe.Param.Value, pe.Short = name, false
		}
		return true
	})
	// Those in a subshell or a pipe stay the interpreter's: it runs them in a copy
	// of itself, which a handler cannot get at.
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst:
			return false
		case *syntax.BinaryCmd:
			return n.Op != syntax.Pipe && n.Op != syntax.PipeAll
		case *syntax.Stmt:
			if n.Background {
				job := *n
				job.Background = false
				s.background = append(s.background, &job)
				*n = syntax.Stmt{Position: n.Position, Cmd: &syntax.CallExpr{Args: []*syntax.Word{word(startJob), word(strconv.Itoa(len(s.background) - 1))}}}
				return false
			}
		}
		return true
	})
}

func word(s string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: s}}}
}

// call sees every simple command before it is run: it is where traps happen.
func (s *sh) call(ctx context.Context, args []string) ([]string, error) {
	if err := s.p.run.gate.pass(ctx); err != nil {
		return nil, err
	}
	switch args[0] {
	case "kill":
		// The interpreter keeps the name for itself and refuses it.
		args = append([]string{runProgram}, args...)
	case "umask":
		return []string{"true"}, nil
	case startJob:
		return s.startJob(ctx, args)
	case "trap":
		if s.trap(args[1:]) {
			return []string{"true"}, nil
		}
	case "wait":
		status, sig, err := s.wait(ctx, args[1:])
		if err != nil {
			return nil, err
		}
		if sig != 0 {
			// A wait is over with the signal (POSIX, 2.12).
			return []string{"eval", s.action(sig)}, nil
		}
		return []string{giveStatus, strconv.Itoa(status)}, nil
	}
	select {
	case sig := <-s.signals:
		// The command that was to come is run after the action, unless that
		// exits.
		return []string{"eval", s.action(sig) + "\n" + quote(args)}, nil
	default:
		return args, nil
	}
}

func (s *sh) action(sig syscall.Signal) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traps[sig]
}

func quote(args []string) string {
	var out []string
	for _, a := range args {
		out = append(out, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	return strings.Join(out, " ")
}

// startJob runs a command in the background, as a child of its own.
func (s *sh) startJob(ctx context.Context, args []string) ([]string, error) {
	i, err := strconv.Atoi(args[len(args)-1])
	if err != nil || i >= len(s.background) {
		return args, nil
	}
	sub := s.runner.Subshell()
	job := s.p.box.newProcess(s.p.run, s.p.args, s.p.user, s.p.process, program{})
	s.mu.Lock()
	s.jobs[job.pid] = job
	s.mu.Unlock()
	go func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(job.ctx, cancel)()
		job.end(s.status(ctx, sub.Run(ctx, s.background[i])))
	}()
	return []string{"eval", jobVariable + "=" + strconv.Itoa(job.pid)}, nil
}

// wait blocks until the jobs with the given process IDs, or all, have ended, or
// until a signal comes that has a trap.
func (s *sh) wait(ctx context.Context, pids []string) (status int, sig syscall.Signal, err error) {
	s.mu.Lock()
	var jobs []*process
	if len(pids) == 0 {
		for _, j := range s.jobs {
			jobs = append(jobs, j)
		}
	}
	for _, a := range pids {
		pid, _ := strconv.Atoi(a)
		if j := s.jobs[pid]; j != nil {
			jobs = append(jobs, j)
		} else {
			status = 127
		}
	}
	s.mu.Unlock()
	for _, j := range jobs {
		select {
		case <-j.done:
			if len(pids) > 0 {
				status = j.exit.Code
			}
		case sig := <-s.signals:
			return 128 + int(sig), sig, nil
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	return status, 0, nil
}

// trap handles the signals; EXIT is the interpreter's, which it reports by false.
func (s *sh) trap(args []string) bool {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) < 2 {
		return false
	}
	action, known := args[0], false
	for _, name := range args[1:] {
		sig, err := container.ParseSignal(name)
		if err != nil {
			continue
		}
		known = true
		switch action {
		case "":
			s.p.Ignore(sig)
		case "-":
			s.p.Default(sig)
		default:
			s.mu.Lock()
			s.traps[sig] = action
			s.mu.Unlock()
			s.p.Catch(sig)
		}
	}
	return known
}

func (s *sh) exec(ctx context.Context, args []string) error {
	if args[0] == giveStatus && len(args) == 2 {
		n, _ := strconv.Atoi(args[1])
		return exitStatus(n)
	}
	if args[0] == runProgram && len(args) > 1 {
		args = args[1:]
	}
	hc := interp.HandlerCtx(ctx)
	var vars []string
	hc.Env.Each(func(name string, v expand.Variable) bool {
		if v.Exported && v.Kind == expand.String && name != pidVariable && name != parentVariable {
			vars = append(vars, name+"="+v.Str)
		}
		return true
	})
	return exitStatus(s.p.Spawn(ctx, args, vars, hc.Dir, hc.Stdin, hc.Stdout, hc.Stderr))
}

func exitStatus(code int) error {
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(uint8(code))
}

func (s *sh) open(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	if !path.IsAbs(name) {
		name = path.Join(interp.HandlerCtx(ctx).Dir, name)
	}
	return s.p.Files.open(name, flag, perm)
}

func (s *sh) stat(_ context.Context, name string, follow bool) (fs.FileInfo, error) {
	if follow {
		return s.p.Files.Stat(name)
	}
	return s.p.Files.Lstat(name)
}

func (s *sh) access(_ context.Context, name string, mode interp.AccessMode) error {
	st, err := s.p.Files.Stat(name)
	if err == nil && mode&interp.AccessExec != 0 && st.Mode()&0o111 == 0 {
		err = fail("access", name, syscall.EACCES)
	}
	return err
}
