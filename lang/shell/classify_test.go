package shell

import (
	"strings"
	"testing"
)

var verbs = map[string]bool{}

func init() {
	for _, v := range strings.Fields("run ps rm images stats stop load import export exec wait history network volume image container system compose kill logs start attach top port") {
		verbs[v] = true
	}
}

func isVerb(w string) bool { return verbs[w] }

// The table of verdicts: every row is a line that somebody types.
var verdicts = []struct {
	line string
	want Verdict
}{
	{"", Nothing}, {"   ", Nothing}, {"# x", Nothing}, {"  # x", Nothing},
	{"ps", Command}, {"ps -a", Command}, {"ps --all", Command}, {"rm -f", Command}, {"ps -n=3", Command}, {"  ps", Command},
	{"ps - a", Command},
	{"ps = 3", Starlark}, {"ps += 1", Starlark}, {"ps == 3", Starlark}, {"ps-=1", Starlark}, {"ps, x = 1, 2", Starlark}, {"ps //= 2", Starlark}, {"ps <<= 2", Starlark}, {"ps >>= 2", Starlark},
	{"images()", Starlark}, {"images().name", Starlark}, {"ps[0]", Starlark}, {"ps-a", Starlark}, {`run("x")`, Starlark}, {`run ("x")`, Starlark}, {"ps.x", Starlark}, {"ps#x", Starlark},
	{"ps|wc -l", Command}, {"ps>f", Command}, {"ps;images", Command}, {"ps<f", Command}, {"ps&", Command},
	{"ps [0]", Command},
	{"run -d -p 80:80 nginx", Command},
	{`load("m.star", "f")`, Starlark}, {"load -i x.tar", Command},
	{"import x.tar", Command}, {"exec -it web sh", Command}, {"export -o f web", Command}, {"wait web", Command}, {"history nginx", Command},
	{"docker ps = 3", Command}, {"nerdctl ps", Command}, {"docker", Command}, {"docker(1)", Starlark}, {"dockerx ps", Starlark},
	{"for c in containers(): print(c.name)", Starlark},
	{"    stop web", Command}, // indented at a prompt: the blanks do not count
	{"x = $(ps -q)", Starlark},
	{"rm -f $(ps -q)", Command}, {"ps -a | grep web", Command}, {"ps > f", Command}, {"ps && images", Command},
	{"stop $web", Command}, {"rm $ids", Command},
	{"run alpine sh -c 'echo $HOME'", Command},
	{"ps # all", Command}, {"print(1) # x", Starlark},
	{"ps; images", Command}, {"x = 1; ps", Starlark},
	{"!ls -l | wc", Host}, {"%watch 2 ps -a", Meta}, {"pss -a", Starlark},
	{"run?", Help}, {"image.assemble?", Help}, {"a b?", Starlark}, {"?", Starlark}, {"ps -a?", Command},
	{"run? # x", Help}, {"run?#x", Help}, {"run?x", Starlark}, {".x?", Starlark},
	{"$", Nothing}, {"$ # x", Nothing}, {"$x", Starlark}, {"$\tps", Command},
	{"$ ps -a", Command}, {"(ps)", Starlark}, {"1 + 1", Starlark}, {"日本 = 1", Starlark}, {"{{.ID}}", Starlark},
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tt := range verdicts {
		if got := Classify(tt.line, isVerb); got != tt.want {
			t.Errorf("%q is %s, want %s", tt.line, got, tt.want)
		}
	}
}

// FuzzClassify: the verdict is a function of the text, and a comment behind a
// line changes nothing.
func FuzzClassify(f *testing.F) {
	for _, tt := range verdicts {
		f.Add(tt.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		v := Classify(line, isVerb)
		if again := Classify(line, isVerb); again != v {
			t.Fatalf("%q is %s, and then %s", line, v, again)
		}
		for _, comment := range []string{" # x", " #", "\t# (ps) = $(x"} {
			if c := Classify(line+comment, isVerb); c != v {
				t.Fatalf("%q is %s, with a comment %s", line, v, c)
			}
		}
	})
}
