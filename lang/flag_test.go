package lang

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"nsh/runtime/fault"
)

const flagScript = `"""Rolls a version out.

One replica after the other."""
tag = flag("tag", default = "latest", help = "which version")
n = flag("replicas", default = 3, help = "how many")
ratio = flag("ratio", default = 0.5)
names = flag("name", default = [], help = "of a container; may be given again")
dry_run = flag("dry_run", default = False)
level = flag("level", default = "info", choices = ["info", "debug"])
image = flag("image")
maybe = flag("maybe", default = None)
print(tag, n, ratio, names, dry_run, level, image, maybe, args)
`

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"--image", "x"}, "latest 3 0.5 [] False info x None []\n", 0},
		{[]string{"--image=x", "--tag", "v2", "--replicas", "5", "--ratio", "1", "--name", "a", "--name", "b", "--dry-run", "--level", "debug", "--maybe", "y", "rest", "--", "-z"},
			"v2 5 1.0 [\"a\", \"b\"] True debug x y [\"rest\", \"-z\"]\n", 0},
		{nil, "roll.star: flag --image is required\nhint: nsh roll.star --help lists the flags\n", 2},
		{[]string{"--imag", "x"}, "roll.star: unknown flag: --imag (did you mean --image?)\nhint: nsh roll.star --help lists the flags\n", 2},
		{[]string{"--image", "x", "--replicas", "many"}, "roll.star: invalid argument \"many\" for \"--replicas\" flag: must be an integer\nhint: nsh roll.star --help lists the flags\n", 2},
		{[]string{"--image", "x", "--level", "loud"}, "roll.star: --level: \"loud\" is none of info, debug\nhint: nsh roll.star --help lists the flags\n", 2},
		{[]string{"--help"}, `Usage:  nsh roll.star [OPTIONS] [ARG...]

Rolls a version out.

One replica after the other.

Options:
      --dry-run                
      --image string           (required)
      --level string           (info, debug) (default "info")
      --maybe string           
      --name list              of a container; may be given again
      --ratio float             (default 0.5)
      --replicas int           how many (default 3)
      --tag string             which version (default "latest")
`, 0},
	} {
		var out bytes.Buffer
		i := New(Options{Stdout: &out, Args: tt.args})
		err := i.ExecFile(context.Background(), "roll.star", []byte(flagScript))
		var usage *Usage
		if errors.As(err, &usage) {
			out.WriteString(usage.Text)
		} else if err != nil {
			out.WriteString(i.Report(err))
		}
		if code, _ := ExitCode(err); out.String() != tt.want || code != tt.code {
			t.Errorf("%q: status %d\n%s\nwant %d\n%s", tt.args, code, &out, tt.code, tt.want)
		}
	}
	for src, want := range map[string]string{
		`flag("a-" + "b")`:                    "",
		`x = "a"` + "\n" + `flag(x)`:          "t.star:2:1: flag: name: it must be a literal, as it is read before the script runs\n    flag(x)\n    ^\n",
		`flag("a", default = {})`:             "t.star:1:1: flag: a default is a string, a number, True or False, a list, or None, not a dict\n    flag(\"a\", default = {})\n    ^\n",
		`flag("a", 1)` + "\n" + `flag("a")`:   "t.star:2:1: flag \"a\" is declared twice\n    flag(\"a\")\n    ^\n",
		`flag("help")`:                        "t.star:1:1: flag: \"help\" is no name for a flag\n    flag(\"help\")\n    ^\n",
		"def f(): return flag(\"a\", 1)\nf()": "t.star:1:21: flag: \"a\" has not been declared\n    def f(): return flag(\"a\", 1)\n                        ^\n  called from t.star:2:2, in <toplevel>\nhint: flag(…) stands at the top level of the script that is run, not in a function or a module\n",
	} {
		i := New(Options{Args: []string{"--a-b=1"}})
		err := i.ExecFile(context.Background(), "t.star", []byte(src))
		if got := report(i, err); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", src, got, want)
		}
	}
}

func report(i *Interp, err error) string {
	if err == nil {
		return ""
	}
	return i.Report(err)
}

func TestSecret(t *testing.T) {
	t.Setenv("TEST_PASSWORD", "correct horse")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	i := New(Options{Stdout: &out, Args: []string{file}})
	err := i.ExecFile(context.Background(), "t.star", []byte(`
s = secret("TEST_PASSWORD")
f = secret("key", file = args[0])
c = secret("made", command = ["echo", "by a program"])
print(s, f, c, [s], {"a": s}, str(s), repr(s), "%s" % s, "{}".format(s))
print(type("a" + s), "a" + s + "b", s + f, bool(s), s == secret("TEST_PASSWORD"), s != f)
print("correct horse from-a-file by a program")
print(attempt(lambda: s < f).error.message)
print(attempt(lambda: {s: 1}).error.message)
print(attempt(secret, "TEST_NOTHING").error.kind, attempt(secret, "x", env = "a", file = "b").error.message)
fail("it was", "correct horse")
`))
	const want = `<secret TEST_PASSWORD> <secret key> <secret made> [<secret TEST_PASSWORD>] {"a": <secret TEST_PASSWORD>} <secret TEST_PASSWORD> <secret TEST_PASSWORD> <secret TEST_PASSWORD> <secret TEST_PASSWORD>
secret <secret TEST_PASSWORD> <secret TEST_PASSWORD+key> True True True
<secret TEST_PASSWORD> <secret key> <secret made>
secrets have no order
a secret is no key
not_found secret: env, file and command exclude each other
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	// The line is the script's own text, and that has the word in it.
	if got, want := report(i, err), "t.star:11:5: it was <secret TEST_PASSWORD>\n    fail(\"it was\", \"<secret TEST_PASSWORD>\")\n        ^\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	box := WithSandbox(context.Background(), &Sandbox{})
	for src, want := range map[string]string{
		`secret("TEST_PASSWORD")`:              `t.star:1:7: secret "$TEST_PASSWORD": the sandbox does not allow host.read`,
		`secret("x", file = "` + file + `")`:   `t.star:1:7: secret "` + file + `": the sandbox does not allow host.read`,
		`secret("x", command = ["echo", "x"])`: `t.star:1:7: secret "echo": the sandbox does not allow host.exec`,
		`load("/etc/passwd", "x")`:             `t.star:1:1: load "/etc/passwd": the sandbox does not allow host.read`,
	} {
		i := New(Options{})
		err := i.ExecFile(box, "t.star", []byte(src))
		got, _, _ := bytes.Cut([]byte(report(i, err)), []byte("\n"))
		if string(got) != want || !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
	}
}
