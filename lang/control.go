package lang

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// controlled is a function of the language itself. One is made for an interpreter each.
type controlled struct {
	signature, doc string
	fn             func(*Interp, *starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)
}

func control() []controlled {
	return []controlled{
		{"attempt(fn, *args, **kwargs) -> struct", `Calls fn and keeps its failure: struct(ok, value, error).

Ctrl-C, exit() and the limit of steps are not kept.

Args:
  fn: the function itself; its arguments follow
Example:
  r = attempt(container, "nobody")
  print(r.error.kind)`, attempt},
		{"defer(fn, *args, **kwargs)", `Calls fn at the end, whatever happens: of the script, of the entry at a prompt, of scope().

The last one deferred is called first, also after a failure and after Ctrl-C.

Args:
  fn: the function itself; its arguments follow
Example:
  defer(print, "at the end")`, deferCall},
		{"scope(fn, *args, **kwargs)", `Calls fn, and at its end what fn deferred.

Args:
  fn: the function itself; its arguments follow
Example:
  scope(lambda: defer(print, "here, not at the end of the script"))`, scope},
		{"exit(code=0)", `Ends the script with that status. Deferred calls run.

Args:
  code: from 0 to 255`, exit},
		{"breakpoint()", `Stops the script and opens a prompt where it stands, with the variables of that place.

Leaving the prompt goes on with the script, whose variables are as they were.`, breakpoint},
		{"flag(name, default=None, help=\"\", choices=[])", `Declares a flag of the script and gives its value.

It stands at the top level, and is read before the script runs: nsh SCRIPT --help lists
all flags, and one that is mistyped is refused before anything is done. Without a default
the flag must be given. The default's type is the flag's; a list is a flag that may be
given several times. What stands behind the flags is args.

Args:
  name: "dry_run" is --dry-run
  default: a literal; None: the flag may be left out
  help: one line
  choices: the texts that are allowed`, flag},
		{"secret(name, env=\"\", file=\"\", command=[]) -> secret", `Reads a secret, which is never shown.

It comes from an environment variable, a file, or the output of a program, such as a
password manager. Printed or in a plan it is <secret NAME>; as an element of env= and as
stdin= a process gets the text.

Args:
  name: what it is called; without another source, the environment variable
  env: the environment variable
  file: the file, less its last line break
  command: the program and its arguments`, secret},
		{"fail(*args, kind=\"fail\", hint=\"\", cause=None, sep=\" \")", `Fails with the arguments as the message.

Args:
  kind: what error.kind says
  hint: what to do next
  cause: the error that led to this one: attempt(…).error
  sep: stands between the arguments
Example:
  r = attempt(fail, "no disk", kind = "unavailable")
  print(r.error.kind)`, fail},
		{"parallel(fn, items, limit=8, on_error=\"stop\") -> list", `Calls fn with each item, several at once, and gives the results in the order of the items.

What the calls share is frozen. Ctrl-C ends all of them.

Args:
  fn: a function of one argument
  items: a list
  limit: how many at once
  on_error: "stop": the first failure ends the others, and is that of parallel; "collect": the results are those of attempt()
Example:
  print(parallel(lambda n: n * n, range(4)))`, parallel},
		{"poll(fn, *args, timeout=\"30s\", interval=\"100ms\", **kwargs)", `Calls fn until it gives something true, and returns that.

A failure of fn is one of poll: attempt() keeps it.

Args:
  fn: the function itself; its arguments follow
  timeout: for how long; a call that takes longer is ended; 0: one call
  interval: between two calls
Example:
  poll(lambda: len(containers()) == 0, timeout = "5s")`, poll},
		{"retry(fn, *args, times=3, delay=\"100ms\", backoff=2, max_delay=\"1m\", on=[], **kwargs)", `Calls fn until it does not fail.

Args:
  fn: the function itself; its arguments follow
  times: how often at the most
  delay: the first wait
  backoff: each wait is that many times the one before
  max_delay: no wait grows beyond this
  on: the kinds of error that are worth another call; empty: all
Example:
  print(retry(lambda: 42, times = 5, on = ["unavailable"]))`, retry},
		{"sh(line, check=True, stdin=\"\") -> struct", `Runs a command line as the prompt does, and gives struct(code, stdout, stderr, ok).

Args:
  line: "ps -a | grep web"
  check: a status other than 0 is a failure
  stdin: what it reads
Example:
  print(sh("ps -aq").stdout)`, sh},
		{"sleep(duration)", `Waits.

Args:
  duration: "1m30s", or a number of seconds
Example:
  sleep("10ms")`, sleep},
	}
}

