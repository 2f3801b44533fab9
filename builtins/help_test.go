package builtins

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// helpFlag is a line of docker's help that begins a flag.
var helpFlag = regexp.MustCompile(`^  (?:-(\w), |    )--([a-z0-9-]+)(?: ([a-z0-9-]+))?(?:   +(.*))?$`)

// flagHelp is what a help text says of one flag.
type flagHelp struct{ short, name, word, doc string }

// readHelp takes a help text apart: what comes before the options, and the
// options with their wrapped lines joined.
func readHelp(text string) (head string, flags map[string]flagHelp) {
	flags = map[string]flagHelp{}
	head, options, _ := strings.Cut(text, "\nOptions:\n")
	var last string
	for l := range strings.Lines(options) {
		l = strings.TrimRight(l, "\n")
		if m := helpFlag.FindStringSubmatch(l); m != nil {
			last = m[2]
			flags[last] = flagHelp{m[1], m[2], m[3], m[4]}
		} else if f, ok := flags[last]; ok {
			f.doc = strings.TrimSpace(f.doc + " " + strings.TrimSpace(l))
			flags[last] = f
		}
	}
	return strings.TrimRight(head, "\n"), flags
}

// apart are the flags whose help is not docker's, or that are not there, and why.
var apart = map[string]string{
	"create --attach": "create attaches to nothing",
	"create --pull":   "docker's text has a slip",
}

// The help that the docker client 28.2.2 prints (`docker CMD --help`, recorded
// in testdata/docker-help) and ours: usage, description and aliases are the same, and
// each of docker's flags is there with its shorthand, its type and its text, or
// refused because it is not built.
func TestHelpIsDockers(t *testing.T) {
	t.Parallel()
	env := &Env{Program: "docker"}
	files, err := filepath.Glob("testdata/docker-help/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no help texts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			head, flags := readHelp(string(data))
			path := strings.Fields(strings.TrimPrefix(head, "Usage:  docker "))
			v, n := Lookup(path)
			if v == nil {
				t.Fatal("no such verb")
			}
			gotHead, gotFlags := readHelp(v.help(env, strings.Join(path[:n], " "), 80))
			if gotHead != head {
				t.Errorf("got\n%s\nwant\n%s", gotHead, head)
			}
			for name, want := range flags {
				if apart[v.name()+" --"+name] != "" {
					continue
				}
				if name == "help" {
					if got := gotFlags[name]; got != want {
						t.Errorf("--help\n got %+v\nwant %+v", got, want)
					}
					continue
				}
				if i := slices.IndexFunc(v.params(), func(p param) bool { return p.flag == name || slices.Contains(p.alias, name) }); i < 0 {
					t.Errorf("--%s is missing", name)
				} else if v.params()[i].notBuilt() {
					p := v.params()[i]
					if p.short != want.short {
						t.Errorf("--%s is short for -%s, want -%s", name, p.short, want.short)
					}
				} else if got := gotFlags[name]; got != want {
					t.Errorf("--%s\n got %+v\nwant %+v", name, got, want)
				}
			}
		})
	}
}
