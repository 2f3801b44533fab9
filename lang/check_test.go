package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
)

func checkInterp() *Interp {
	fn := func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		return starlark.None, nil
	}
	return New(Options{
		Predeclared: starlark.StringDict{
			"run": Func(`run(image, *command, name=None, publish=[])`, "Runs.", fn),
			"net": NewModule("net", "Network.", Func(`net.tcp(address, timeout="1s")`, "Asks.", fn)),
		},
		Stdlib:  fstest.MapFS{"lib.star": {Data: []byte("def lib(a, *, b = 1):\n    pass\n_private = 1\nx = 2\n")}, "bad.star": {Data: []byte("nope()")}, "loop.star": {Data: []byte(`load("@std//loop.star", "x")`)}},
		Natives: map[string]func() starlark.StringDict{"native.star": func() starlark.StringDict { return starlark.StringDict{"go": Func("go(a)", "Goes.", fn)} }},
	})
}

// TestCheck: what is told of each script, a line a mistake.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "near.star"), []byte("def near(x): pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]string{
		"x = 1\nprint(x)":                       "",
		"x = ":                                  "1:5 syntax: got end of file, want primary expression",
		"try:\n  pass":                          "1:1 syntax: got try, want primary expression [Starlark has no exceptions: attempt(fn, …) gives struct(ok, value, error), fail(…) fails]",
		"pint(1)\nlenn(2)":                      "1:1 undefined: undefined: pint (did you mean int?)\n2:1 undefined: undefined: lenn (did you mean len?)",
		`run("x", "a", "b", publis = 1)`:        `1:20 call: run: unexpected keyword "publis" (did you mean "publish"?)`,
		`run("x", command = ["a"], name = "n")`: "",
		`run()`:                                 "1:1 call: run: missing argument image [run(image, *command, name=None, publish=[])]",
		`run("x", image = "y")`:                 "1:1 call: run: image is given twice",
		`run(*[1])` + "\n" + `run(**{"image": 1})`:   "",
		`net.tcp("a", "1s", 3)`:                      "1:20 call: net.tcp: got 3 arguments, want at most 2 without a name [net.tcp(address, timeout=\"1s\")]",
		`net.tpcx("a")`:                              "1:5 attribute: net has no .tpcx (did you mean .tcp?)",
		`net.tcpp("a")`:                              "1:5 attribute: net has no .tcpp (did you mean .tcp?)",
		"net = 3\nnet.bit_length":                    "",
		"def f(a, b): pass\nf(1)\nf(1, c = 2)":       "2:1 call: f: missing argument b [f(a, b)]\n3:6 call: f: unexpected keyword \"c\" (did you mean \"a\"?)",
		"def f(a): pass\nf = print\nf(1, 2, x = 3)":  "",
		"def g():\n    f(1, 2)\ndef f(a): pass\ng()": "2:10 call: f: got 2 arguments, want at most 1 without a name [f(a)]",
		"def f(a):\n    f = print\n    f(1, 2)":      "",
		`load("@std//lib.star", "lib", "lob", "_private")` + "\nlib(1, 2)\nlob()": "1:32 load: @std//lib.star has no lob (did you mean lib?)\n1:39 undefined: load: names with leading underscores are not exported: _private\n1:39 unused: _private is loaded and not used\n2:8 call: lib: got 2 arguments, want at most 1 without a name [lib(a, *, b=1)]",
		`load("@std//native.star", g = "go")` + "\ng()":                           "2:1 call: go: missing argument a [go(a)]",
		`load("@std//bad.star", "x")` + "\nx":                                     "1:6 load: @std//bad.star:1:1: undefined: nope (did you mean None?)",
		`load("@std//loop.star", "x")` + "\nx":                                    "1:6 load: cycle of loads: @std//loop.star loads @std//loop.star",
		`load("@std//lob.star", "x")` + "\nx":                                     "1:6 load: no module @std//lob.star [did you mean @std//lib.star?]",
		`load("https://x/y.star", "x")` + "\nx":                                   "1:6 load: load \"https://x/y.star\": modules are files, or @std//NAME.star [nothing is loaded over a network]",
		`load("near.star", "near")` + "\nnear(1, 2)":                              "2:9 call: near: got 2 arguments, want at most 1 without a name [near(x)]",
		`net("x")`:                     "1:1 call: a module is called, which is no function [it has tcp]",
		`math.sqt(2)`:                  "1:6 attribute: math has no .sqt (did you mean .sqrt?)",
		"run.x":                        "1:5 attribute: a builtin_function_or_method has no attributes",
		"args.apend(1)":                "1:6 attribute: args has no .apend (did you mean .append?)",
		"def f(math): return math.sqt": "",
		"[net.tpc for net in [1]]":     "",
		"g = lambda net: net.tpc(1)":   "",
		"if args:\n    def h(): pass\nelse:\n    def h(a): pass\nh(1)":       "",
		"def f(a):\n    def f(a, b): pass\n    return f(1, 2)":               "",
		"def f(a):\n    return f\nf(1)(2, 3)":                                "",
		"def f(*, a): pass\nf(1)":                                            "2:3 call: f: got 1 arguments, want at most 0 without a name [f(*, a)]",
		`flag("a")` + "\n" + `flag("a")`:                                     "2:1 flag: flag \"a\" is declared twice",
		`sh("bad line")`:                                                     "1:4 command: no such thing [look]",
		`sh("good line")`:                                                    "",
		"print(" + strings.Repeat("(", 300) + strings.Repeat(")", 300) + ")": "1:84 syntax: excessive nesting",
	} {
		c := NewChecker(checkInterp())
		c.Command = func(line string) error {
			if strings.HasPrefix(line, "bad") {
				return fault.New(fault.Invalid, "no such thing").WithHint("look")
			}
			return nil
		}
		var got []string
		for _, d := range c.Check(filepath.Join(dir, "t.star"), []byte(src)) {
			line := strings.TrimPrefix(d.Pos.String(), filepath.Join(dir, "t.star")+":") + " " + d.Code + ": " + d.Message
			if d.Hint != "" {
				line += " [" + d.Hint + "]"
			}
			got = append(got, line)
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%s\n got %s\nwant %s", src, text, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"x = 1", "run(1, *a, **b)", "load('x', 'y')", "flag(", "def f(a, *, b=1, **c): f(b)", "net.x.y(z = 1)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		c := NewChecker(checkInterp())
		for _, d := range c.Check("t.star", []byte(src)) {
			c.Text(d)
		}
	})
}

// TestManyMistakes: a file of nothing but mistakes is told of in time.
func TestManyMistakes(t *testing.T) {
	t.Parallel()
	src := strings.Repeat("no_such_name(1)\n", 20000)
	c := NewChecker(checkInterp())
	list := c.Check("t.star", []byte(src))
	if len(list) != maxNameErrors+1 || list[maxNameErrors].Message != "and up to 19900 more mistakes like these" {
		t.Errorf("%d mistakes, the last is %q", len(list), list[len(list)-1].Message)
	}
	for _, d := range list {
		c.Text(d)
	}
}