// split takes the callable off the arguments of a builtin that calls it with the
// rest, and the builtin's own keywords off the keywords.
func split(name string, args starlark.Tuple, kwargs []starlark.Tuple, own ...any) (fn starlark.Callable, rest starlark.Tuple, theirs []starlark.Tuple, err error) {
	if len(args) == 0 {
		return nil, nil, nil, fault.New(fault.Invalid, "%s: missing argument \"fn\"", name)
	}
	fn, ok := args[0].(starlark.Callable)
	if !ok {
		e := fault.New(fault.Invalid, "%s: for parameter \"fn\": got %s, want function", name, args[0].Type())
		return nil, nil, nil, e.WithHint("pass the function itself, and its arguments after it: %s(stop, \"web\"), or a lambda", name)
	}
	var mine []starlark.Tuple
	for _, kw := range kwargs {
		key := string(kw[0].(starlark.String))
		isMine := false
		for i := 0; i < len(own); i += 2 {
			if strings.TrimRight(own[i].(string), "?") == key {
				isMine = true
			}
		}
		if isMine {
			mine = append(mine, kw)
		} else {
			theirs = append(theirs, kw)
		}
	}
	if err := UnpackArgs(name, nil, mine, own...); err != nil {
		return nil, nil, nil, err
	}
	return fn, args[1:], theirs, nil
}

// Caught tells whether what fn failed with may be kept as a value, as attempt does it:
// not when everything is to end.
func Caught(t *starlark.Thread, err error) bool { return caught(t, err) }

// caught tells whether attempt may keep an error: not when everything is to end,
// nor what a plan cannot know, which is no failure.
func caught(t *starlark.Thread, err error) bool {
	var u Unwinding
	var e *starlark.EvalError
	if errors.As(err, &u) || Context(t).Err() != nil || fault.Is(err, fault.NotKnown) {
		return false
	}
	return !(errors.As(err, &e) && strings.Contains(e.Msg, "Starlark computation cancelled"))
}

func (i *Interp) outcome(v starlark.Value, err error) *starlarkstruct.Struct {
	d := starlark.StringDict{"ok": starlark.Bool(err == nil), "value": starlark.None, "error": starlark.None}
	if err != nil {
		d["error"] = i.newError(err)
	} else {
		d["value"] = v
	}
	return starlarkstruct.FromStringDict(starlark.String("attempt"), d)
}

// attempt(fn, *args, **kwargs) calls fn and gives struct(ok, value, error). It
// keeps every failure but the end of everything: Ctrl-C, exit(), the step limit.
func attempt(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	fn, rest, kw, err := split("attempt", args, kwargs)
	if err != nil {
		return nil, err
	}
	v, err := starlark.Call(t, fn, rest, kw)
	if err != nil && !caught(t, err) {
		return nil, err
	}
	return i.outcome(v, err), nil
}

// retry(fn, *args, times=3, delay="100ms", backoff=2, max_delay="1m", on=[], **kwargs)
// calls fn until it does not fail, at most times; the wait doubles each time, up to
// max_delay. on names the kinds of error that are worth it; empty: all.
func retry(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	times, backoff := 3, starlark.Value(starlark.MakeInt(2))
	delay, most := Duration(100*time.Millisecond), Duration(time.Minute)
	var on starlark.Value = starlark.None
	fn, rest, kw, err := split("retry", args, kwargs, "times?", &times, "delay?", &delay, "backoff?", &backoff, "max_delay?", &most, "on?", &on)
	if err != nil {
		return nil, err
	}
	factor, ok := starlark.AsFloat(backoff)
	if !ok || !(factor >= 1) || times < 1 { // NaN is neither
		return nil, fault.New(fault.Invalid, "retry: times and backoff are numbers of at least 1")
	}
	kinds, err := kindSet("retry", on)
	if err != nil {
		return nil, err
	}
	wait := time.Duration(delay)
	for n := 1; ; n++ {
		v, err := starlark.Call(t, fn, rest, kw)
		if err == nil || n >= times || !caught(t, err) || len(kinds) > 0 && !kinds[kindOf(err)] {
			return v, err
		}
		if err := sleepContext(Context(t), wait); err != nil {
			return nil, err
		}
		// In floating point, where a wait that is too long does not wrap around.
		if next := float64(wait) * factor; next < float64(most) {
			wait = time.Duration(next)
		} else {
			wait = max(wait, time.Duration(most))
		}
	}
}

