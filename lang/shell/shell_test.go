package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/lang/lineedit"
)

// fakeCommands echo what they are called with; cat copies its input, false fails.
type fakeCommands struct{}

func (fakeCommands) IsVerb(w string) bool { return verbs[w] }
func (fakeCommands) Words() []string      { return []string{"ps", "stop", "stats"} }
func (fakeCommands) Suggest(w string) string {
	if w == "pss" {
		return "ps"
	}
	return ""
}

func (fakeCommands) Reads(argv []string) bool { return argv[0] == "ps" }

func (fakeCommands) Convert(argv []string, again bool) (string, error) {
	words := make([]string, len(argv)-1)
	for i, w := range argv[1:] {
		words[i] = fmt.Sprintf("%q", w)
	}
	name := argv[0]
	if again {
		name = "ensure." + name
	}
	return name + "(" + strings.Join(words, ", ") + ")", nil
}

func (fakeCommands) Run(_ context.Context, s Stdio, argv []string) int {
	switch argv[0] {
	case "load":
		_, _ = io.Copy(s.Out, s.In)
		return 0
	case "kill":
		fmt.Fprintln(s.Err, "failed")
		return 1
	case "top":
		for {
			if _, err := fmt.Fprintln(s.Out, "top"); err != nil {
				fmt.Fprintln(s.Err, err)
				return 1
			}
		}
	}
	fmt.Fprintf(s.Out, "%q\n", argv)
	return 0
}

type fakeScripts struct{ *lang.Interp }

func (f fakeScripts) Chunk(ctx context.Context, src string) (string, error) {
	v, err := f.Interp.Chunk(ctx, src)
	if err != nil || v.String() == "None" {
		return "", err
	}
	return v.String(), nil
}
func (f fakeScripts) Names() []string               { return append(f.Interp.Names(), f.Globals().Keys()...) }
func (fakeScripts) ExitCode(err error) (int, bool)  { return lang.ExitCode(err) }
func (fakeScripts) Quits(err error) bool            { return lang.Quits(err) }
func (fakeScripts) Help(name string) (string, bool) { return "help on " + name + "\n", name == "run" }
func (f fakeScripts) Lookup(name string) (words []string, list, ok bool) {
	switch v := f.Globals()[name].(type) {
	case starlark.String:
		return []string{string(v)}, false, true
	case *starlark.List:
		for i := range v.Len() {
			words = append(words, string(v.Index(i).(starlark.String)))
		}
		return words, true, true
	}
	return nil, false, false
}

func newShell(t testing.TB) (*Shell, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	s := &Shell{Commands: fakeCommands{}, Stdio: Stdio{In: strings.NewReader(""), Out: &out, Err: &out}}
	s.Scripts = fakeScripts{lang.New(lang.Options{Session: true, Stdout: &out, Stderr: &out, Command: func(ctx context.Context, line string, in io.Reader) (lang.CommandResult, error) {
		var o, e bytes.Buffer
		code := s.RunCommand(ctx, line, Stdio{In: in, Out: &o, Err: &e})
		return lang.CommandResult{Code: code, Stdout: o.String(), Stderr: e.String()}, nil
	}})}
	return s, &out
}

