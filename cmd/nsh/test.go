package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/modules"
	"nsh/lang/startest"
	"nsh/runtime/containerd"
	"nsh/runtime/fault"
	"nsh/runtime/memory"
	"nsh/stdlib"
)

const testUsage = `Usage:  nsh test [OPTIONS] [PATH...]

Run the test_* functions of *_test.star files

A PATH is a file, or a directory that is searched with all below it; without one it
is the current directory. Each test has an engine in memory of its own, in which any
image can be pulled.

Options:
`

// testTool is "nsh test". It gives 0 when all tests pass, 1 when one fails, 2 when they
// cannot be run.
func testTool(ctx context.Context, env *builtins.Env, stdio builtins.Stdio, args []string) int {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Usage = func() {}
	cfg := startest.Config{Out: stdio.Out}
	real, help, junit := false, false, ""
	fs.StringVar(&cfg.Run, "run", "", "Run the tests whose names a regular expression matches; a/b: and b within them")
	fs.BoolVarP(&cfg.Verbose, "verbose", "v", false, "Show all tests, and what they print")
	fs.BoolVar(&real, "real", false, "Run on the real engine, each test in a namespace of its own that is removed behind it")
	fs.StringVar(&junit, "junit", "", "Write the results as JUnit's XML to this `file`, too")
	fs.IntVar(&cfg.Parallel, "parallel", 0, "How many files are run at once (default: as many as there are processors)")
	fs.DurationVar(&cfg.Timeout, "timeout", 10*time.Minute, "How long each test may take; 0: for ever")
	fs.BoolVarP(&help, "help", "h", false, "Print usage")
	fail := func(err error) int {
		fmt.Fprintf(stdio.Err, "nsh test: %s\n", err)
		if h := fault.HintOf(err); h != "" {
			fmt.Fprintf(stdio.Err, "hint: %s\n", h)
		}
		return 2
	}
	if err := fs.Parse(goFlags(args)); err != nil {
		return fail(fault.New(fault.Invalid, "%s", err).WithHint("nsh test --help lists the options"))
	}
	if help {
		fmt.Fprint(stdio.Out, testUsage+strings.ReplaceAll(fs.FlagUsages(), "[=true|false]", strings.Repeat(" ", 13)))
		return 0
	}
	if cfg.Parallel < 0 || cfg.Timeout < 0 {
		return fail(fault.New(fault.Invalid, "--parallel and --timeout are not less than 0"))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = math.MaxInt64 // as go test has it: no limit
	}
	files, err := startest.Files(fs.Args())
	if err != nil {
		return fail(err)
	}
	if len(files) == 0 {
		return fail(fault.New(fault.NotFound, "there is no *_test.star").WithHint("a test is a function test_… in such a file"))
	}
	cfg.New = onMemory
	if real {
		cfg.New = onEngine(env)
	}
	report, err := startest.Run(ctx, cfg, files)
	if report != nil && junit != "" {
		if jerr := writeJUnit(junit, report); jerr != nil && err == nil {
			err = jerr
		}
	}
	switch {
	case fault.Is(err, fault.Cancelled):
		return 130
	case err != nil:
		return fail(err)
	case report.Failed():
		return 1
	}
	return 0
}

// goFlags takes go test's spelling: -run for --run.
func goFlags(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		for _, name := range []string{"run", "real", "junit", "parallel", "timeout"} {
			if a == "-"+name || len(a) > len(name)+1 && a[:len(name)+2] == "-"+name+"=" {
				a = "-" + a
				break
			}
		}
		out[i] = a
	}
	return out
}

func writeJUnit(path string, report *startest.Report) error {
	var b bytes.Buffer
	if err := report.WriteJUnit(&b); err != nil {
		return err
	}
	return fault.Wrap(os.WriteFile(path, b.Bytes(), 0o666), "write", path)
}

// testInterpreter is that of a script, with assert and without a terminal.
func testInterpreter(env *builtins.Env, out io.Writer) *lang.Interp {
	env.Notices = out
	predeclared := builtins.Predeclared(env)
	natives := modules.All()
	maps.Copy(predeclared, natives["assert.star"]())
	var i *lang.Interp
	i = lang.New(lang.Options{
		Predeclared: predeclared, Stdlib: stdlib.FS, Natives: natives, Stdout: out, Stderr: out,
		Command: func(ctx context.Context, line string, in io.Reader) (lang.CommandResult, error) {
			return runLine(ctx, env, i, line, in)
		},
	})
	return i
}

// onMemory gives a test an engine in memory.
func onMemory(_ context.Context, _, _ string, out io.Writer) (*startest.Fixture, error) {
	env := &builtins.Env{Program: "nsh", Version: version, Connect: func(context.Context) (*builtins.Engine, error) {
		e := memory.New(memory.Options{AnyImage: true})
		return &builtins.Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System}, nil
	}}
	return &startest.Fixture{Interp: testInterpreter(env, out)}, nil
}

// onEngine gives a test a namespace of the engine that outer finds.
func onEngine(outer *builtins.Env) func(context.Context, string, string, io.Writer) (*startest.Fixture, error) {
	return func(_ context.Context, _, _ string, out io.Writer) (*startest.Fixture, error) {
		env := &builtins.Env{Program: "nsh", Version: version, Globals: outer.Globals}
		var mu sync.Mutex
		var engine *containerd.Engine
		env.Connect = func(ctx context.Context) (*builtins.Engine, error) {
			// Finding it, or starting it, is done once for all.
			if _, err := outer.Engine(ctx); err != nil {
				return nil, err
			}
			s := *outer.Settings
			s.Namespace = "nsh-test-" + rand.Text()[:12]
			e, err := containerd.Open(s)
			if err != nil {
				return nil, err
			}
			env.Settings = &s
			mu.Lock()
			defer mu.Unlock()
			engine = e
			return &builtins.Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System, Close: e.Close}, nil
		}
		return &startest.Fixture{Interp: testInterpreter(env, out), Close: func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if engine == nil {
				return nil // no test has asked for it
			}
			return errors.Join(engine.Discard(ctx), engine.Close())
		}}, nil
	}
}