// kindSet reads a kind of error, or a list of them.
func kindSet(name string, v starlark.Value) (map[fault.Kind]bool, error) {
	out := map[fault.Kind]bool{}
	switch v := v.(type) {
	case starlark.NoneType:
	case starlark.String:
		out[fault.Kind(v)] = true
	case starlark.Iterable:
		for x := range starlark.Elements(v) {
			s, ok := starlark.AsString(x)
			if !ok {
				return nil, fault.New(fault.Invalid, "%s: for parameter \"on\": got a list with %s, want kinds of error, such as \"unavailable\"", name, x.Type())
			}
			out[fault.Kind(s)] = true
		}
	default:
		return nil, fault.New(fault.Invalid, "%s: for parameter \"on\": got %s, want a list of kinds of error", name, v.Type())
	}
	return out, nil
}

// poll(fn, *args, timeout="30s", interval="100ms", **kwargs) calls fn until it
// gives something true, and returns that. A failure of fn is a failure of poll. The
// timeout holds for the calls themselves, too: one under way is ended.
func poll(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	timeout, interval := Duration(30*time.Second), Duration(100*time.Millisecond)
	fn, rest, kw, err := split("poll", args, kwargs, "timeout?", &timeout, "interval?", &interval)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(time.Duration(timeout))
	ctx := Context(t)
	if timeout > 0 { // 0 is one look, however long that takes
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end)
		defer cancel()
	}
	// A thread of its own, since one that has been cancelled is so for good. What fn
	// defers belongs to the scope that poll is in.
	sub, release, err := i.child(ctx, t, "poll")
	if err != nil {
		return nil, err
	}
	defer release()
	sub.SetLocal(localScopes, t.Local(localScopes))
	var last starlark.Value
	late := func() error {
		if last == nil {
			return fault.New(fault.Timeout, "poll: %s was still running after %s", fn.Name(), time.Duration(timeout))
		}
		return fault.New(fault.Timeout, "poll: %s did not become true within %s; last it gave %s", fn.Name(), time.Duration(timeout), last)
	}
	for {
		v, err := starlark.Call(sub, fn, rest, kw)
		var u Unwinding
		switch {
		case err != nil && ctx.Err() != nil && Context(t).Err() == nil && !errors.As(err, &u):
			return nil, late()
		case err != nil:
			return nil, &elsewhere{err}
		case bool(v.Truth()):
			return v, nil
		}
		last = v
		left := time.Until(end)
		if left <= 0 {
			return nil, late()
		}
		if err := sleepContext(Context(t), min(time.Duration(interval), left)); err != nil {
			return nil, err
		}
	}
}

// sleep(duration) waits.
func sleep(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var d Duration
	if err := UnpackArgs("sleep", args, kwargs, "duration", &d); err != nil {
		return nil, err
	}
	if plan.From(Context(t)) != nil {
		return starlark.None, nil // nothing is under way
	}
	return starlark.None, sleepContext(Context(t), time.Duration(d))
}

// awaited is what poll would give, in a plan. It is true, and nothing else is known.
type awaited struct{ fn string }

var _ starlark.HasAttrs = (*awaited)(nil)

func (a *awaited) String() string        { return "<what poll(" + a.fn + ") waits for>" }
func (a *awaited) Type() string          { return "awaited" }
func (a *awaited) Freeze()               {}
func (a *awaited) Truth() starlark.Bool  { return true }
func (a *awaited) Hash() (uint32, error) { return 0, plan.NotKnown(a.String()) }
func (a *awaited) AttrNames() []string   { return nil }

// Attr tells that nothing is known.
func (a *awaited) Attr(string) (starlark.Value, error) { return nil, plan.NotKnown(a.String()) }

// deferred is a call that waits for the end.
type deferred struct {
	fn     starlark.Callable
	args   starlark.Tuple
	kwargs []starlark.Tuple
}

