// Package lang is Starlark as nsh speaks it: the dialect, the modules, errors
// that are values, cancelling, and running things side by side. It knows
// nothing of containers: what a script can call comes in as predeclared names.
//
// The dialect has while, recursion, sets, control flow at the top level and
// reassignment of globals. Everything else is the Starlark spec.
//
// An [Interp] is one script or one session. Its methods are for one goroutine at a
// time; what runs inside may use many ([parallel]). The context that a call is
// given reaches every builtin through [Context], and its end stops the Starlark
// code, too, wherever it is.
//
// Plan mode will sit below the verbs, not in here: the interpreter runs the same
// calls, and the verbs of a planning engine record them.
package lang

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"
	"sync"
	"time"

	"go.starlark.net/lib/json"
	"go.starlark.net/lib/math"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// Options of an [Interp]. The zero value is a bare language.
type Options struct {
	// Predeclared are the names of the program around the language. They win
	// over the language's own.
	Predeclared starlark.StringDict
	// Stdlib is what load("@std//x.star", …) reads.
	Stdlib fs.FS
	// Natives are modules of it that are written in Go, by file name: "yaml.star". One
	// is made when it is loaded for the first time.
	Natives map[string]func() starlark.StringDict
	Stdout  io.Writer // of print; nil drops
	Stderr  io.Writer // of deferred calls that fail; nil drops
	Args    []string  // the list args
	// Command runs a command line for sh(); nil: sh fails.
	Command func(ctx context.Context, line string, stdin io.Reader) (CommandResult, error)
	// Breakpoint runs a prompt in a paused frame, whose names sub has; an error ends the
	// script. nil: there is no terminal.
	Breakpoint func(ctx context.Context, sub *Interp) error
	// MaxSteps bounds one ExecFile or Chunk; 0: no bound.
	MaxSteps uint64
	// Session is set at a prompt, where globals live on between the chunks.
	Session bool
}

// CommandResult is what a command line left.
type CommandResult struct {
	Code           int
	Stdout, Stderr string
	// Planned is set where nothing was run: the output is not known.
	Planned bool
}

// Interp runs Starlark.
type Interp struct {
	opts  Options
	names starlark.StringDict // predeclared: the language's and the program's
	// session has the predeclared names and those that the entries defined. It
	// is one map for good: functions look up in it what later entries define.
	session starlark.StringDict

	flags  map[string]starlark.Value // of the script, by the name that flag() has
	breaks sync.Mutex                // one breakpoint at a time

	mu      sync.Mutex
	secrets []*Secret
	modules map[string]*module
	sources map[string][]byte // of what has been read, for error reports
	chunks  int               // entries so far
	defers  []deferred
}

// dialect is given per file: the library's global switches are left alone.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}

// entryDialect is that of a session: what an entry loads is there for the next.
var entryDialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true, LoadBindsGlobally: true}

// New makes an interpreter.
func New(opts Options) *Interp {
	i := &Interp{opts: opts, session: starlark.StringDict{}, modules: map[string]*module{}, sources: map[string][]byte{}}
	lock := new(sync.Mutex)
	i.opts.Stdout = &sharedWriter{lock, i.opts.Stdout, i.Scrub}
	i.opts.Stderr = &sharedWriter{lock, i.opts.Stderr, i.Scrub}
	args := make([]starlark.Value, len(opts.Args))
	for n, a := range opts.Args {
		args[n] = starlark.String(a)
	}
	i.names = starlark.StringDict{
		"args":   starlark.NewList(args),
		"json":   json.Module,
		"math":   math.Module,
		"time":   startime.Module,
		"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	for _, c := range control() {
		f := Func(c.signature, c.doc, func(t *starlark.Thread, b *starlark.Builtin, a starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
			return c.fn(i, t, b, a, kw)
		})
		i.names[f.Name()] = f
	}
	i.names["help"] = Func("help(x)", `Prints what is known of a function, a module or a value.

Args:
  x: a function, or a name as text: "run"
Example:
  help(retry)`, i.help)
	for name, v := range opts.Predeclared {
		i.names[name] = v
	}
	for name, v := range i.names {
		i.session[name] = v
	}
	return i
}

