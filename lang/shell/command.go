package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"nsh/runtime/fault"
)

// Stdio is what a command reads and writes.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// RunCommand runs one command line and gives its exit status. Verbs run inside
// this process, several of one pipeline at once; what follows a pipe is a
// program of the host unless "docker" stands before it.
func (s *Shell) RunCommand(ctx context.Context, line string, io Stdio) int {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(prefixed(line)), "")
	if err == nil {
		err = s.plain(file)
	}
	if err != nil {
		var pe syntax.ParseError
		if errors.As(err, &pe) {
			err = fault.New(fault.Invalid, "%s", pe.Text)
		}
		return s.complain(io.Err, err, 2)
	}
	run, err := interp.New(
		interp.StdIO(io.In, io.Out, io.Err),
		interp.Env(expand.FuncEnviron(s.variable)),
		interp.CallHandler(s.call),
		interp.ExecHandlers(s.verbs),
	)
	if err != nil {
		return s.complain(io.Err, err, 2)
	}
	err = run.Run(ctx, file)
	var status interp.ExitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case ctx.Err() != nil:
		return 130
	}
	return s.complain(io.Err, err, 1)
}

func (s *Shell) complain(w io.Writer, err error, code int) int {
	fmt.Fprintf(w, "nsh: %s\n", err)
	if h := fault.HintOf(err); h != "" {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
	return code
}

// plain refuses the parts of sh that Starlark has a better word for, and puts
// "docker" before the verbs that follow ; && and ||, as prefixed does at the start of
// the line. After a pipe the words are the host's.
func (s *Shell) plain(file *syntax.File) error {
	var bad error
	refuse := func(what, instead string) {
		if bad == nil {
			bad = fault.New(fault.Invalid, "%s is not for command lines", what).WithHint("%s", instead)
		}
	}
	piped := map[*syntax.Stmt]bool{}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			if n.Background {
				refuse("&", "run -d starts a container in the background")
			}
			for _, r := range n.Redirs {
				if r.Hdoc != nil {
					refuse("a here-document", "put the text into a file, or write sh(line, stdin = text)")
				}
			}
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				piped[n.Y] = true
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
			refuse("export and its like", "set a variable: name = \"value\"")
		}
		return true
	})
	if bad != nil {
		return bad
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		st, ok := n.(*syntax.Stmt)
		if !ok || piped[st] {
			return true
		}
		if c, ok := st.Cmd.(*syntax.CallExpr); ok && len(c.Args) > 0 {
			if w := c.Args[0].Lit(); s.Commands.IsVerb(w) {
				lit := &syntax.Lit{ValuePos: c.Args[0].Pos(), ValueEnd: c.Args[0].Pos(), Value: "docker"}
				c.Args = append([]*syntax.Word{{Parts: []syntax.WordPart{lit}}}, c.Args...)
			}
		}
		return true
	})
	return nil
}

// variable is $name: of the session first, then of the environment. A list is
// its elements with blanks in between, which sh splits again.
func (s *Shell) variable(name string) string {
	if words, ok := s.Scripts.Lookup(name); ok {
		return strings.Join(words, " ")
	}
	return os.Getenv(name)
}

// call sees every simple command before sh's own builtins do. It only lets
// pass: the verbs have been marked by "docker" in front.
func (s *Shell) call(_ context.Context, args []string) ([]string, error) { return args, nil }

// verbs runs the marked commands here, and gives the others to the host.
func (s *Shell) verbs(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		h := interp.HandlerCtx(ctx)
		if args[0] == "docker" || args[0] == "nerdctl" {
			if len(args) == 1 {
				args = append(args, "--help")
			}
			// Without an input nobody waits at the terminal.
			var in io.Reader = strings.NewReader("")
			if h.Stdin != nil {
				in = h.Stdin
			}
			code := s.Commands.Run(ctx, Stdio{In: in, Out: h.Stdout, Err: h.Stderr}, args[1:])
			if code != 0 {
				return interp.ExitStatus(uint8(code))
			}
			return nil
		}
		return next(ctx, args)
	}
}

// runHost gives a line to the user's own shell.
func (s *Shell) runHost(ctx context.Context, line string, stdio Stdio) int {
	sh := os.Getenv("SHELL")
	if sh == "" {
		sh = "/bin/sh"
	}
	cmd := exec.CommandContext(ctx, sh, "-c", line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.In, stdio.Out, stdio.Err
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	case ctx.Err() != nil:
		return 130
	}
	return s.complain(stdio.Err, err, 1)
}