// deferCall is defer(fn, *args, **kwargs): fn is called at the end of the
// script, of the entry at a prompt, or of the function that scope() runs, the last
// one first, also after a failure and after Ctrl-C.
func deferCall(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	fn, rest, kw, err := split("defer", args, kwargs)
	if err != nil {
		return nil, err
	}
	d := deferred{fn, rest, kw}
	if s, ok := t.Local(localScopes).(*scopes); ok && len(s.open) > 0 {
		top := len(s.open) - 1
		s.open[top] = append(s.open[top], d)
		return starlark.None, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.defers = append(i.defers, d)
	return starlark.None, nil
}

// scopes are those that a thread is in, the innermost last.
type scopes struct {
	open [][]deferred
}

// scope(fn, *args, **kwargs) calls fn, and at its end what fn deferred.
func scope(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	fn, rest, kw, err := split("scope", args, kwargs)
	if err != nil {
		return nil, err
	}
	return i.inScope(t, fn, rest, kw)
}

// inScope calls fn on the same thread, so that the language's limit on recursion
// holds, and then what it deferred.
func (i *Interp) inScope(t *starlark.Thread, fn starlark.Callable, rest starlark.Tuple, kw []starlark.Tuple) (starlark.Value, error) {
	s, _ := t.Local(localScopes).(*scopes)
	s.open = append(s.open, nil)
	v, err := starlark.Call(t, fn, rest, kw)
	top := len(s.open) - 1
	list := s.open[top]
	s.open = s.open[:top]
	if unplanned(Context(t), err) {
		return v, err
	}
	if derr := i.runDeferred(Context(t), t, list); err == nil {
		err = derr
	}
	return v, err
}

// unplanned tells that a plan has come to its end before the script has. What the
// script has deferred would show as if it came here.
func unplanned(ctx context.Context, err error) bool {
	return plan.From(ctx) != nil && fault.Is(err, fault.NotKnown)
}

// deferGrace is how long deferred calls may take after Ctrl-C.
const deferGrace = 30 * time.Second

// runDeferred calls the last first. Each gets its turn whatever the others do. A
// failure is reported; the first is given back, for a script that had none.
func (i *Interp) runDeferred(ctx context.Context, parent *starlark.Thread, list []deferred) (first error) {
	if len(list) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), deferGrace)
		defer cancel()
	}
	for n := len(list) - 1; n >= 0; n-- {
		t, release, err := i.child(ctx, parent, "deferred")
		if err == nil {
			_, err = starlark.Call(t, list[n].fn, list[n].args, list[n].kwargs)
			release()
		}
		if err != nil {
			fmt.Fprintf(i.opts.Stderr, "deferred call of %s failed: %s", list[n].fn.Name(), i.Report(err))
			if first == nil {
				first = fault.Wrap(err, "deferred call of", list[n].fn.Name())
			}
		}
	}
	return first
}

// quit is exit(): it unwinds everything.
type quit struct{ code int }

func (q *quit) Error() string { return fmt.Sprintf("exit(%d)", q.code) }

// Unwinds implements [Unwinding].
func (q *quit) Unwinds() {}

// Unwinding is an error that no attempt keeps, such as that of exit(): it ends
// what runs, up to who knows what it means.
type Unwinding interface {
	error
	Unwinds()
}

// exit(code=0) ends the script with that status. Deferred calls run.
func exit(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	code := 0
	if err := UnpackArgs("exit", args, kwargs, "code?", &code); err != nil {
		return nil, err
	}
	if code < 0 || code > 255 {
		return nil, fault.New(fault.Invalid, "exit: a status is a number from 0 to 255, not %d", code)
	}
	return nil, &quit{code}
}

// ExitCode is the status that a script ends with: that of exit(), 0 for success, and
// else that of the error.
func ExitCode(err error) (code int, quiet bool) {
	var q *quit
	if errors.As(err, &q) {
		return q.code, true
	}
	var u *Usage
	if errors.As(err, &u) {
		return 0, true
	}
	return fault.CodeOf(err), err == nil
}