// sharedWriter is written to by one thread at a time: a line stays in one piece.
// Both streams of an interpreter have the same lock, as they may be the same writer.
// Secrets do not pass.
type sharedWriter struct {
	mu    *sync.Mutex
	w     io.Writer // nil drops
	scrub func(string) string
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	if s.w == nil {
		return len(p), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := s.scrub(string(p)); text != string(p) {
		_, err := io.WriteString(s.w, text)
		return len(p), err
	}
	return s.w.Write(p)
}

// Names are all that a script can use without a definition, sorted.
func (i *Interp) Names() []string {
	return append(i.names.Keys(), starlark.Universe.Keys()...)
}

// Globals are what the entries of the session have defined.
func (i *Interp) Globals() starlark.StringDict {
	out := starlark.StringDict{}
	for name, v := range i.session {
		if old, ok := i.names[name]; !ok || old != v {
			out[name] = v
		}
	}
	return out
}

// Lookup gives the value that a name has in the session, nil when it has none.
func (i *Interp) Lookup(name string) starlark.Value {
	if v := i.session[name]; v != nil {
		return v
	}
	return starlark.Universe[name]
}

// Set gives a global of the session a value.
func (i *Interp) Set(name string, v starlark.Value) { i.session[name] = v }

// SetResult makes v the value of the entry under way: _ is the last one, _3 that of
// entry 3.
func (i *Interp) SetResult(v starlark.Value) {
	i.session["_"] = v
	i.mu.Lock()
	n := i.chunks
	i.mu.Unlock()
	i.session[fmt.Sprintf("_%d", n)] = v
	delete(i.session, fmt.Sprintf("_%d", n-maxEntries))
}

// Number says which entry of the session comes next; without it they are counted.
func (i *Interp) Number(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.chunks = n - 1
}

// local is the thread local of each kind.
const (
	localContext = "context"
	localInterp  = "nsh/interp"
	localLoading = "nsh/loading"
	localScopes  = "nsh/scopes"
	localDepth   = "nsh/depth"
)

// Context is what a builtin may block on: it ends when the call under way is
// cancelled. It is never nil.
func Context(t *starlark.Thread) context.Context {
	if ctx, ok := t.Local(localContext).(context.Context); ok {
		return ctx
	}
	return context.Background()
}

// thread makes a thread that ends with ctx. A fresh one is made for every
// entry: a cancelled thread stays cancelled. release must be called at the end.
func (i *Interp) thread(ctx context.Context, name string) (t *starlark.Thread, release func()) {
	t = &starlark.Thread{Name: name, Load: i.load, Print: func(_ *starlark.Thread, msg string) { fmt.Fprintln(i.opts.Stdout, msg) }}
	t.SetLocal(localContext, ctx)
	t.SetLocal(localInterp, i)
	t.SetLocal(localScopes, &scopes{})
	if i.opts.MaxSteps > 0 {
		t.SetMaxExecutionSteps(i.opts.MaxSteps)
		t.OnMaxSteps = func(t *starlark.Thread) { t.Cancel(tooManySteps) }
	}
	stop := context.AfterFunc(ctx, func() { t.Cancel(cancelled) })
	return t, func() { stop() }
}

// maxDepth bounds how many threads may be started by one another: each brings a
// stack of its own, which the language's limit on recursion does not see.
const maxDepth = 100

// child makes a thread for something that parent runs beside itself.
func (i *Interp) child(ctx context.Context, parent *starlark.Thread, name string) (*starlark.Thread, func(), error) {
	depth, _ := parent.Local(localDepth).(int)
	if depth >= maxDepth {
		return nil, nil, fault.New(fault.Invalid, "parallel calls, deferred calls and loads are nested more than %d deep", maxDepth)
	}
	t, release := i.thread(ctx, name)
	t.SetLocal(localDepth, depth+1)
	t.SetLocal(localLoading, parent.Local(localLoading))
	return t, release, nil
}

// The reasons that a thread is cancelled with.
const (
	tooManySteps = "too many steps"
	cancelled    = "cancelled"
)

// ExecFile runs a script. The deferred calls of the script have run when it
// returns. The error can be given to [Report].
func (i *Interp) ExecFile(ctx context.Context, path string, src []byte) error {
	return i.ExecFileThen(ctx, path, src, nil)
}

// ExecFileThen is [Interp.ExecFile] which, when the script has come to its end,
// calls then with what it defined. What the script deferred runs after that.
func (i *Interp) ExecFileThen(ctx context.Context, path string, src []byte, then func(globals starlark.StringDict) error) error {
	if len(src) > maxSource {
		return fault.New(fault.Invalid, "%s has %d bytes; a script has %d at the most", path, len(src), maxSource)
	}
	i.remember(path, src)
	f, err := dialect.Parse(path, src, 0)
	if err == nil {
		err = i.undefined(f, i.names.Has)
	}
	if err == nil {
		err = i.takeFlags(path, f)
	}
	if err == nil {
		var prog *starlark.Program
		if prog, err = starlark.FileProgram(f, i.names.Has); err == nil {
			t, release := i.thread(ctx, path)
			t.SetLocal(localLoading, []string{path})
			var globals starlark.StringDict
			err = caughtPanic(func() (err error) {
				globals, err = prog.Init(t, i.names)
				return err
			})
			release()
			if err == nil && then != nil {
				err = then(globals)
			}
		}
	}
	return i.finish(ctx, err)
}

// takeFlags reads the arguments of a script by the flags that it declares. One that
// declares none has them as they are.
func (i *Interp) takeFlags(path string, f *syntax.File) error {
	decls, err := declarations(f)
	if err != nil || len(decls) == 0 {
		return err
	}
	values, rest, err := parseArgs(path, about(f), decls, i.opts.Args)
	if err != nil {
		return err
	}
	i.flags = values
	args := make([]starlark.Value, len(rest))
	for n, a := range rest {
		args[n] = starlark.String(a)
	}
	i.names["args"] = starlark.NewList(args)
	return nil
}

// Call calls a function on a thread of its own. What the function deferred has run
// when it returns. prepare, when it is not nil, may give the thread locals.
func (i *Interp) Call(ctx context.Context, fn starlark.Callable, args starlark.Tuple, prepare func(*starlark.Thread)) (starlark.Value, error) {
	t, release := i.thread(ctx, fn.Name())
	defer release()
	if prepare != nil {
		prepare(t)
	}
	return i.inScope(t, fn, args, nil)
}

// Chunk runs one entry of a session. The value is that of a sole expression,
// else None; what it defined is there for the next one, also after an error. In
// reports the entry is called by its number: <1> is the first.
func (i *Interp) Chunk(ctx context.Context, src string) (starlark.Value, error) {
	return i.entry(ctx, i.number(), src)
}

// Source runs a file as an entry of the session: what it defines is there then.
func (i *Interp) Source(ctx context.Context, path string, src []byte) error {
	_, err := i.entry(ctx, path, string(src))
	return err
}

// maxEntries is of how many entries the text is kept, for reports.
const maxEntries = 1000

// number names the next entry.
func (i *Interp) number() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.chunks++
	delete(i.sources, fmt.Sprintf("<%d>", i.chunks-maxEntries))
	return fmt.Sprintf("<%d>", i.chunks)
}

