package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// Stdio is what a command reads and writes.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// maxCommand bounds a command line: the parser of sh is recursive.
const maxCommand = 256 << 10

// RunCommand runs one command line and gives its exit status: 2 for a line that
// cannot be read, 127 for a program that is not there, 130 after the end of ctx.
// Verbs run inside this process, several of one pipeline at once; what follows a
// pipe is a program of the host unless "docker" stands before it.
func (s *Shell) RunCommand(ctx context.Context, line string, io Stdio) int {
	code, err := s.Try(ctx, line, io)
	if err != nil {
		return s.complain(io.Err, err, code)
	}
	return code
}

// Try is [Shell.RunCommand] which gives back what nsh itself has to complain of: a line
// that cannot be read, what the sandbox refuses, what a plan cannot know.
func (s *Shell) Try(ctx context.Context, line string, io Stdio) (int, error) {
	file, err := s.parse(line)
	if err != nil {
		return 2, err
	}
	run, err := interp.New(
		interp.StdIO(io.In, io.Out, io.Err),
		interp.Env(environment{s.Scripts}),
		interp.ExecHandlers(s.verbs, s.programs),
		interp.OpenHandler(open),
		interp.ReadDirHandler2(readDir),
	)
	if err != nil {
		return 2, err
	}
	err = run.Run(ctx, file)
	var status interp.ExitStatus
	switch {
	case ctx.Err() != nil:
		return interrupted, nil
	case err == nil:
		return 0, nil
	case errors.As(err, &status):
		return int(status), nil
	}
	return 1, err
}

// interrupted is the status of what Ctrl-C ended: 128 and SIGINT, as in sh.
const interrupted = 128 + int(syscall.SIGINT)

func (s *Shell) complain(w io.Writer, err error, code int) int {
	fmt.Fprintf(w, "nsh: %s\n", err)
	if h := fault.HintOf(err); h != "" {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
	return code
}

// marker stands before every verb in what sh parses: sh would take "export -o x"
// for a declaration of its own, and "exec" and "wait" for its builtins.
const marker = "docker "

// marked puts the marker before the verb that a line begins with.
func marked(line string) string {
	s := trim(line)
	switch firstWord(s) {
	case "docker", "nerdctl":
		return s
	}
	return marker + s
}

func parseCommand(marked string) (*syntax.File, error) {
	return syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(marked), "")
}

// parse makes what is run of a line: its verbs are marked, also those behind ;
// && and || and in $(…), and its lists spread.
func (s *Shell) parse(line string) (*syntax.File, error) {
	if len(line) > maxCommand {
		return nil, fault.New(fault.Invalid, "the line has more than %d bytes", maxCommand)
	}
	text := marked(line)
	file, err := parseCommand(text)
	if err == nil {
		if again := s.markDeclarations(file, text); again != text {
			file, err = parseCommand(again)
		}
	}
	if err != nil {
		var pe syntax.ParseError
		if errors.As(err, &pe) {
			err = fault.New(fault.Invalid, "%s", pe.Text)
		}
		return nil, err
	}
	if err := refused(file); err != nil {
		return nil, err
	}
	s.mark(file)
	environment{s.Scripts}.spread(file)
	return file, nil
}

// markDeclarations marks the verbs that sh has taken for declarations of its own.
func (s *Shell) markDeclarations(file *syntax.File, text string) string {
	var at []uint
	syntax.Walk(file, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.DeclClause); ok && s.Commands.IsVerb(d.Variant.Value) {
			at = append(at, d.Pos().Offset())
		}
		return true
	})
	slices.Sort(at)
	for _, offset := range slices.Backward(at) {
		text = text[:offset] + marker + text[offset:]
	}
	return text
}

// refused gives an error for the parts of sh that Starlark has a better word for.
func refused(file *syntax.File) error {
	var bad error
	refuse := func(what, instead string) {
		if bad == nil {
			bad = fault.New(fault.Invalid, "%s is not for command lines", what).WithHint("%s", instead)
		}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			if n.Background {
				refuse("&", "run -d starts a container in the background")
			}
			for _, r := range n.Redirs {
				if r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc {
					refuse("a here-document", "put the text into a file, or write sh(line, stdin = text)")
				}
			}
		case *syntax.FuncDecl:
			refuse("a function of sh", "write def name(): …")
		case *syntax.IfClause:
			refuse("sh's if", "write if … : in Starlark")
		case *syntax.ForClause:
			refuse("sh's for", "write for c in containers(): …")
		case *syntax.WhileClause:
			refuse("sh's while", "write while … : in Starlark")
		case *syntax.CaseClause:
			refuse("sh's case", "write if … : in Starlark")
		case *syntax.DeclClause:
			refuse(n.Variant.Value, "set a variable: name = \"value\"")
		}
		return true
	})
	return bad
}