// fail(*args, kind="fail", hint="", cause=None, sep=" ") is Starlark's, with a kind to
// switch on, and the failure that led to this one.
func fail(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	kind, hint, sep := "fail", "", " "
	var cause starlark.Value = starlark.None
	if err := UnpackArgs("fail", nil, kwargs, "kind?", &kind, "hint?", &hint, "cause?", &cause, "sep?", &sep); err != nil {
		return nil, err
	}
	words := make([]string, len(args))
	for n, a := range args {
		if s, ok := starlark.AsString(a); ok {
			words[n] = s
		} else {
			words[n] = a.String()
		}
	}
	f := &fault.Error{Kind: fault.Kind(kind), Message: strings.Join(words, sep), Hint: hint}
	switch cause := cause.(type) {
	case starlark.NoneType:
		return nil, f
	case *Error:
		return nil, &because{f, cause}
	default:
		return nil, fault.New(fault.Invalid, "fail: for parameter \"cause\": got %s, want error", cause.Type()).
			WithHint("attempt(…).error is one")
	}
}

// parallel(fn, items, limit=8, on_error="stop") calls fn with each item, limit at
// once, each on a thread of its own, and gives the results in the order of the
// items. What the calls share is frozen. With "stop" the first failure cancels
// the others and is the failure of parallel; with "collect" the results are those
// of attempt().
func parallel(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	var items starlark.Iterable
	limit, onError := 8, "stop"
	if err := UnpackArgs("parallel", args, kwargs, "fn", &fn, "items", &items, "limit?", &limit, "on_error?", &onError); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fault.New(fault.Invalid, "parallel: limit is a number of at least 1, not %d", limit)
	}
	if onError != "stop" && onError != "collect" {
		return nil, fault.New(fault.Invalid, "parallel: on_error is \"stop\" or \"collect\", not %q", onError)
	}
	if err := i.share(fn); err != nil {
		return nil, err
	}
	var list []starlark.Value
	it := items.Iterate()
	for v := starlark.Value(nil); it.Next(&v); {
		v.Freeze()
		list = append(list, v)
	}
	it.Done()

	ctx, cancel := context.WithCancelCause(Context(t))
	defer cancel(nil)
	results := make([]starlark.Value, len(list))
	errs := make([]error, len(list))
	// The failure that ends it all, and whose it is. The others are cancelled
	// because of it.
	var once sync.Once
	var failed error
	failedAt := 0
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(limit, len(list)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range next {
				sub, release, err := i.child(ctx, t, fmt.Sprintf("parallel[%d]", n))
				if err == nil {
					results[n], err = guarded(sub, fn, starlark.Tuple{list[n]})
					release()
				}
				errs[n] = err
				if err != nil && (onError == "stop" || sub == nil || !caught(sub, err)) {
					once.Do(func() { failed, failedAt = err, n })
					cancel(errStopped)
				}
			}
		}()
	}
feed:
	for n := range list {
		select {
		case next <- n:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if err := Context(t).Err(); err != nil {
		return nil, fault.New(fault.Cancelled, "interrupted").WithCause(context.Cause(Context(t)))
	}
	if failed != nil {
		return nil, fault.Wrap(failed, fmt.Sprintf("parallel: item %d,", failedAt), list[failedAt].String())
	}
	if onError == "collect" {
		for n := range list {
			results[n] = i.outcome(results[n], errs[n])
		}
	}
	return starlark.NewList(results), nil
}

// guarded calls fn; a panic is an error. Nothing else could keep one on a goroutine
// of ours from ending the process, with all that other items are in the middle of.
func guarded(t *starlark.Thread, fn starlark.Callable, args starlark.Tuple) (v starlark.Value, err error) {
	defer func() {
		if what := recover(); what != nil {
			v, err = nil, crashed(what)
		}
	}()
	return starlark.Call(t, fn, args, nil)
}

// caughtPanic makes an error of a function of ours that fell over: what a script has
// deferred, and the session, go on.
func caughtPanic(fn func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = crashed(what)
		}
	}()
	return fn()
}

var errStopped = errors.New("stopped because another item failed")

// share makes a function safe to call from several threads: what it was made with,
// and every global that its text names, also through the functions that it calls,
// is frozen. Other globals of a script stay as they are. At a prompt freezing would
// spoil the session for good, so there a function that names something mutable is
// refused.
func (i *Interp) share(fn starlark.Callable) error {
	f, ok := fn.(*starlark.Function)
	if !ok {
		fn.Freeze()
		return nil
	}
	shared := map[string]starlark.Value{}
	i.reaches(f, map[*starlark.Function]bool{}, shared)
	if !i.opts.Session {
		f.Freeze()
		for _, v := range shared {
			v.Freeze()
		}
		return nil
	}
	for name, v := range shared {
		if mutable(v) {
			return fault.New(fault.Invalid, "parallel: %s uses the variable %q, a %s that could be changed while others read it", f.Name(), name, v.Type()).
				WithHint("pass it in the items, as a tuple, or run this as a script, where it is frozen")
		}
	}
	return nil
}

