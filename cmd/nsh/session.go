package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"golang.org/x/term"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/lineedit"
	"nsh/lang/modules"
	"nsh/lang/shell"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
	"nsh/stdlib"
)

// commands gives the shell the verbs.
type commands struct {
	env *builtins.Env
	// out is the output of a session: what a command shows there is the value of _.
	out   io.Writer
	shown func(starlark.Value)
}

func (c commands) IsVerb(word string) bool    { return builtins.IsVerb(word) }
func (c commands) Suggest(word string) string { return builtins.Suggest(word) }
func (c commands) Words() []string            { return builtins.VerbWords() }

func (c commands) Reads(argv []string) bool { return builtins.Reading(argv) }

func (c commands) Convert(argv []string, again bool) (string, error) {
	if again {
		return builtins.ConvertEnsure(argv)
	}
	return builtins.Convert(argv)
}

func (c commands) Run(ctx context.Context, io shell.Stdio, argv []string) int {
	stdio := builtins.Stdio{In: io.In, Out: io.Out, Err: io.Err, TTY: terminalOf(io.In, io.Out)}
	if c.out != nil && io.Out == c.out {
		stdio.Shown = c.shown
	}
	return builtins.Run(ctx, c.env, stdio, argv)
}

// terminalOf is the terminal behind the streams of one command: behind a pipe or
// a redirection there is none.
func terminalOf(in io.Reader, out io.Writer) builtins.TTY {
	i, _ := in.(*os.File)
	o, _ := out.(*os.File)
	if i == nil || o == nil {
		return nil
	}
	return terminal(i, o)
}

// scripts gives the shell the language.
type scripts struct {
	*lang.Interp
	env      *builtins.Env
	tty      builtins.TTY // nil when there is none
	out, err *relay
}

// Redirect implements shell.Redirecter.
func (s scripts) Redirect(w io.Writer) (restore func()) {
	out, err := s.out.to(w), s.err.to(w)
	return func() { s.out.to(out); s.err.to(err) }
}

// relay is a writer whose destination may change.
type relay struct {
	mu    sync.Mutex
	w     io.Writer
	scrub func(string) string // takes secrets out
}

func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	w := r.w
	r.mu.Unlock()
	if r.scrub != nil {
		if text := r.scrub(string(p)); text != string(p) {
			_, err := io.WriteString(w, text)
			return len(p), err
		}
	}
	return w.Write(p)
}

func (r *relay) to(w io.Writer) (old io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, r.w = r.w, w
	return old
}

func (s scripts) Chunk(ctx context.Context, src string) (string, error) {
	v, err := s.Interp.Chunk(ctx, src)
	if err != nil || v == nil || v == starlark.None {
		return "", err
	}
	view := builtins.View{Wide: shell.IsWide(ctx)}
	if s.tty != nil && s.tty.IsOutput() {
		view.Cols, _, _ = s.tty.Size()
	}
	return view.Display(v), nil
}

func (s scripts) ExitCode(err error) (int, bool) { return lang.ExitCode(err) }
func (s scripts) Quits(err error) bool           { return lang.Quits(err) }

func (s scripts) Lookup(name string) (words []string, list, ok bool) {
	v := s.Globals()[name]
	if v == nil {
		return nil, false, false
	}
	words, ok = builtins.ShellWords(v)
	_, list = v.(starlark.Iterable)
	return words, list && ok, ok
}

// Names are also those that the session has defined.
func (s scripts) Names() []string { return append(s.Interp.Names(), s.Globals().Keys()...) }

func (s scripts) Help(name string) (string, bool) {
	text := s.Interp.Help(name)
	return text, text != ""
}

// interpreter makes the language with the verbs in it.
func interpreter(env *builtins.Env, io builtins.Stdio, args []string, session bool) scripts {
	var i *lang.Interp
	s := scripts{env: env, tty: io.TTY, out: &relay{w: io.Out}, err: &relay{w: io.Err}}
	env.Notices = s.err
	opts := lang.Options{
		Predeclared: builtins.Predeclared(env), Stdlib: stdlib.FS, Natives: modules.All(), Stdout: s.out, Stderr: s.err, Args: args, Session: session, MaxSteps: env.MaxSteps,
		Command: func(ctx context.Context, line string, in ioReader) (lang.CommandResult, error) {
			return runLine(ctx, env, i, line, in)
		},
	}
	if io.TTY != nil && io.TTY.IsInput() && io.TTY.IsOutput() {
		opts.Breakpoint = func(ctx context.Context, sub *lang.Interp) error { return pause(ctx, env, io, sub) }
	}
	i = lang.New(opts)
	s.out.scrub, s.err.scrub = i.Scrub, i.Scrub
	s.Interp = i
	return s
}

type ioReader = io.Reader

// runLine is what sh() does: a command line whose output is kept. That of a line which
// a plan has noted is not known.
func runLine(ctx context.Context, env *builtins.Env, i *lang.Interp, line string, in io.Reader) (lang.CommandResult, error) {
	var out, errs bytes.Buffer
	sh := &shell.Shell{Commands: commands{env: env}, Scripts: scripts{Interp: i, env: env}}
	p := plan.From(ctx)
	before := 0
	if p != nil {
		before = len(p.Changes())
	}
	code, err := sh.Try(ctx, line, shell.Stdio{In: in, Out: &out, Err: &errs})
	if err == nil {
		err = ctx.Err()
	}
	return lang.CommandResult{Code: code, Stdout: out.String(), Stderr: errs.String(), Planned: p != nil && len(p.Changes()) > before}, err
}