// TestLines runs whole inputs, as -c does.
func TestLines(t *testing.T) {
	t.Setenv("NSH_TEST_WORD", "from outside")
	dir := t.TempDir()
	for _, tt := range []struct {
		name, in, out string
		code          int
	}{
		{"words", "run -d --name 'a b' \"c d\" e\\ f", "[\"run\" \"-d\" \"--name\" \"a b\" \"c d\" \"e f\"]\n", 0},
		{"template", "ps --format '{{.ID}}\\t{{.Names}}' {{.X}}", "[\"ps\" \"--format\" \"{{.ID}}\\\\t{{.Names}}\" \"{{.X}}\"]\n", 0},
		{"environment", "run $NSH_TEST_WORD \"$NSH_TEST_WORD\" '$x'", "[\"run\" \"from\" \"outside\" \"from outside\" \"$x\"]\n", 0},
		{"list", "ids = ['a', 'b c']\nstop $ids \"$ids\" x$ids ${ids}", "[\"stop\" \"a\" \"b c\" \"a b c\" \"xa\" \"b c\" \"a\" \"b c\"]\n", 0},
		{"empty list", "ids = []\nstop $ids", "[\"stop\"]\n", 0},
		{"text", "web = 'a b'\nstop $web \"$web\"", "[\"stop\" \"a\" \"b\" \"a b\"]\n", 0},
		{"variable before environment", "NSH_TEST_WORD = 'inside'\nstop $NSH_TEST_WORD", "[\"stop\" \"inside\"]\n", 0},
		{"environment of programs", "NSH_TEST_WORD = 'inside'\nps | sh -c 'echo $NSH_TEST_WORD'", "from outside\n", 0},
		{"host in a group behind a pipe", "ps | { cat; printf '%s ' ps; }", "[\"ps\"]\nps ", 0},
		{"substitution behind a pipe", "stop x | printf '%s ' $(ps)", "[\"ps\"] ", 0},
		{"export behind &&", "ps && export -o x web || export y", "[\"ps\"]\n[\"export\" \"-o\" \"x\" \"web\"]\n", 0},
		{"reader that goes away", "top | head -n 1", "top\n", 0},
		{"program that is not there", "ps | nosuchprogram", "\"nosuchprogram\": executable file not found in $PATH\n", 127},
		{"signal", "!kill -9 $$", "", 137},
		{"substitution", "rm $(ps -q)", "[\"rm\" \"[\\\"ps\\\"\" \"\\\"-q\\\"]\"]\n", 0},
		{"host behind a pipe", "ps | tr a-z A-Z", "[\"PS\"]\n", 0},
		{"verb behind a pipe", "ps | docker load", "[\"ps\"]\n", 0},
		{"and, or", "kill x && ps; kill y || ps -a", "failed\nfailed\n[\"ps\" \"-a\"]\n", 0},
		{"status", "kill x", "failed\n", 1},
		{"export", "export -o x web", "[\"export\" \"-o\" \"x\" \"web\"]\n", 0},
		{"sh's own words", "exec -it web sh; wait web; history", "[\"exec\" \"-it\" \"web\" \"sh\"]\n[\"wait\" \"web\"]\n[\"history\"]\n", 0},
		{"redirection", "ps > " + dir + "/f; load < " + dir + "/f", "[\"ps\"]\n", 0},
		{"glob that matches nothing", "ps /nosuch*", "[\"ps\" \"/nosuch*\"]\n", 0},
		{"comment", "ps # all", "[\"ps\"]\n", 0},
		{"docker", "docker ps = 3", "[\"ps\" \"=\" \"3\"]\n", 0},
		{"background", "ps &", "nsh: & is not for command lines\nhint: run -d starts a container in the background\n", 2},
		{"here-document", "load <<E\nx\nE", "nsh: a here-document is not for command lines\nhint: put the text into a file, or write sh(line, stdin = text)\n", 2},
		{"open quote", "ps 'a", "nsh: reached EOF without closing quote `'`\n", 2},
		{"capture", "x = $(ps -q)\nprint(x)", "[\"ps\" \"-q\"]\n", 0},
		{"capture in a string", "print('$(ps)') # $(ps)", "$(ps)\n", 0},
		{"expression", "1 + 1", "2\n", 0},
		{"host", "!echo hi | tr h H", "Hi\n", 0},
		{"help", "run?", "help on run\n", 0},
		{"no help", "nope?", "nsh: no help for \"nope\"\n", 1},
		{"block, then a command", "for x in [1, 2]:\n    print(x)\n\n    print(-x)\nps", "1\n-1\n2\n-2\n[\"ps\"]\n", 0},
		{"else", "if False:\n    pass\nelse:\n    print(3)\nps", "3\n[\"ps\"]\n", 0},
		{"continued command", "run \\\n  -d x\nps", "[\"run\" \"-d\" \"x\"]\n[\"ps\"]\n", 0},
		{"open bracket", "x = [\n  1,\n]\nprint(x)", "[1]\n", 0},
		{"indented", "  stop = 1", "nsh: line 1: unexpected indent\nhint: a statement begins at the start of its line\n", 2},
		{"unknown verb", "pss -a", "<1>:1:1: undefined: pss (did you mean pass?)\n    pss -a\n    ^\n<1>:1:6: undefined: a\n    pss -a\n         ^\nhint: did you mean the command \"ps\"?\n", 1},
		{"name of a verb", "ps = 3\n(ps)", "note: \"ps\" alone still runs the command; write (ps) for the variable\n3\n", 0},
		{"failure stops", "fail('no')\nps", "<1>:1:5: no\n    fail('no')\n        ^\n", 1},
		{"exit", "exit(3)\nps", "", 3},
		{"quit", "%quit\nps", "", 0},
		{"deep meta", strings.Repeat("%time ", 30) + "ps", "nsh: % within % more than 20 times\n" + strings.Repeat("0.000 s\n", 21), 2},
		{"deep brackets", strings.Repeat("[", 100000), "nsh: more than 200 brackets within each other\n", 2},
		{"deep sh", "ps " + strings.Repeat("$(", 100000), "nsh: reached EOF without matching `$(` with `)`\n", 2},
		{"command in a block", "for x in [1]:\n    stop web", "<1>:2:13: got identifier, want newline\n        stop web\n                ^\nhint: a command line stands at the start of a line; in a block write stop(\"web\")\n", 1},
		{"command in a block, with flags", "if True:\n    run -d nginx", "<1>:2:17: got identifier, want newline\n        run -d nginx\n                    ^\nhint: a command line stands at the start of a line; in a block write sh(\"run -d nginx\")\n", 1},
		{"expression with a verb", "kill in x", "failed\nhint: to evaluate this as Starlark write (kill in x)\n", 1},
		{"comment in a block", "def f():\n# here\n    return 1\nf()", "1\n", 0},
		{"two names of verbs", "ps, x = 1, 2\nps, x = 3, 4\n(ps)", "note: \"ps\" alone still runs the command; write (ps) for the variable\n3\n", 0},
		{"unknown meta", "%nope", "nsh: %nope: there is no such command of the shell\nhint: %help lists the commands\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, out := newShell(t)
			code := s.RunString(context.Background(), tt.in)
			got := strings.ReplaceAll(out.String(), " (did you mean pass?)", "")
			got = regexp.MustCompile(`[0-9.]+ s\n`).ReplaceAllString(got, "0.000 s\n")
			want := strings.ReplaceAll(tt.out, " (did you mean pass?)", "")
			if got != want || code != tt.code {
				t.Errorf("status %d\n%swant %d\n%s", code, got, tt.code, want)
			}
		})
	}
}