// reaches collects the variables that a function can get at by name.
func (i *Interp) reaches(f *starlark.Function, seen map[*starlark.Function]bool, out map[string]starlark.Value) {
	if seen[f] {
		return
	}
	seen[f] = true
	add := func(name string, v starlark.Value) {
		out[name] = v
		if g, ok := v.(*starlark.Function); ok {
			i.reaches(g, seen, out)
		}
	}
	for n := range f.NumFreeVars() {
		b, v := f.FreeVar(n)
		add(b.Name, v)
	}
	globals := f.Globals()
	if i.opts.Session {
		globals = i.Globals()
	}
	for _, name := range i.identifiers(f) {
		if v := globals[name]; v != nil {
			add(name, v)
		}
	}
}

// identifiers are the names in the text of a function. Where the text is not known
// any more, at a prompt, they are all there are.
func (i *Interp) identifiers(f *starlark.Function) []string {
	pos := f.Position()
	i.mu.Lock()
	src := i.sources[pos.Filename()]
	i.mu.Unlock()
	file, err := dialect.Parse(pos.Filename(), src, 0)
	var body syntax.Node
	if err == nil {
		syntax.Walk(file, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.DefStmt:
				if n.Def.Line == pos.Line && n.Def.Col == pos.Col {
					body = n
				}
			case *syntax.LambdaExpr:
				if n.Lambda.Line == pos.Line && n.Lambda.Col == pos.Col {
					body = n
				}
			}
			return body == nil
		})
	}
	if body == nil {
		return f.Globals().Keys()
	}
	var out []string
	syntax.Walk(body, func(n syntax.Node) bool {
		if id, ok := n.(*syntax.Ident); ok {
			out = append(out, id.Name)
		}
		return true
	})
	return out
}

func mutable(v starlark.Value) bool {
	switch v.(type) {
	case *starlark.List, *starlark.Dict, *starlark.Set:
		return true
	}
	return false
}

// sh(line, check=True, stdin=None) runs a command line of nsh and gives
// struct(code, stdout, stderr).
func sh(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var line string
	check := true
	var stdin string
	if err := UnpackArgs("sh", args, kwargs, "line", &line, "check?", &check, "stdin?", &stdin); err != nil {
		return nil, err
	}
	if i.opts.Command == nil {
		return nil, fault.New(fault.Unavailable, "sh: there is no shell here")
	}
	r, err := i.opts.Command(Context(t), line, strings.NewReader(stdin))
	if err != nil {
		return nil, err
	}
	if r.Code != 0 && check {
		e := &fault.Error{Kind: fault.Exit, Op: "sh", Subject: line, Message: fmt.Sprintf("exit status %d", r.Code), Code: r.Code}
		if text := strings.TrimSpace(r.Stderr); text != "" {
			e.Message += ": " + text
		}
		return nil, e.WithHint("with check=False the result is returned, whatever the code")
	}
	result := starlarkstruct.FromStringDict(starlark.String("result"), starlark.StringDict{
		"code": starlark.MakeInt(r.Code), "stdout": starlark.String(r.Stdout), "stderr": starlark.String(r.Stderr), "ok": starlark.Bool(r.Code == 0),
	})
	if r.Planned {
		return &planned{result, line}, nil
	}
	return result, nil
}

// planned is the result of a line that was noted in a plan and not run.
type planned struct {
	*starlarkstruct.Struct
	line string
}

// Attr gives what is known: that it went well.
func (p *planned) Attr(name string) (starlark.Value, error) {
	if name == "stdout" || name == "stderr" {
		return nil, plan.NotKnown(fmt.Sprintf("the %s of %q", name, p.line))
	}
	return p.Struct.Attr(name)
}

// Exit is the error of exit(code).
func Exit(code int) error { return &quit{code} }

// Quits tells whether an error is exit().
func Quits(err error) bool {
	var q *quit
	return errors.As(err, &q)
}