// mark puts the marker before the verbs. After a pipe, and in all that stands
// there, the words are the host's: "ps | diff - old" means diff of the host.
func (s *Shell) mark(file *syntax.File) {
	piped := map[syntax.Node]bool{}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				syntax.Walk(n.Y, func(m syntax.Node) bool {
					if _, ok := m.(*syntax.CmdSubst); ok {
						return false // "ps | grep $(ps -q)" asks nsh
					}
					if m != nil {
						piped[m] = true
					}
					return true
				})
			}
		case *syntax.CallExpr:
			if len(n.Args) > 0 && !piped[n] && s.Commands.IsVerb(n.Args[0].Lit()) {
				lit := &syntax.Lit{ValuePos: n.Args[0].Pos(), ValueEnd: n.Args[0].Pos(), Value: strings.TrimSpace(marker)}
				n.Args = append([]*syntax.Word{{Parts: []syntax.WordPart{lit}}}, n.Args...)
			}
		}
		return true
	})
}

// verbs runs the marked commands here, and gives the others to the host.
func (s *Shell) verbs(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		if args[0] != "docker" && args[0] != "nerdctl" {
			return next(ctx, args)
		}
		h := interp.HandlerCtx(ctx)
		if len(args) == 1 {
			args = append(args, "--help")
		}
		// Without an input nobody waits at the terminal.
		var in io.Reader = strings.NewReader("")
		if h.Stdin != nil {
			in = h.Stdin
		}
		stdio := Stdio{In: in, Out: h.Stdout, Err: h.Stderr}
		if f, ok := h.Stdout.(*os.File); ok && h.Stdout != s.Stdio.Out {
			stdio.Err = unheard{h.Stderr, f}
		}
		if code := s.Commands.Run(ctx, stdio, args[1:]); code != 0 {
			return interp.ExitStatus(uint8(code))
		}
		return nil
	}
}

// unheard drops what a verb says once nobody reads the pipe that it writes to any
// more: it complains of just that, and "ps | head -1" is no failure.
type unheard struct {
	io.Writer
	out *os.File
}

func (u unheard) Write(p []byte) (int, error) {
	closed := false
	if c, err := u.out.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			n, err := unix.Poll(fds, 0)
			closed = err == nil && n == 1 && fds[0].Revents&unix.POLLERR != 0
		})
	}
	if closed {
		return len(p), nil
	}
	return u.Writer.Write(p)
}

// killAfter is how long a program of the host may take to end when it is told to.
const killAfter = 2 * time.Second

// programs runs the host's programs.
func (s *Shell) programs(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	next := interp.DefaultExecHandler(killAfter)
	return func(ctx context.Context, args []string) error {
		if err := hostAllowed(ctx, lang.HostExec, args[0]); err != nil {
			return err
		}
		if plan.From(ctx) != nil {
			return plan.NotKnown("what the program " + args[0] + " does")
		}
		ctx, cancel := s.hostContext(ctx)
		defer cancel()
		return next(ctx, args)
	}
}

// hostContext is what a program of the host runs under. At a prompt the terminal
// itself sends it the SIGINT of Ctrl-C, and what it makes of that is its own affair:
// an editor or a pager goes on. It ends with the session.
func (s *Shell) hostContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.session == nil {
		return context.WithCancel(ctx)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(s.session, cancel)
	return ctx, func() { stop(); cancel() }
}

// hostAllowed asks the sandbox for what a line wants of the host.
func hostAllowed(ctx context.Context, p lang.Permission, what string) error {
	return lang.Require(ctx, p, "sh", what)
}

// open is what redirections go through.
func open(ctx context.Context, path string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(interp.HandlerCtx(ctx).Dir, path)
	}
	writes := flag&(os.O_WRONLY|os.O_RDWR) != 0
	p := lang.HostRead
	if writes {
		p = lang.HostWrite
	}
	real := path
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		real = filepath.Join(dir, filepath.Base(path))
	}
	if r, err := filepath.EvalSymlinks(path); err == nil {
		real = r
	}
	if err := hostAllowed(ctx, p, real); err != nil {
		return nil, err
	}
	if pl := plan.From(ctx); pl != nil && writes {
		pl.Add(plan.Change{Action: "write", Kind: "file", Name: path})
		return dropped{}, nil
	}
	return os.OpenFile(path, flag, perm)
}

// dropped is a file that a plan does not write.
type dropped struct{}

func (dropped) Read([]byte) (int, error)    { return 0, io.EOF }
func (dropped) Write(p []byte) (int, error) { return len(p), nil }
func (dropped) Close() error                { return nil }

// readDir is what globs go through. A directory that may not be read has no names.
func readDir(ctx context.Context, path string) ([]fs.DirEntry, error) {
	if err := hostAllowed(ctx, lang.HostRead, path); err != nil {
		return nil, err
	}
	return os.ReadDir(path)
}

// runHost gives a line to the user's own shell.
func (s *Shell) runHost(ctx context.Context, line string, stdio Stdio) int {
	if err := hostAllowed(ctx, lang.HostExec, "sh"); err != nil {
		return s.complain(stdio.Err, err, 1)
	}
	if plan.From(ctx) != nil {
		return s.complain(stdio.Err, plan.NotKnown("what the host's shell does"), 1)
	}
	sh := os.Getenv("SHELL")
	if sh == "" {
		sh = "/bin/sh"
	}
	host, cancel := s.hostContext(ctx)
	defer cancel()
	cmd := exec.CommandContext(host, sh, "-c", line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.In, stdio.Out, stdio.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killAfter
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return 128 + int(st.Signal())
		}
		return exit.ExitCode()
	case ctx.Err() != nil:
		return interrupted
	}
	return s.complain(stdio.Err, err, 1)
}
