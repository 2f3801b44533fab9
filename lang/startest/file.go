package startest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/lang"
	"nsh/runtime/fault"
)

// cleanup is how long teardown and the cleaning up may take when the time of the test
// is over.
const cleanup = 30 * time.Second

func runFile(ctx context.Context, cfg *Config, sel selection, path string) *FileResult {
	f := &FileResult{Path: path}
	start := time.Now()
	defer func() { f.Elapsed = time.Since(start) }()
	src, err := readFile(path)
	if err != nil {
		f.Err = err.Error() + "\n"
		return f
	}
	names, err := tests(path, src)
	if err != nil {
		// The interpreter says it better, with the line.
		i := lang.New(lang.Options{})
		f.Err = i.Report(i.ExecFile(ctx, path, src))
		return f
	}
	f.None = len(names) == 0
	for _, name := range names {
		if !sel.has(0, name) || ctx.Err() != nil {
			continue
		}
		res, bad := runTest(ctx, cfg, sel, path, src, name)
		if bad != "" {
			f.Err, f.Tests = bad, nil
			return f
		}
		f.Tests = append(f.Tests, res)
	}
	return f
}

// tests are the names of a file's tests, in their order there. Nothing is executed.
func tests(path string, src []byte) ([]string, error) {
	f, err := (&syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}).Parse(path, src, 0)
	if err != nil {
		return nil, err
	}
	var out []string
	seen := map[string]bool{}
	for _, s := range f.Stmts {
		if d, ok := s.(*syntax.DefStmt); ok && strings.HasPrefix(d.Name.Name, "test_") && !seen[d.Name.Name] {
			seen[d.Name.Name] = true
			out = append(out, d.Name.Name)
		}
	}
	return out, nil
}

// recorder takes what a test prints, and what runs within it, in their order. What is
// written at any time goes to the innermost test that runs. Its lock holds for the
// results, too: tests may use parallel().
type recorder struct {
	mu    sync.Mutex
	stack []*Result
	size  int
}

// maxOutput bounds what is kept of a test that prints without end.
const maxOutput = 4 << 20

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	top := r.stack[len(r.stack)-1]
	text := string(p)
	if r.size += len(p); r.size > maxOutput {
		if r.size-len(p) > maxOutput {
			return len(p), nil
		}
		text += fmt.Sprintf("… what comes after %d bytes is not kept\n", maxOutput)
	}
	if n := len(top.Events); n > 0 && top.Events[n-1].Sub == nil {
		top.Events[n-1].Text += text
	} else {
		top.Events = append(top.Events, Event{Text: text})
	}
	return len(p), nil
}

func (r *recorder) push(sub *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.stack); n > 0 {
		r.stack[n-1].Events = append(r.stack[n-1].Events, Event{Sub: sub})
	}
	r.stack = append(r.stack, sub)
}

func (r *recorder) pop(sub *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stack = slices.DeleteFunc(r.stack, func(x *Result) bool { return x == sub })
}

func (r *recorder) set(res *Result, s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if res.Status != Fail {
		res.Status = s
	}
}

// run is one test that is under way.
type run struct {
	sel selection
	out recorder
	fix *Fixture
}

// runTest runs one test. bad is what is wrong with the file itself: names that nothing
// defines, which are the same for all its tests.
func runTest(ctx context.Context, cfg *Config, sel selection, path string, src []byte, name string) (res *Result, bad string) {
	res = &Result{Name: name, Status: Pass}
	start := time.Now()
	defer func() { res.Elapsed = time.Since(start) }()
	late := fault.New(fault.Timeout, "the test took longer than %s", cfg.Timeout)
	tctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, late)
	defer cancel()
	r := &run{sel: sel}
	r.out.push(res)
	defer func() {
		if what := recover(); what != nil {
			r.failed(res, fmt.Sprintf("panic: %v\n%s", what, debug.Stack()))
		}
	}()
	fix, err := cfg.New(tctx, path, name, &r.out)
	if err != nil {
		r.failed(res, err.Error()+"\n")
		return res, ""
	}
	r.fix = fix
	if fix.Close != nil {
		defer func() {
			cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
			defer cancel()
			if err := fix.Close(cctx); err != nil {
				r.failed(res, fmt.Sprintf("cleaning up: %s\n", err))
			}
		}()
	}
	t := &handle{r: r, res: res, level: 1}
	err = fix.Interp.ExecFileThen(tctx, path, src, func(globals starlark.StringDict) error {
		r.body(ctx, tctx, t, globals, name)
		return nil
	})
	var names *lang.NameErrors
	if errors.As(err, &names) {
		bad = fix.Interp.Report(err)
	}
	r.ended(tctx, res, err)
	return res, bad
}