// session makes the shell of -c, of piped input and of the prompt.
func session(env *builtins.Env, io builtins.Stdio, args []string) *shell.Shell {
	i := interpreter(env, io, args, true)
	return &shell.Shell{
		Commands: commands{env: env, out: io.Out, shown: i.SetResult}, Scripts: i, Stdio: shell.Stdio{In: io.In, Out: io.Out, Err: io.Err},
		Interrupt: shell.NotifyInterrupt(env.Proxying),
		IsTool:    func(word string) bool { return toolWords[word] },
		Plan: func(ctx context.Context, io shell.Stdio, flags []string, run func(context.Context) int) int {
			return planLine(ctx, io, i.Scrub, flags, run)
		},
	}
}

// prompt is the interactive shell, or what runs piped input. rc: the user's file is
// run first.
func prompt(ctx context.Context, env *builtins.Env, io builtins.Stdio, rc bool) int {
	sh := session(env, io, nil)
	if io.TTY == nil || !io.TTY.IsInput() {
		return sh.RunReader(ctx, io.In)
	}
	env.Interactive = true
	in, _ := io.In.(*os.File)
	out, _ := io.Out.(*os.File)
	ed, err := lineedit.New(lineedit.Options{In: in, Out: out, History: historyFile(), Complete: sh.Complete, Colour: sh.Colour}, io.TTY.IsOutput())
	if err != nil {
		fmt.Fprintf(io.Err, "nsh: %s\n", err)
		return 1
	}
	defer ed.Close()
	// What comes from beside while somebody types must not tear his line.
	s := sh.Scripts.(scripts)
	if io.TTY.IsOutput() {
		s.out.to(ed.Output())
	}
	if f, ok := io.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.err.to(ed.Output())
	}
	if rc {
		runRC(ctx, sh, io)
	}
	return sh.Interactive(ctx, ed)
}

// pause is breakpoint(): a prompt with the names of a paused frame. exit() in it ends
// the script.
func pause(ctx context.Context, env *builtins.Env, io builtins.Stdio, sub *lang.Interp) error {
	in, _ := io.In.(*os.File)
	out, _ := io.Out.(*os.File)
	sh := &shell.Shell{
		Commands: commands{env: env, out: io.Out, shown: sub.SetResult}, Scripts: scripts{Interp: sub, env: env, tty: io.TTY, out: &relay{w: io.Out}, err: &relay{w: io.Err}},
		Stdio: shell.Stdio{In: io.In, Out: io.Out, Err: io.Err}, Interrupt: shell.NotifyInterrupt(env.Proxying),
	}
	ed, err := lineedit.New(lineedit.Options{In: in, Out: out, Complete: sh.Complete, Colour: sh.Colour}, true)
	if err != nil {
		return err
	}
	defer ed.Close()
	code := sh.Interactive(ctx, ed)
	if err := ctx.Err(); err != nil {
		return err
	}
	if sh.Exited() {
		return lang.Exit(code)
	}
	return nil
}

// runRC runs the user's rc.star in the session. A mistake in it is told, and Ctrl-C ends
// it; the prompt comes in any case.
func runRC(ctx context.Context, sh *shell.Shell, io builtins.Stdio) {
	dir, err := os.UserConfigDir() // $XDG_CONFIG_HOME, else ~/.config
	if err != nil {
		return
	}
	path := filepath.Join(dir, "nsh", "rc.star")
	src, err := readScript(nil, path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	s := sh.Scripts.(scripts)
	if err == nil {
		ctx, cancel := sh.Interrupt(ctx)
		defer cancel()
		err = s.Source(ctx, path, src)
	}
	if _, quiet := lang.ExitCode(err); err != nil && !quiet {
		fmt.Fprintf(io.Err, "%snsh: %s stopped there\n", s.Report(err), path)
	}
}

func historyFile() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "nsh", "history")
}

// maxScript bounds a script's size.
const maxScript = 16 << 20

// script runs a file, or standard input for "-".
func script(ctx context.Context, env *builtins.Env, stdio builtins.Stdio, path string, args []string) int {
	code, _ := runScript(ctx, env, stdio, path, args)
	return code
}

// runScript gives the error, too, which it has told of.
func runScript(ctx context.Context, env *builtins.Env, stdio builtins.Stdio, path string, args []string) (int, error) {
	src, err := readScript(stdio.In, path)
	if err != nil {
		fmt.Fprintf(stdio.Err, "nsh: %s\n", err)
		return 1, err
	}
	i := interpreter(env, stdio, args, false)
	if p := plan.From(ctx); p != nil {
		p.Scrub = i.Scrub
	}
	err = i.ExecFile(ctx, path, src)
	code, quiet := lang.ExitCode(err)
	var usage *lang.Usage
	if errors.As(err, &usage) {
		fmt.Fprint(stdio.Out, usage.Text)
	}
	if !quiet {
		fmt.Fprint(stdio.Err, i.Report(err))
	}
	return code, err
}

func readScript(in io.Reader, path string) ([]byte, error) {
	r := in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fault.Wrap(err, "read script", path)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxScript+1))
	if err == nil && len(data) > maxScript {
		err = fault.New(fault.Invalid, "it has more than %d bytes", maxScript)
	}
	return []byte(strings.TrimPrefix(string(data), "\ufeff")), fault.Wrap(err, "read script", path)
}