func (i *Interp) entry(ctx context.Context, name, src string) (starlark.Value, error) {
	if len(src) > maxSource {
		return nil, fault.New(fault.Invalid, "an entry has %d bytes at the most, this one has %d", maxSource, len(src))
	}
	dialect := entryDialect
	i.remember(name, []byte(src))
	f, err := dialect.Parse(name, src, 0)
	if err != nil {
		return nil, i.finish(ctx, err)
	}
	if err := i.undefined(f, i.session.Has); err != nil {
		return nil, i.finish(ctx, err)
	}
	t, release := i.thread(ctx, name)
	defer release()
	t.SetLocal(localLoading, []string{""})
	if len(f.Stmts) == 1 {
		if e, ok := f.Stmts[0].(*syntax.ExprStmt); ok {
			var v starlark.Value
			err := caughtPanic(func() (err error) {
				v, err = starlark.EvalExprOptions(dialect, t, e.X, i.session)
				return err
			})
			if err != nil {
				return nil, i.finish(ctx, err)
			}
			if v != starlark.None {
				i.SetResult(v)
			}
			return v, i.finish(ctx, nil)
		}
	}
	for n := range f.Stmts {
		if err = caughtPanic(func() error { return i.statement(t, f, n) }); err != nil {
			break
		}
	}
	return starlark.None, i.finish(ctx, err)
}