// body calls setup, the test and teardown, and notes each failure before it goes on.
func (r *run) body(ctx, tctx context.Context, t *handle, globals starlark.StringDict, name string) {
	call := func(ctx context.Context, v starlark.Value) bool {
		fn, args, err := t.callable(v)
		if err == nil {
			_, err = r.fix.Interp.Call(ctx, fn, args, nil)
		}
		r.ended(ctx, t.res, err)
		return err == nil
	}
	if down := globals["teardown"]; down != nil {
		defer func() {
			if tctx.Err() != nil {
				var cancel context.CancelFunc
				tctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cleanup)
				defer cancel()
			}
			call(tctx, down)
		}()
	}
	if up := globals["setup"]; up != nil && !call(tctx, up) {
		return
	}
	call(tctx, globals[name])
}

// ended sets the status by what a test ended with.
func (r *run) ended(ctx context.Context, res *Result, err error) {
	var s *skipped
	var late *fault.Error
	switch {
	case errors.As(err, &s):
		r.out.set(res, Skip)
		if s.reason != "" {
			fmt.Fprintf(&r.out, "%s%s\n", s.where, s.reason)
		}
	case err != nil && errors.As(context.Cause(ctx), &late) && late.Kind == fault.Timeout:
		// The line is where it was at that moment.
		text := r.fix.Interp.Report(err)
		if !strings.Contains(text, late.Error()) {
			text = late.Error() + "\n" + text
		}
		r.failed(res, text)
	case err != nil:
		r.failed(res, r.fix.Interp.Report(err))
	}
}

func (r *run) failed(res *Result, text string) {
	r.out.set(res, Fail)
	r.out.mu.Lock()
	if res.Failure == "" {
		res.Failure = text
	}
	r.out.mu.Unlock()
	_, _ = r.out.Write([]byte(text))
}

// sub runs a test within a test, on the same thread.
func (t *handle) sub(thread *starlark.Thread, name string, fn starlark.Value) (bool, error) {
	if !t.r.sel.has(t.level, name) {
		return true, nil
	}
	t.r.out.mu.Lock()
	taken := map[string]bool{}
	for _, e := range t.res.Events {
		if e.Sub != nil {
			taken[e.Sub.Name] = true
		}
	}
	full := t.res.Name + "/" + name
	for n := 1; taken[full]; n++ {
		full = fmt.Sprintf("%s/%s#%02d", t.res.Name, name, n)
	}
	t.r.out.mu.Unlock()
	sub := &handle{r: t.r, res: &Result{Name: full, Status: Pass}, level: t.level + 1}
	callable, args, err := sub.callable(fn)
	if err != nil {
		return false, err
	}
	start := time.Now()
	t.r.out.push(sub.res)
	_, err = starlark.Call(thread, callable, args, nil)
	sub.res.Elapsed = time.Since(start)
	var s *skipped
	if err == nil || errors.As(err, &s) || lang.Caught(thread, err) {
		t.r.ended(lang.Context(thread), sub.res, err)
		err = nil
	} else {
		t.r.out.set(sub.res, Fail) // and so will be the test around it, which tells why
	}
	t.r.out.pop(sub.res)
	if sub.res.Failed() {
		t.r.out.set(t.res, Fail)
	}
	return !sub.res.Failed(), err
}

// words joins what log, fail and skip are given, as print does.
func words(args starlark.Tuple) string {
	var b bytes.Buffer
	for n, a := range args {
		if n > 0 {
			b.WriteByte(' ')
		}
		if s, ok := starlark.AsString(a); ok {
			b.WriteString(s)
		} else {
			b.WriteString(a.String())
		}
	}
	return b.String()
}
