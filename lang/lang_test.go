package lang

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
	"nsh/stdlib"
)

func run(t *testing.T, src string) (out string, report string) {
	t.Helper()
	var b bytes.Buffer
	i := New(Options{Stdout: &b, Stderr: &b, Stdlib: stdlib.FS, Args: []string{"a", "b"}})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := i.ExecFile(ctx, "t.star", []byte(src)); err != nil {
		report = i.Report(err)
	}
	return b.String(), report
}

func TestScripts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, src, out, report string }{
		{"dialect", "x = 0\nwhile x < 3:\n    x += 1\nprint(x, set([1]), args)", "3 set([1]) [\"a\", \"b\"]\n", ""},
		{"recursion", "def f(n): return 1 if n == 0 else n * f(n - 1)\nprint(f(5))", "120\n", ""},
		{"attempt", "def f(): fail('no', kind='denied', hint='ask')\nr = attempt(f)\nprint(r.ok, r.value, r.error, r.error.kind, r.error.hint)\nprint(attempt(len, 'abc').value)", "False None no denied ask\n3\n", ""},
		{"attempt of a mistake", "r = attempt(lambda: 1 // 0)\nprint(r.error.kind, r.error.message)", "invalid floored division by zero\n", ""},
		{"parallel in order", "print(parallel(lambda x: x * x, range(5), limit=2))", "[0, 1, 4, 9, 16]\n", ""},
		{"parallel collects", "def f(x):\n    if x == 1: fail('one')\n    return x\nprint([(r.ok, r.value) for r in parallel(f, range(3), on_error='collect')])", "[(True, 0), (False, None), (True, 2)]\n", ""},
		{"defer", "defer(print, 1)\ndefer(print, 2)\nprint(0)", "0\n2\n1\n", ""},
		{"defer after a failure", "defer(print, 'cleaned')\nfail('oh')", "cleaned\n", "t.star:2:5: oh\n    fail('oh')\n        ^\n"},
		{"scope", "def f():\n    defer(print, 'in')\n    return 7\nprint(scope(f))\nprint('out')", "in\n7\nout\n", ""},
		{"retry", "n = [0]\ndef f():\n    n[0] += 1\n    if n[0] < 3: fail('not yet')\n    return n[0]\nprint(retry(f, delay=0.001))", "3\n", ""},
		{"poll", "n = [0]\ndef f():\n    n[0] += 1\n    return n[0] > 2\nprint(poll(f, interval='1ms'))", "True\n", ""},
		{"poll times out", "def f(): return 0\nprint(attempt(poll, f, timeout='5ms', interval='1ms').error.kind)", "timeout\n", ""},
		{"all names", "print(prnt)\nlenn(1)", "", "t.star:1:7: undefined: prnt (did you mean print?)\n    print(prnt)\n          ^\nt.star:2:1: undefined: lenn (did you mean len?)\n    lenn(1)\n    ^\n"},
		{"keyword", "parallel(print, [1], limt=3)", "", "t.star:1:9: parallel: unexpected keyword \"limt\" (did you mean \"limit\"?)\n    parallel(print, [1], limt=3)\n            ^\n"},
		{"frames", "def f(x):\n    return x[3]\n\ndef g():\n    f([1])\n\ng()", "", "t.star:2:13: list index 3 out of range [-1:0]\n        return x[3]\n                ^\n  called from t.star:5:6, in g\n  called from t.star:7:2, in <toplevel>\n"},
		{"syntax", "try:\n    pass", "", "t.star:1:1: got try, want primary expression\n    try:\n    ^\nhint: Starlark has no exceptions: attempt(fn, …) gives struct(ok, value, error), fail(…) fails\n"},
		{"parallel freezes what it shares", "x = []\ny = []\ndef f(n): x.append(n)\nprint(attempt(parallel, f, [1]).error)\ny.append(1)\nprint(y)", "parallel: item 0, \"1\": append: cannot append to frozen list\n[1]\n", ""},
		{"scopes nest", "def g(): defer(print, 'g')\ndef f():\n    defer(print, 'f')\n    scope(g)\n    print('in f')\nscope(f)", "g\nin f\nf\n", ""},
		{"deferred in deferred", "def f(): defer(print, 'inner')\ndefer(f)", "inner\n", ""},
		{"retry by kind", "n = [0]\ndef f():\n    n[0] += 1\n    return 1 // (n[0] - 1)\nprint(retry(f, on = ['invalid'], delay = 0))", "1\n", ""},
		{"no such duration", "print(attempt(sleep, float('inf')).error)", "sleep: for parameter duration: +inf is no number of seconds up to 9000000000\n", ""},
		{"std", "load('@std//retry.star', 'retry_on')\nprint(retry_on('denied', lambda: 7))", "7\n", ""},
		{"no module", "load('@std//nope.star', 'x')", "", "t.star:1:1: cannot load @std//nope.star: no module @std//nope.star\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, report := run(t, tt.src)
			if out != tt.out {
				t.Errorf("output\n%s\nwant\n%s", out, tt.out)
			}
			if tt.name == "no module" {
				report, _, _ = strings.Cut(report, "    load")
			}
			if report != tt.report && tt.name != "no module" {
				t.Errorf("report\n%s\nwant\n%s", report, tt.report)
			}
		})
	}
}

