package lang

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

// TestReport compares whole reports of failures that came through several threads
// and causes.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, src, want string }{
		{"parallel", `def leaf(x):
    return 1 // x

def f(xs):
    parallel(leaf, xs)

f([0])
`, `t.star:2:14: parallel: item 0, "0": floored division by zero
        return 1 // x
                 ^
  called from t.star:5:13, in f
  called from t.star:7:2, in <toplevel>
`},
		{"poll", `def look():
    fail("gone", hint = "look elsewhere")

poll(look)
`, `t.star:2:9: gone
        fail("gone", hint = "look elsewhere")
            ^
  called from t.star:4:5, in <toplevel>
hint: look elsewhere
`},
		{"causes", `def disk():
    fail("disk full", hint = "buy one")

def backup():
    r = attempt(disk)
    fail("no backup", cause = r.error)

fail("not deployed", cause = attempt(backup).error, hint = "try later")
`, `t.star:8:5: not deployed
    fail("not deployed", cause = attempt(backup).error, hint = "try later")
        ^
caused by: t.star:6:9: no backup
caused by: t.star:2:9: disk full
hint: try later
`},
		{"arguments", `def deploy(image, *, timeout = "5s"):
    x = 1
    return x

def main():
    deploy("x", timout = "1s")

main()
`, `t.star:6:11: function deploy got an unexpected keyword argument "timout" (did you mean "timeout"?)
        deploy("x", timout = "1s")
              ^
  called from t.star:8:5, in <toplevel>
`},
		{"standard library", `load("@std//retry.star", "retry_on")

def f():
    return retry_on("denied", 3)

f()
`, `t.star:4:20: retry: for parameter "fn": got int, want function
        return retry_on("denied", 3)
                       ^
  it failed at @std//retry.star:22:17, in retry_on
  called from t.star:6:2, in <toplevel>
hint: pass the function itself, and its arguments after it: retry(stop, "web"), or a lambda
`},
		{"function given to the standard library", `load("@std//retry.star", "retry_on")

def f():
    fail("no")

retry_on("denied", f)
`, `t.star:4:9: no
        fail("no")
            ^
  called from @std//retry.star:22:17, in retry_on
  called from t.star:6:9, in <toplevel>
`},
		{"arguments of an item", `def f(a, b):
    return a

parallel(f, [1])
`, `t.star:4:9: parallel: item 0, "1": function f missing 1 argument (b)
    parallel(f, [1])
            ^
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, got := run(t, tt.src); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// chopped writes a byte at a time, and gives others their turn in between.
type chopped struct{ b bytes.Buffer }

func (c *chopped) Write(p []byte) (int, error) {
	for _, b := range p {
		c.b.WriteByte(b)
		time.Sleep(10 * time.Microsecond)
	}
	return len(p), nil
}

func TestPrintsStayWhole(t *testing.T) {
	t.Parallel()
	var out chopped
	i := New(Options{Stdout: &out, Stderr: &out})
	src := "parallel(lambda n: [print('x' * 20) for _ in range(5)], range(8))"
	if err := i.ExecFile(context.Background(), "t.star", []byte(src)); err != nil {
		t.Fatal(i.Report(err))
	}
	if want := strings.Repeat(strings.Repeat("x", 20)+"\n", 40); out.b.String() != want {
		t.Errorf("got\n%s", out.b.String())
	}
}

// TestLoadFifo: a module that is a pipe would be waited for until somebody writes.
func TestLoadFifo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "m.star"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("m.star", filepath.Join(dir, "link.star")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m.star", "link.star"} {
		err := New(Options{}).ExecFile(context.Background(), filepath.Join(dir, "t.star"), []byte("load('"+name+"', 'x')"))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "it is a named pipe, not a file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNatives: a module in Go is made at its first load, once, and is frozen.
func TestNatives(t *testing.T) {
	t.Parallel()
	made := 0
	i := New(Options{Natives: map[string]func() starlark.StringDict{"n.star": func() starlark.StringDict {
		made++
		return starlark.StringDict{"list": starlark.NewList(nil)}
	}}})
	if err := i.ExecFile(context.Background(), "t.star", nil); err != nil || made != 0 {
		t.Fatalf("%v; made %d times", err, made)
	}
	src := "load('@std//n.star', 'list')\nload('@std//n.star', again = 'list')\nagain.append(1)"
	err := i.ExecFile(context.Background(), "t.star", []byte(src))
	if err == nil || !strings.Contains(err.Error(), "frozen list") || made != 1 {
		t.Errorf("%v; made %d times", err, made)
	}
	err = i.ExecFile(context.Background(), "t.star", []byte("load('@std//m.star', 'x')"))
	if fault.HintOf(err) != "did you mean @std//n.star?" {
		t.Errorf("hint %q of %v", fault.HintOf(err), err)
	}
}
