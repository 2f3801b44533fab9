package shell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsh/lang/lineedit"
)

// completing has arguments: run takes flags and, from something slow, images.
type completing struct{ fakeCommands }

func (completing) Doc(verb string) string { return "about " + verb }
func (completing) CompleteArgs(argv []string) Args {
	switch argv[0] {
	case "stop":
		if strings.HasPrefix(argv[len(argv)-1], "--signal=") {
			return Args{Prefix: len("--signal="), Now: []lineedit.Candidate{{Text: "SIGKILL"}, {Text: "a b"}}}
		}
		return Args{Now: []lineedit.Candidate{{Text: "--time", Doc: "seconds"}, {Text: "--signal"}}, Later: func(context.Context) []lineedit.Candidate {
			return []lineedit.Candidate{{Text: "web"}, {Text: "worker"}, {Text: fmt.Sprint(len(argv))}}
		}}
	case "images":
		return Args{Files: true}
	}
	return Args{}
}

type completingScripts struct{ fakeScripts }

func (completingScripts) Attrs(name string) []lineedit.Candidate {
	return []lineedit.Candidate{{Text: "of_" + name}}
}

func (completingScripts) Keywords(name string) []lineedit.Candidate {
	return []lineedit.Candidate{{Text: "detach", Doc: name}}
}

func (completingScripts) Strings(name string, n int, keyword string) Args {
	return Args{Now: []lineedit.Candidate{{Text: fmt.Sprint(name, n, keyword)}}}
}
func (completingScripts) Modules() []lineedit.Candidate {
	return []lineedit.Candidate{{Text: "@std//a.star"}}
}
func (completingScripts) Exports(module string) []lineedit.Candidate {
	return []lineedit.Candidate{{Text: "of_" + module}}
}
func (completingScripts) NameDoc(name string) string { return "" }

func TestComplete(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PATH", t.TempDir())
	if err := os.WriteFile(filepath.Join(os.Getenv("PATH"), "program"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join("dir", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir/file", "with blank", ".hidden"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := newShell(t)
	s.Commands = completing{}
	s.Scripts = completingScripts{s.Scripts.(fakeScripts)}
	s.RunString(context.Background(), "names = ['a']\nname_of = 'x'")
	for _, tt := range []struct{ before, want string }{
		{"sto", "0 stop(about stop)"},
		{"  sto", "2 stop(about stop)"},
		{"sp", "0 stop(about stop) scope sleep"}, // the letters in their order
		{"docker sto", "7 stop(about stop)"},
		{"x = para", "4 parallel"},
		{"", "0"},
		{"stop --", "5 --signal --time(seconds) |"},
		{"stop ", "5 --signal --time(seconds) | 2 web worker"},
		{"stop w", "5 | web worker"},
		{"docker stop -s x w", "17 | web worker"},
		{"stop 'w", "6 | web worker"},
		{"ps; stop w", "9 | web worker"},
		{"rm $(stop w", "10 | web worker"},
		{"x = $(stop w", "11 | web worker"},
		{"stop $na", "6 name_of names"},
		{"ps | tee d", "9 dir/"},
		{"ps | pro", fmt.Sprintf("5 program(%s)", os.Getenv("PATH"))},
		{"!pro", fmt.Sprintf("1 program(%s)", os.Getenv("PATH"))},
		{"!cat pro", "5"},
		{"images dir/", "7 dir/file dir/sub/"},
		{"!cat dir/f", "5 dir/file"},
		{"%wa", "0 %watch(a line every N seconds)"},
		{"%time stop w", "11 | web worker"},
		{"json.de", "5"},
		{"json.of", "5 of_json"},
		{"run(de", "4 detach=(run) defer"},
		{"run(detach=True, de", "17 defer"},
		{"run('(', de", "9 detach=(run) defer"},
		{"x = 'sto", "5"},
		{"x = 1 # sto", "11"},
		{"x = 1.re", "8"},
		{"f(a, 'f", "6 f1"},
		{"f(a, [1, 2], (3, 4), k = ['f", "27 f3k"},
		{"f(a == 'f", "8 f0"},
		{"f(k=1, x='f", "10 f1x"},
		{"f('a').g('f", "10 f().g0"},
		{"f('a').of", "7 of_f()"},
		{"containers()[len('x')].of", "23 of_container()"},
		{"for i in images(): i.x\ni.of", "25 of_i"},
		{"x = f()[0].of", "11"},
		{"f(\n  \"\"\"f", "8 f0"},
		{"load('@", "6 @std//a.star"},
		{"load('d", "6 dir/"},
		{"load('m.star', 'of", "16 of_m.star"},
		{"load('m.star', x = 'of", "20 of_m.star"},
		{"f('dir/f", "3 dir/file"},
		{"stop --signal=S", "14 SIGKILL"},
		{"stop --signal=a", "14 'a b'"},
		{"stop '--signal=a", "15 a b"},
		{"stop --sig'nal'=a", "5"},
		{"ps\nsto", "3 stop(about stop)"},
		{"for x in y:\n    para", "16 parallel"},
	} {
		c := s.Complete(tt.before+" tail", len(tt.before))
		got := fmt.Sprint(c.From) + show(c.List)
		if c.Later != nil {
			got += " |" + show(c.Later(context.Background()))
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.before, got, tt.want)
		}
	}
}

func show(list []lineedit.Candidate) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(" " + c.Text)
		if c.Doc != "" {
			b.WriteString("(" + c.Doc + ")")
		}
	}
	return b.String()
}

func TestColour(t *testing.T) {
	t.Parallel()
	s, _ := newShell(t)
	for _, tt := range []struct{ text, want string }{
		{"run -d 'a b' $x # c", "<1;34 run> <36 -d> <32 'a b'> <33 $x> <2 # c>"},
		{"ps | wc -l; docker ps 'x", "<1;34 ps> | wc <36 -l>; <1;34 docker> <1;34 ps> <31 'x>"},
		{"for c in x: print('a') # b", "<35 for> c <35 in> x: print(<32 'a'>) <2 # b>"},
		{"x = $(ps -q) + 1", "x = $(<1;34 ps> <36 -q>) + 1"},
		{"f(x])) + 'a", "f(x<31 ]>)<31 )> + <32 'a>"},
		{"f('a\n", "f(<31 'a>\n"},
		{"!ls", "<33 !ls>"},
		{"x = 1\nps", "x = 1\n<1;34 ps>"},
	} {
		got, at := "", 0
		for _, sp := range s.Colour(tt.text) {
			got += tt.text[at:sp.From] + "<" + sp.Style + " " + strings.TrimSuffix(tt.text[sp.From:sp.To], "\n") + ">"
			at = sp.To
		}
		if got += tt.text[at:]; got != tt.want {
			t.Errorf("%q: %s, want %s", tt.text, got, tt.want)
		}
	}
}

// FuzzTyping: what is typed can be completed and coloured at every point.
func FuzzTyping(f *testing.F) {
	for _, tt := range verdicts {
		f.Add(tt.line)
	}
	f.Add("stop 'a\\\nx = $(ps '\"$(ps)\"'")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := newShell(t)
		s.Commands = completing{}
		for i := range len(text) + 1 {
			if c := s.Complete(text, i); c.From < 0 || c.From > i {
				t.Fatalf("%q: from %d", text[:i], c.From)
			}
		}
		at := 0
		for _, sp := range s.Colour(text) {
			if sp.From < at || sp.To < sp.From || sp.To > len(text) {
				t.Fatalf("%q: %+v after %d", text, sp, at)
			}
			at = sp.To
		}
	})
}
