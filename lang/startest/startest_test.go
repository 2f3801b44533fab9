package startest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/lang/modules"
	"nsh/runtime/fault"
)

// bare makes fixtures that have the language and assert.
func bare(_ context.Context, _, _ string, out io.Writer) (*Fixture, error) {
	natives := modules.All()
	return &Fixture{Interp: lang.New(lang.Options{Stdout: out, Stderr: out, Natives: natives, Predeclared: natives["assert.star"]()})}, nil
}

var elapsed = regexp.MustCompile(`\d+\.\d\ds`)

// report runs files, given as name and text by turns, and gives what is shown.
func report(t *testing.T, cfg Config, files ...string) (string, *Report) {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for n := 0; n < len(files); n += 2 {
		p := filepath.Join(dir, files[n])
		if err := os.WriteFile(p, []byte(files[n+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(p, "_test.star") {
			paths = append(paths, p)
		}
	}
	var out bytes.Buffer
	cfg.Out = &out
	if cfg.New == nil {
		cfg.New = bare
	}
	r, err := Run(t.Context(), cfg, paths)
	if err != nil {
		t.Error(err)
	}
	return elapsed.ReplaceAllString(strings.ReplaceAll(out.String(), dir+"/", ""), "N"), r
}

const some = `seen = []

def setup():
    seen.append("setup")

def teardown():
    print("teardown", len(seen))

def test_pass():
    seen.append(1)
    print("passing", seen)

def test_fail():
    defer(print, "deferred")
    assert.eq(seen, ["setup", 1])

def helper():
    pass

def test_subs(t):
    t.log(t.name)
    for n in range(3):
        t.run("n", lambda: assert.ne(n, 1))
    t.run("deep", lambda t: t.run("er", lambda t: t.fail("here", n)))

def test_skip(t):
    t.skip("no network")

def test_fail_and_skip(t):
    t.fail()
    t.skip()

def test_exit():
    exit(3)
`

func TestOutput(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		cfg   Config
		files []string
		want  string
	}{
		{"quiet", Config{}, []string{"a_test.star", some, "b_test.star", "def test_b(): pass\n", "c_test.star", "x = 1\n"}, `--- FAIL: test_fail (N)
    deferred
    a_test.star:15:14: assert.eq: got ["setup"], want ["setup", 1]
            assert.eq(seen, ["setup", 1])
                     ^
    teardown 1
--- FAIL: test_subs (N)
    a_test.star:21:10: test_subs
    --- FAIL: test_subs/n#01 (N)
        a_test.star:23:37: assert.ne: both are 1
                    t.run("n", lambda: assert.ne(n, 1))
                                                ^
          called from a_test.star:23:14, in test_subs
    --- FAIL: test_subs/deep (N)
        --- FAIL: test_subs/deep/er (N)
            a_test.star:24:57: here 2
    teardown 1
--- FAIL: test_fail_and_skip (N)
    a_test.star:30:11: failed
    teardown 1
--- FAIL: test_exit (N)
    a_test.star:34:9: exit(3)
            exit(3)
                ^
    teardown 1
FAIL
FAIL	a_test.star	N
ok  	b_test.star	N
?   	c_test.star	[no tests]
FAIL
`},
		{"verbose", Config{Verbose: true, Run: "pass|skip$"}, []string{"a_test.star", some}, `=== RUN   test_pass
    passing ["setup", 1]
    teardown 2
--- PASS: test_pass (N)
=== RUN   test_skip
    a_test.star:27:11: no network
    teardown 1
--- SKIP: test_skip (N)
=== RUN   test_fail_and_skip
    a_test.star:30:11: failed
    teardown 1
--- FAIL: test_fail_and_skip (N)
FAIL
FAIL	a_test.star	N
FAIL
`},
		{"within", Config{Verbose: true, Run: "subs/n$/"}, []string{"a_test.star", some}, `=== RUN   test_subs
    a_test.star:21:10: test_subs
=== RUN   test_subs/n
=== RUN   test_subs/n#01
    a_test.star:23:37: assert.ne: both are 1
                t.run("n", lambda: assert.ne(n, 1))
                                            ^
      called from a_test.star:23:14, in test_subs
=== RUN   test_subs/n#02
    teardown 1
--- FAIL: test_subs (N)
    --- PASS: test_subs/n (N)
    --- FAIL: test_subs/n#01 (N)
    --- PASS: test_subs/n#02 (N)
FAIL
FAIL	a_test.star	N
FAIL
`},
		{"none", Config{Run: "nothing"}, []string{"a_test.star", some}, "ok  \ta_test.star\tN [no tests to run]\n"},
		{"syntax", Config{}, []string{"a_test.star", "def test_a(:\n    pass\n"}, "a_test.star:1:13: got ':', want ')'\n    def test_a(:\n                ^\nFAIL\ta_test.star [cannot be read]\nFAIL\n"},
		{"names", Config{}, []string{"a_test.star", "def test_a(): asert.eq(1, 2)\ndef test_b(): pass\n"}, "a_test.star:1:15: undefined: asert (did you mean assert?)\n    def test_a(): asert.eq(1, 2)\n                  ^\nFAIL\ta_test.star [cannot be read]\nFAIL\n"},
		{"top level", Config{}, []string{"a_test.star", "fail('early')\ndef test_a(): pass\n"}, "--- FAIL: test_a (N)\n    a_test.star:1:5: early\n        fail('early')\n            ^\nFAIL\nFAIL\ta_test.star\tN\nFAIL\n"},
		{"module", Config{}, []string{"m.star", "x = 1\n", "a_test.star", "load('m.star', 'x')\ndef test_a(): assert.eq(x, 1)\n"}, "ok  \ta_test.star\tN\n"},
		{"setup fails", Config{}, []string{"a_test.star", "def setup(): fail('no')\ndef teardown(): print('down')\ndef test_a(): print('never')\n"}, "--- FAIL: test_a (N)\n    a_test.star:1:18: no\n        def setup(): fail('no')\n                         ^\n    down\nFAIL\nFAIL\ta_test.star\tN\nFAIL\n"},
		{"timeout", Config{Timeout: 30 * time.Millisecond}, []string{"a_test.star", "def teardown(): print('down')\ndef test_a(t): t.run('sub', forever)\ndef forever(): attempt(sleep, 60)\n"}, "--- FAIL: test_a (N)\n    --- FAIL: test_a/sub (N)\n    a_test.star:3:23: interrupted: the test took longer than 30ms\n        def forever(): attempt(sleep, 60)\n                              ^\n      called from a_test.star:2:21, in test_a\n    down\nFAIL\nFAIL\ta_test.star\tN\nFAIL\n"},
		{"parallel within", Config{Run: "a"}, []string{"a_test.star", "def test_a(t): parallel(lambda n: t.run(str(n), lambda: print(n)), range(50))\n"}, "ok  \ta_test.star\tN\n"},
		{"not a function", Config{}, []string{"a_test.star", "def test_a(): pass\ntest_a = 1\n"}, "--- FAIL: test_a (N)\n    a test is a function, not int\nFAIL\nFAIL\ta_test.star\tN\nFAIL\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := report(t, tt.cfg, tt.files...); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestFixture(t *testing.T) {
	t.Parallel()
	closed := 0
	var cfg Config
	cfg.New = func(ctx context.Context, file, test string, out io.Writer) (*Fixture, error) {
		if test == "test_none" {
			return nil, errors.New("no engine")
		}
		f, err := bare(ctx, file, test, out)
		f.Close = func(context.Context) error {
			closed++
			if test == "test_b" {
				return errors.New("something is left")
			}
			return nil
		}
		return f, err
	}
	got, _ := report(t, cfg, "a_test.star", "def test_a(): pass\ndef test_b(): pass\ndef test_none(): pass\n")
	want := "--- FAIL: test_b (N)\n    cleaning up: something is left\n--- FAIL: test_none (N)\n    no engine\nFAIL\nFAIL\ta_test.star\tN\nFAIL\n"
	if got != want || closed != 2 {
		t.Errorf("got\n%s\nwant\n%s\nclosed %d", got, want, closed)
	}
}

// TestPanic: a mistake in a builtin fails the test, and the others run.
func TestPanic(t *testing.T) {
	t.Parallel()
	cfg := Config{New: func(_ context.Context, _, _ string, out io.Writer) (*Fixture, error) {
		crash := starlark.NewBuiltin("crash", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			panic("broken")
		})
		return &Fixture{Interp: lang.New(lang.Options{Stdout: out, Predeclared: starlark.StringDict{"crash": crash}})}, nil
	}}
	got, _ := report(t, cfg, "a_test.star", "def test_a(): crash()\ndef test_b(): pass\n")
	if !strings.HasPrefix(got, "--- FAIL: test_a (N)\n    panic: broken\n") || strings.Contains(got, "test_b") {
		t.Errorf("got\n%s", got)
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	_, r := report(t, Config{}, "a_test.star", `def test_a(t):
    t.run("s", lambda t: t.skip("later"))
    print("so < far \x01")
def test_b():
    fail("a & b")
def test_c(t):
    print("before")
    t.run("x", lambda: fail("in"))
`, "b_test.star", "def f(:\n")
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`time="[^"]*"`).ReplaceAllString(b.String(), `time="N"`)
	got = strings.ReplaceAll(got, filepath.Dir(r.Files[0].Path)+"/", "")
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="6" failures="3" errors="1">
  <testsuite name="a_test.star" tests="5" failures="3" errors="0" skipped="1" time="N">
    <testcase classname="a_test.star" name="test_a" time="N">
      <system-out>so &lt; far &#xA;</system-out>
    </testcase>
    <testcase classname="a_test.star" name="test_a/s" time="N">
      <skipped message="a_test.star:2:32: later"></skipped>
    </testcase>
    <testcase classname="a_test.star" name="test_b" time="N">
      <failure message="a_test.star:5:9: a &amp; b">a_test.star:5:9: a &amp; b&#xA;        fail(&#34;a &amp; b&#34;)&#xA;            ^&#xA;</failure>
    </testcase>
    <testcase classname="a_test.star" name="test_c" time="N">
      <failure message="a test within it failed">before&#xA;</failure>
    </testcase>
    <testcase classname="a_test.star" name="test_c/x" time="N">
      <failure message="a_test.star:8:28: in">a_test.star:8:28: in&#xA;        t.run(&#34;x&#34;, lambda: fail(&#34;in&#34;))&#xA;                               ^&#xA;  called from a_test.star:8:10, in test_c&#xA;</failure>
    </testcase>
  </testsuite>
  <testsuite name="b_test.star" tests="1" failures="0" errors="1" skipped="0" time="N">
    <testcase classname="b_test.star" name="b_test.star" time="N">
      <error message="b_test.star:1:8: got &#39;:&#39;, want &#39;)&#39;">b_test.star:1:8: got &#39;:&#39;, want &#39;)&#39;&#xA;    def f(:&#xA;           ^&#xA;</error>
    </testcase>
  </testsuite>
</testsuites>
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b_test.star", "a_test.star", "c.star", "sub/d_test.star", ".git/e_test.star", "testdata/f_test.star"} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		paths []string
		want  string
	}{
		{[]string{"."}, "a_test.star b_test.star sub/d_test.star"},
		{[]string{"sub/...", "."}, "sub/d_test.star a_test.star b_test.star"},
		{[]string{"c.star", "testdata"}, "c.star testdata/f_test.star"},
	} {
		var paths []string
		for _, p := range tt.paths {
			paths = append(paths, dir+"/"+p)
		}
		got, err := Files(paths)
		if text := strings.ReplaceAll(strings.Join(got, " "), dir+"/", ""); err != nil || text != tt.want {
			t.Errorf("%q: got %s, %v, want %s", tt.paths, text, err, tt.want)
		}
	}
	if _, err := Files([]string{filepath.Join(dir, "none")}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := Run(t.Context(), Config{Run: "("}, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}
