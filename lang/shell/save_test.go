package shell

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConvert(t *testing.T) {
	t.Parallel()
	s, _ := newShell(t)
	s.RunString(context.Background(), "ids = ['a', 'b']\nname = 'web'")
	for line, want := range map[string]string{
		"stop web":                           `stop("web")`,
		"docker stop web":                    `stop("web")`,
		`stop 'a b' "c\"d" e\ f`:             `stop("a b", "c\"d", "e f")`,
		"stop $(ps -q)":                      `stop(sh("ps -q").stdout.split())`,
		`stop "$(ps -q)"`:                    `stop(sh("ps -q").stdout.rstrip("\n"))`,
		"stop $ids":                          `stop(ids)`,
		"stop web $ids":                      `# not converted, it uses $ids: stop web $ids`,
		"stop web $(ps -q)":                  `sh("stop web $(ps -q)")`,
		"exec web $ids":                      `exec("web", ids)`,
		"!echo":                              `host.run("sh", "-c", "echo")`,
		"stop $name":                         `stop(name)`,
		"stop $HOME":                         `stop(host.env("HOME"))`,
		"stop a$name":                        `# not converted, it uses $name: stop a$name`,
		"stop *":                             `sh("stop *")`,
		"stop a && stop b":                   "stop(\"a\")\nstop(\"b\")",
		"stop a; stop b":                     "stop(\"a\")\nstop(\"b\")",
		"stop a || stop b":                   `sh("stop a || stop b")`,
		"ps | grep web | wc -l":              `host.run("wc", "-l", stdin = host.run("grep", "web", stdin = sh("ps").stdout).stdout)`,
		"ps > file":                          `sh("ps >file")`,
		"!uname -a | cat":                    `host.run("sh", "-c", "uname -a | cat")`,
		"x = $(ps -q)":                       `x = sh("ps -q").stdout.rstrip("\n")`,
		"for c in containers():\n  c.stop()": "for c in containers():\n  c.stop()",
	} {
		got, err := s.Convert(line, false)
		if err != nil || got != want+"\n" {
			t.Errorf("%s: got %s (%v), want %s", line, got, err, want)
		}
	}
	if got, err := s.Convert("stop web", true); err != nil || got != "ensure.stop(\"web\")\n" {
		t.Errorf("for another time: %s (%v)", got, err)
	}
	if _, err := s.Convert("%quit", false); err == nil {
		t.Error("a word of the shell is converted")
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	s, out := newShell(t)
	path := filepath.Join(t.TempDir(), "flow.star")
	s.runUnits(context.Background(), "stop web\nps -a\nkill nobody")
	s.runUnits(context.Background(), "1 + 1")
	s.runUnits(context.Background(), "def f(x):\n    return x\n\ny = f(2)")
	out.Reset()
	if code := s.RunString(context.Background(), "%save "+path); code != 0 {
		t.Fatalf("status %d: %s", code, out)
	}
	const want = `ensure.stop("web")

def f(x):
    return x

y = f(2)
`
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("got (%v)\n%s\nwant\n%s", err, got, want)
	}
	if want := path + ": 3 entries. nsh plan " + path + " shows what it would change, nsh " + path + " runs it.\n"; out.String() != want {
		t.Errorf("it says %q, want %q", out, want)
	}
	out.Reset()
	if code := s.RunString(context.Background(), "%save "+path+" 1"); code != 1 || !strings.Contains(out.String(), "is there already") {
		t.Errorf("status %d: %s", code, out)
	}
	if code := s.RunString(context.Background(), "%save "+path+"x 6"); code != 0 {
		t.Errorf("status %d: %s", code, out)
	}
	if got, _ := os.ReadFile(path + "x.star"); string(got) != "y = f(2)\n" {
		t.Errorf("entry 6 is %q", got)
	}
}