// TestHostProgram: a program of the host typed bare is no command, and the hint
// says how to run it.
func TestHostProgram(t *testing.T) {
	t.Parallel()
	s, out := newShell(t)
	s.RunString(context.Background(), "ls")
	if !strings.HasSuffix(out.String(), "hint: \"ls\" is a program of the host: write !ls\n") {
		t.Error(out.String())
	}
}

// lines is an editor that reads from a list: an element is a line that is typed, or
// a paste.
type lines struct {
	in      []string
	history []string
}

func (l *lines) Read(p lineedit.Prompt) (string, error) {
	text := ""
	for i := 0; ; i++ {
		if len(l.in) == 0 {
			return text, io.EOF
		}
		line := l.in[0]
		l.in = l.in[1:]
		if i > 0 {
			text += "\n"
		}
		text += line
		if p.Whole(text, i == 0 && strings.Contains(line, "\n")) {
			return text, nil
		}
	}
}
func (l *lines) Remember(e string) { l.history = append(l.history, e) }
func (l *lines) Entries() []string { return l.history }
func (l *lines) Output() io.Writer { return io.Discard }
func (l *lines) Close() error      { return nil }

// TestInteractive: a block goes on to a blank line and is one entry of the
// history; a paste is one entry and runs line by line, up to the first failure.
func TestInteractive(t *testing.T) {
	t.Parallel()
	s, out := newShell(t)
	ed := &lines{in: []string{
		"def f():", "    return 7", "", "f()", "run 'a", "b'", "x = $(ps", ")", "x",
		"x = 1\nps\nfor i in range(2):\n    print(i)\n\nimages",
		"for i in range(2):\n    print(i)", // pasted without its last newline
		"stop a\nkill x\nps",
		"kill y",
	}}
	if code := s.Interactive(context.Background(), ed); code != 1 {
		t.Errorf("status %d", code)
	}
	want := `7
["run" "a\nb"]
"[\"ps\"]"
["ps"]
0
1
["images"]
0
1
["stop" "a"]
failed
nsh: line 2 failed, the rest was not run: kill x
failed
`
	if out.String() != want {
		t.Errorf("%swant\n%s", out, want)
	}
	history := []string{"def f():\n    return 7\n", "f()", "run 'a\nb'", "x = $(ps\n)", "x", "x = 1\nps\nfor i in range(2):\n    print(i)\n\nimages",
		"for i in range(2):\n    print(i)", "stop a\nkill x\nps", "kill y"}
	if fmt.Sprintf("%q", ed.history) != fmt.Sprintf("%q", history) {
		t.Errorf("%q\nwant\n%q", ed.history, history)
	}
}

// TestEdit gives the entry before the last to an editor that adds to it.
func TestEdit(t *testing.T) {
	t.Setenv("SHELL", "/bin/sh")
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "sed -i 's/$/ -a/'")
	s, out := newShell(t)
	ed := &lines{in: []string{"ps", "images", "%edit 2"}}
	s.Interactive(context.Background(), ed)
	if want := "[\"ps\"]\n[\"images\"]\n...> ps -a\n[\"ps\" \"-a\"]\n"; out.String() != want {
		t.Errorf("%swant\n%s", out, want)
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"ps\nx = 1\n", "def f():\n\n  pass\nps", "x = $(ps -q)", "run 'a\nb'", "'''\n", "$(", "run \\\n", "if x:\n  y\nelse:\n  z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := newShell(t)
		units, err := s.Split(text)
		if err != nil {
			return
		}
		var all strings.Builder
		for _, u := range units {
			all.WriteString(u.Text)
		}
		for line := range strings.Lines(strings.ReplaceAll(text, "\r\n", "\n")) {
			line = strings.Trim(line, "\n")
			if Classify(line, isVerb) != Nothing && !strings.Contains(all.String(), line) {
				t.Fatalf("%q is lost from %q", line, text)
			}
		}
	})
}
