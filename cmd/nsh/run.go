package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
	"nsh/runtime/containerd"
	"nsh/runtime/engine"
	"nsh/runtime/fault"
)

// version is set when the program is built.
var version = "dev"

// Run is nsh with these arguments, the program's name first. It gives the exit
// status. It blocks until the command, the script or the session has ended, and
// takes SIGINT and SIGTERM of the process meanwhile.
func Run(args []string, io builtins.Stdio) int {
	program := filepath.Base(args[0])
	if program != "docker" && program != "nerdctl" {
		program = "nsh"
	}
	g := newGlobals(program)
	if len(args) > 1 && args[1] == completeWord {
		return completeWords(context.Background(), g, g.env(io), io, args[2:])
	}
	if err := g.set.Parse(args[1:]); err != nil {
		fmt.Fprintf(io.Err, "%s: %s\n\nRun '%s --help' for more information\n", program, err, program)
		return 125
	}
	words := g.set.Args()
	env := g.env(io)
	// The connection is left to the end of the process: to close it takes a
	// millisecond, and nothing is lost.
	ctx, stop := interrupts(env, len(words) == 0 && g.command == nil)
	defer stop()
	ctx, release := g.bounds(ctx)
	defer release()
	code := g.run(ctx, env, io, words)
	if deadline, ok := ctx.Deadline(); ok && code != 0 && g.timeout > 0 && time.Until(deadline) < early {
		return timedOut
	}
	return code
}

// run is what the flags and the words ask for.
func (g *globals) run(ctx context.Context, env *builtins.Env, io builtins.Stdio, words []string) int {
	program := g.program
	switch {
	case g.version:
		fmt.Fprintf(io.Out, "%s version %s\n", program, version)
		return 0
	case g.help || program != "nsh" && len(words) == 0:
		fmt.Fprint(io.Out, g.helpText(env))
		return 0
	case g.command != nil:
		return session(env, io, words).RunString(ctx, *g.command)
	case len(words) == 0:
		return prompt(ctx, env, io, !g.norc)
	case words[0] == "completion":
		return completion(io, words[1:])
	case program == "nsh" && isScript(words[0]):
		return script(ctx, env, io, words[0], words[1:])
	case program == "nsh" && tools[words[0]].run != nil:
		return tools[words[0]].run(ctx, env, io, words[1:])
	}
	return builtins.Run(ctx, env, io, words)
}

// isScript tells a file from a verb: a verb has no dot and no slash.
func isScript(word string) bool {
	return strings.HasSuffix(word, ".star") || word == "-" || strings.ContainsRune(word, '/') && !builtins.IsVerb(word)
}

// globals are the flags that stand before the command, and in their long form
// after it, too.
type globals struct {
	program string
	set     *pflag.FlagSet
	flags   engine.Flags
	version bool
	help    bool
	norc    bool
	command *string

	// For what runs Starlark.
	timeout  time.Duration
	maxSteps uint64
	sandbox  bool
	allow    allowed
}

// allowed is --allow: permissions of the sandbox.
type allowed struct {
	box   lang.Sandbox
	words []string
}

func (a *allowed) Set(s string) error { a.words = append(a.words, s); return a.box.Allow(s) }
func (a *allowed) String() string     { return strings.Join(a.words, ",") }
func (a *allowed) Type() string       { return "permission" }

// timedOut is the status of what ran into --timeout, as timeout(1) has it.
const timedOut = 124

// early is how much sooner than this process an engine may find that the time is over:
// gRPC tells it the time that is left, in milliseconds and on its way for a while.
const early = 20 * time.Millisecond

// bounds makes the context that --timeout and --sandbox hold.
func (g *globals) bounds(ctx context.Context) (context.Context, func()) {
	if g.sandbox || len(g.allow.words) > 0 {
		ctx = lang.WithSandbox(ctx, &g.allow.box)
	}
	if g.timeout <= 0 {
		return ctx, func() {}
	}
	cause := fault.New(fault.Timeout, "it ran longer than %s", g.timeout).WithHint("--timeout bounds it")
	cause.Code = timedOut
	return context.WithTimeoutCause(ctx, g.timeout, cause)
}

func newGlobals(program string) *globals {
	g := &globals{program: program, set: pflag.NewFlagSet(program, pflag.ContinueOnError)}
	g.set.SetInterspersed(false)
	g.set.Usage = func() {}
	g.flags.Register(g.set, true)
	g.set.BoolVarP(&g.version, "version", "v", false, "Print version information and quit")
	g.set.BoolVarP(&g.help, "help", "h", false, "Print usage")
	if program == "nsh" {
		g.set.BoolVar(&g.norc, "norc", false, "Do not run ~/.config/nsh/rc.star at the start of a session")
		g.set.DurationVar(&g.timeout, "timeout", 0, "End a script or a line that runs longer")
		g.set.Uint64Var(&g.maxSteps, "max-steps", 0, "End Starlark that takes more steps")
		g.set.BoolVar(&g.sandbox, "sandbox", false, "Give a script containers, and no host")
		g.set.Var(&g.allow, "allow", "Permit something in the sandbox: host.exec, host.read, host.write, host.net, also with =VALUE")
		g.set.VarPF(oneLiner{g}, "command", "c", "Run these lines and quit")
	}
	return g
}

// oneLiner is -c: that an empty one was given matters.
type oneLiner struct{ g *globals }

func (o oneLiner) Set(s string) error { o.g.command = &s; return nil }
func (o oneLiner) String() string     { return "" }
func (o oneLiner) Type() string       { return "string" }

// env makes what all calls share. Nothing is looked for before a verb needs it.
func (g *globals) env(io builtins.Stdio) *builtins.Env {
	env := &builtins.Env{Program: g.program, Version: version, MaxSteps: g.maxSteps, Globals: func(fs *pflag.FlagSet) { g.flags.Register(fs, false) }}
	resolve := sync.OnceValues(func() (*engine.Settings, error) {
		s, err := engine.Resolve(g.flags)
		return &s, err
	})
	env.Connect = func(ctx context.Context) (*builtins.Engine, error) {
		s, err := resolve()
		if err != nil {
			return nil, err
		}
		env.Settings = s
		if err := engine.Find(ctx, s, io.Err); err != nil {
			return nil, err
		}
		return opened(s)
	}
	env.Reach = func(context.Context) (*builtins.Engine, error) {
		s, err := resolve()
		if err != nil {
			return nil, err
		}
		env.Settings = s
		if ok, err := engine.Locate(s); !ok {
			return nil, err
		}
		return opened(s)
	}
	return env
}

func opened(s *engine.Settings) (*builtins.Engine, error) {
	e, err := containerd.Open(*s)
	if err != nil {
		return nil, err
	}
	return &builtins.Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System, Close: e.Close}, nil
}

// interrupts ends the context at SIGINT and SIGTERM, unless the signals belong
// to a process in the foreground. A session is not ended by SIGINT, only what runs
// in it at that moment: the shell sees to that.
func interrupts(env *builtins.Env, session bool) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 2)
	if session {
		signal.Notify(ch, syscall.SIGTERM)
	} else {
		signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	}
	go func() {
		for range ch {
			if !env.Proxying() {
				cancel(fault.New(fault.Cancelled, "interrupted"))
			}
		}
	}()
	return ctx, func() { signal.Stop(ch); close(ch); cancel(nil) }
}
