package builtins

import (
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/lang"
)

func TestDisplay(t *testing.T) {
	t.Parallel()
	env := inMemory(t)
	i := lang.New(lang.Options{Predeclared: Predeclared(env), Session: true})
	eval := func(src string) starlark.Value {
		t.Helper()
		v, err := i.Chunk(t.Context(), src)
		if err != nil {
			t.Fatal(i.Report(err))
		}
		return v
	}
	eval(`run("box:1", "sleep", "60", name = "web", detach = True, publish = ["8080:80"], network = "bridge", label = {"tier": "web"})`)
	eval(`run("box:1", "sleep", "60", name = "database", detach = True, network = "none")`)
	v := View{Now: time.Now().Add(time.Hour)}
	for _, tt := range []struct{ src, want string }{
		{`containers()`, `NAME       IMAGE   STATUS    PORTS                  CREATED
database   box:1   running                          About an hour ago
web        box:1   running   0.0.0.0:8080->80/tcp   About an hour ago`},
		{`containers(name = "nobody")`, `[]`},
		{`container("database").networks`, "NETWORK\nnone"},
		{`{"a": 1, "long key": [1, "x"], "size": 5000000}`, "a          1\nlong key   1, x\nsize       5MB"},
		{`{}`, `{}`},
		{`[{"name": "a", "port": 80}, {"name": "b", "size": 2048}]`, "NAME   PORT   SIZE\na      80\nb             2.048kB"},
		{`[1, "a"]`, `[1, "a"]`},
		{`"two\nlines\n"`, "two\nlines"},
		{`"one\x1b[31m"`, `"one\x1b[31m"`},
		{`[{"name": "\x1b[31m"}]`, "NAME\n\ufffd[31m"},
		{`struct(name = "日本", n = 3)`, "n      3\nname   日本"},
		{`container("web").exec("echo", "hello")`, "hello"},
		{`container("web").exec("sh", "-c", "exit 3", check = False)`, "code   3"},
		{`[d.update({"self": d, "list": [d]}) for d in [{}]]`, "[None]"},
		{`[(d.update({"self": d}), d)[1] for d in [{"a": 1}]][0]`, "a      1\nself   a=1, self=a=1, self=\"a\"=1, \"self\"={\"a\": 1, \"self\": {...}}"},
		{`None`, `None`},
		{`time.parse_duration("90s")`, `1m30s`},
	} {
		if got := v.Display(eval(tt.src)); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.src, got, tt.want)
		}
	}
	v.Cols = 30
	if got, want := v.Display(eval("containers()")), "NAME       IMAGE   STATUS    …\ndatabase   box:1   running   …\nweb        box:1   running   …"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// What was shown is kept: _ is the last, _1 the first.
	if got := eval("_1.name").String() + eval("_").String(); got != `"web""web"` {
		t.Errorf("_1 and _ are %s", got)
	}
}