// Complete tells whether an entry is whole. At a prompt a compound statement
// ends with a blank line, as everywhere in Python; a string that is not a prompt's
// needs none.
func (i *Interp) Complete(src string) bool {
	lines := strings.SplitAfter(src, "\n")
	n := 0
	more := false
	_, err := dialect.ParseCompoundStmt("<stdin>", func() ([]byte, error) {
		if n >= len(lines) || lines[n] == "" && n == len(lines)-1 {
			more = true
			return nil, io.EOF
		}
		n++
		return []byte(lines[n-1]), nil
	})
	_ = err // a mistake is complete: running it says what it is
	return !more
}

// finish runs what was deferred and makes the error of the entry.
func (i *Interp) finish(ctx context.Context, err error) error {
	i.mu.Lock()
	defers := i.defers
	i.defers = nil
	i.mu.Unlock()
	if unplanned(ctx, err) {
		return err
	}
	root := &starlark.Thread{Name: "deferred"}
	for round := 0; len(defers) > 0; round++ {
		root.SetLocal(localDepth, round) // one that defers itself comes to an end
		if derr := i.runDeferred(ctx, root, defers); err == nil {
			err = derr
		}
		// A deferred call may have deferred more.
		i.mu.Lock()
		defers, i.defers = i.defers, nil
		i.mu.Unlock()
	}
	if err == nil {
		return nil
	}
	err = unassigned(err)
	if ctx.Err() != nil && isCancelled(err) {
		cause := context.Cause(ctx)
		var f *fault.Error
		if errors.As(cause, &f) {
			return f
		}
		return fault.New(fault.KindOf(cause), "interrupted")
	}
	return err
}

func isCancelled(err error) bool {
	var e *starlark.EvalError
	if errors.As(err, &e) && strings.Contains(e.Msg, "cancelled: ") {
		return true
	}
	return fault.Is(err, fault.Cancelled) || fault.Is(err, fault.Timeout)
}

func (i *Interp) remember(path string, src []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sources[path] = src
}

// maxNameErrors are told of one file: nobody reads more, and each costs a search.
const maxNameErrors = 100

// undefined resolves a file and gives all names that nothing defines, each with
// its place and a suggestion: the library's own error tells the first only.
func (i *Interp) undefined(f *syntax.File, predeclared func(string) bool) error {
	isGlobal := func(string) bool { return false }
	err := resolve.REPLChunk(f, isGlobal, predeclared, starlark.Universe.Has)
	var list resolve.ErrorList
	if !errors.As(err, &list) {
		return err
	}
	out := &NameErrors{}
	seen := map[string]bool{}
	known := i.known(f)
	for n, e := range list {
		if len(out.List) == maxNameErrors {
			out.List = append(out.List, NameError{Pos: e.Pos, Msg: fmt.Sprintf("and up to %d more mistakes like these", len(list)-n)})
			break
		}
		msg := e.Msg
		if name, ok := strings.CutPrefix(msg, "undefined: "); ok {
			name, _, _ = strings.Cut(name, " ")
			key := fmt.Sprint(e.Pos.Line, name)
			if seen[key] {
				continue
			}
			seen[key] = true
			msg = "undefined: " + name
			if near := Closest(name, known); near != "" {
				msg += fmt.Sprintf(" (did you mean %s?)", near)
			}
		}
		out.List = append(out.List, NameError{Pos: e.Pos, Msg: msg})
	}
	sort.SliceStable(out.List, func(a, b int) bool { return out.List[a].Pos.Line < out.List[b].Pos.Line })
	return out
}

func (i *Interp) known(f *syntax.File) []string {
	out := append(i.Names(), i.session.Keys()...)
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			out = append(out, n.Name.Name)
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok {
				out = append(out, id.Name)
			}
		}
		return true
	})
	return out
}

// NameErrors are the mistakes that are found before anything runs.
type NameErrors struct{ List []NameError }

// NameError is one of them.
type NameError struct {
	Pos syntax.Position
	Msg string
}

func (e *NameErrors) Error() string {
	lines := make([]string, len(e.List))
	for i, n := range e.List {
		lines[i] = n.Pos.String() + ": " + n.Msg
	}
	return strings.Join(lines, "\n")
}

// sleepContext waits for d, or for the end of ctx.
func sleepContext(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Cancelled, "interrupted").WithCause(context.Cause(ctx))
	}
}