// TestCancel: the end of the context ends whatever runs, at once.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"while True: pass", "sleep(60)", "parallel(lambda x: sleep(60), range(3))", "attempt(sleep, 60)\nsleep(60)", "def f():\n    while True: pass\nattempt(f)", "retry(lambda: fail('x'), times=99, delay=60)", "poll(lambda: False, timeout=60)"} {
		t.Run(src, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(20*time.Millisecond, cancel)
			start := time.Now()
			err := New(Options{}).ExecFile(ctx, "t.star", []byte(src))
			if err == nil || time.Since(start) > 5*time.Second {
				t.Fatalf("after %s: %v", time.Since(start), err)
			}
		})
	}
}

// TestBounds: what would end the process is an error.
func TestBounds(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		"def f(): scope(f)\nf()",
		"def f(): parallel(lambda x: f(), [1])\nf()",
		"def f():\n    defer(f)\ndef g():\n    scope(f)\n    defer(g)\ng()\nfail('over')",
		"x = " + strings.Repeat("1-", 3<<20) + "1",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := New(Options{MaxSteps: 1 << 20}).ExecFile(ctx, "t.star", []byte(src)); err == nil {
			t.Errorf("%.40q: no error", src)
		}
		cancel()
	}
	v, err := New(Options{MaxSteps: 5000, Session: true}).Chunk(context.Background(), "parallel(lambda x: [i for i in range(1 << 20)], [1, 2])")
	if err == nil {
		t.Errorf("beyond the limit of steps: %v", v)
	}
}

// TestSession: what one entry defines is there for the next, functions see what
// is assigned later, and an entry after a cancelled one works.
func TestSession(t *testing.T) {
	t.Parallel()
	i := New(Options{Session: true})
	ctx := context.Background()
	for _, step := range []struct{ src, want string }{
		{"x = 1", "None"},
		{"def f(): return x", "None"},
		{"x = 2", "None"},
		{"f()", "2"},
		{"_ + 1", "3"},
		{"y = [", ""},
		{"parallel(lambda n: n + x, [1, 2])", "[3, 4]"},
	} {
		v, err := i.Chunk(ctx, step.src)
		if step.want == "" {
			if err == nil {
				t.Errorf("%q: no error", step.src)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%q: %s", step.src, i.Report(err))
		}
		if v.String() != step.want {
			t.Errorf("%q gives %s, want %s", step.src, v, step.want)
		}
	}
	dead, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := i.Chunk(dead, "while True: pass"); err == nil {
		t.Error("a cancelled entry ran")
	}
	if v, err := i.Chunk(ctx, "f()"); err != nil || v.String() != "2" {
		t.Errorf("after a cancelled entry: %v, %v", v, err)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	i := New(Options{})
	for src, want := range map[string]bool{
		"x = 1\n": true, "x = [\n": false, "x = [\n1]\n": true, "for x in y:\n": false, "for x in y: f()\n": false,
		"for x in y: f()\n\n": true, "def f():\n    pass\n\n": true, "'''a\n": false, "1 +\n": true,
	} {
		if got := i.Complete(src); got != want {
			t.Errorf("Complete(%q) = %v", src, got)
		}
	}
}

func FuzzChunk(f *testing.F) {
	for _, s := range []string{"x = 1", "parallel(lambda x: x, range(3))", "[", "def f():\n  f()\nf()", "retry(retry)", "attempt(attempt, fail)", "load('x', 'y')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		i := New(Options{MaxSteps: 10000, Session: true, Predeclared: starlark.StringDict{"sleep": starlark.None}})
		i.Complete(src)
		if _, err := i.Chunk(ctx, src); err != nil {
			i.Report(err)
		}
	})
}

// TestPanic: a function of ours that falls over fails, and what was deferred runs.
func TestPanic(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	fall := starlark.NewBuiltin("fall", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		panic("a bug")
	})
	opts := Options{Stdout: &b, Stderr: &b, Predeclared: starlark.StringDict{"fall": fall}, Session: true}
	err := New(opts).ExecFile(context.Background(), "t.star", []byte("defer(print, 'deferred')\nfall()"))
	if fault.KindOf(err) != fault.Internal || b.String() != "deferred\n" {
		t.Errorf("%v, %s", err, &b)
	}
	i := New(opts)
	for _, src := range []string{"fall()", "x = fall()"} {
		if _, err := i.Chunk(context.Background(), src); fault.KindOf(err) != fault.Internal {
			t.Errorf("%s: %v", src, err)
		}
	}
	if v, err := i.Chunk(context.Background(), "1 + 1"); err != nil || v.String() != "2" {
		t.Errorf("the session is over: %v, %v", v, err)
	}
}
