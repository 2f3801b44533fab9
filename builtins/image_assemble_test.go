package builtins

import (
	"context"
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"nsh/runtime/fault"
	"nsh/runtime/image"
)

// assembling keeps the recipe that it was given.
type assembling struct {
	image.Service
	recipe image.Recipe
}

func (a *assembling) Assemble(_ context.Context, r image.Recipe) (image.Image, error) {
	a.recipe = r
	return image.Image{Name: "docker.io/library/" + r.Name + ":latest", ID: "sha256:" + strings.Repeat("1", 64)}, nil
}

// Both faces ask for the same image.
func TestAssembleFaces(t *testing.T) {
	a := &assembling{}
	env := &Env{Program: "nsh", Connect: func(context.Context) (*Engine, error) { return &Engine{Images: a}, nil }}
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	want := image.Recipe{
		Name: "web", Base: "alpine", Author: "me", Comment: "a server", Platform: "linux/amd64", Created: time.Unix(86400, 0).UTC(),
		Files: []image.File{{Path: "/bin/web", Source: "./web", Mode: 0o755}, {Path: "/etc/web", Source: "etc"}},
		Config: image.Config{
			Entrypoint: []string{"/bin/web"}, Cmd: []string{"-port", "80"}, Env: []string{"A=1"}, Labels: map[string]string{"tier": "web"},
			WorkingDir: "/srv", User: "65534", ExposedPorts: []string{"80/tcp", "53/udp", "54/udp"}, Volumes: []string{"/data"}, StopSignal: "SIGINT",
		},
	}
	line := `image assemble --base alpine --author me --comment 'a server' --platform linux/amd64 --file ./web:/bin/web:755 -f etc:/etc/web --entrypoint /bin/web
		--cmd '["-port", "80"]' -e A=1 -l tier=web -w /srv -u 65534 --expose 80 --expose 53-54/udp -v /data --stop-signal SIGINT web`
	if got := play(t, env, line); got != "sha256:"+strings.Repeat("1", 64)+"\n" {
		t.Errorf("printed %s", got)
	}
	if !reflect.DeepEqual(a.recipe, want) {
		t.Errorf("command line:\n got %+v\nwant %+v", a.recipe, want)
	}
	a.recipe = image.Recipe{}
	src := `image.assemble("web", base = "alpine", author = "me", comment = "a server", platform = "linux/amd64",
		files = {"/bin/web": dict(source = "./web", mode = 0o755), "/etc/web": "etc"}, entrypoint = ["/bin/web"], cmd = ["-port", "80"],
		env = {"A": "1"}, labels = {"tier": "web"}, workdir = "/srv", user = "65534", expose = [80, "53-54/udp"], volume = "/data", stop_signal = "SIGINT")`
	if got := eval(Predeclared(env), src); got != "<image web:latest>" {
		t.Errorf("gave %s", got)
	}
	if !reflect.DeepEqual(a.recipe, want) {
		t.Errorf("script:\n got %+v\nwant %+v", a.recipe, want)
	}
	if play(t, env, "image assemble --created 2026-01-02T15:04:05Z x"); !a.recipe.Created.Equal(time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)) {
		t.Errorf("created %s", a.recipe.Created)
	}
}

func TestAssembleRefuses(t *testing.T) {
	t.Parallel()
	env := &Env{Program: "nsh", Connect: func(context.Context) (*Engine, error) { return &Engine{Images: &assembling{}}, nil }}
	names := Predeclared(env)
	usage := "\n! \n! Usage:  nsh image assemble [OPTIONS] NAME[:TAG]\n! \n! Run 'nsh image assemble --help' for more information\n[exit 125]\n"
	for _, tt := range []struct{ line, want string }{
		{"image assemble --file x y", `! invalid argument "x" for "-f, --file" flag: must be SRC:DST[:MODE]` + usage},
		{"image assemble --file x:y:z y", `! invalid argument "x:y:z" for "-f, --file" flag: invalid mode "z": must be octal` + usage},
		{"image assemble --file x:y y", `! invalid argument "x:y" for "-f, --file" flag: path "y" in the image must be absolute` + usage},
		{"image assemble -e A y", "! invalid environment variable: A\n! hint: an image takes NAME=value\n[exit 1]\n"},
		{"image assemble --cmd '[1' y", "! invalid --cmd: \"[1\" is no JSON array of strings\n[exit 1]\n"},
		{"image assemble --expose 0 y", "! invalid range format for --expose: 0\n[exit 1]\n"},
		{"image assemble --expose 90-80 y", "! invalid range format for --expose: 90-80\n[exit 1]\n"},
		{"image assemble --expose 80/icmp y", "! invalid range format for --expose: 80/icmp\n[exit 1]\n"},
		{"image assemble --created soon y", "! invalid --created: \"soon\"\n! hint: a time like 2026-01-02T15:04:05Z, or seconds since 1970\n[exit 1]\n"},
	} {
		if got := play(t, env, tt.line); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
	for _, tt := range []struct{ src, want string }{
		{`{"x": "y"}`, `path "x" in the image must be absolute`},
		{`{1: "y"}`, `in a key: got int, want string`},
		{`{"/x": 1}`, `for "/x": got int, want path, bytes or dict(source=, content=, link=, directory=, mode=, uid=, gid=)`},
		{`{"/x": {}}`, `for "/x": want exactly one of source, content, link, directory, got 0`},
		{`{"/x": dict(source = "a", content = "b")}`, `for "/x": want exactly one of source, content, link, directory, got 2`},
		{`{"/x": dict(contnt = "a")}`, `for "/x": unexpected key "contnt" (did you mean "content"?)`},
		{`{"/x": dict(content = 1)}`, `for "/x": for key "content": got int, want string or bytes`},
		{`{"/x": dict(content = "", mode = 0o10000)}`, `for "/x": for key "mode": 4096 is no mode`},
		{`{"/x": dict(content = "", uid = -1)}`, `for "/x": for key "uid": -1 is no uid`},
		{`{"/x": dict(directory = False)}`, `for "/x": for key "directory": got bool, want True`},
		{`["x"]`, `"x": must be SRC:DST[:MODE]`},
		{`1`, `got int, want dict or list`},
	} {
		want := `invalid: image.assemble: for parameter "files": ` + tt.want
		if got := eval(names, `image.assemble("x", files = `+tt.src+`)`); got != want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, want)
		}
	}
}

func TestFileSetContents(t *testing.T) {
	t.Parallel()
	d := starlark.NewDict(4)
	for k, v := range map[string]starlark.Value{"/bytes": starlark.Bytes("\xff"), "/empty": dictOf("content", starlark.String("")), "/link": dictOf("link", starlark.String("../x")), "/dir": dictOf("directory", starlark.True)} {
		if err := d.SetKey(starlark.String(k), v); err != nil {
			t.Fatal(err)
		}
	}
	var s FileSet
	if err := s.Unpack(d); err != nil {
		t.Fatal(err)
	}
	got := map[string]image.File{}
	for _, f := range s {
		got[f.Path] = f
	}
	want := map[string]image.File{
		"/bytes": {Path: "/bytes", Content: []byte{0xff}},
		"/empty": {Path: "/empty", Content: []byte{}},
		"/link":  {Path: "/link", Link: "../x"},
		"/dir":   {Path: "/dir", Directory: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func dictOf(k string, v starlark.Value) *starlark.Dict {
	d := starlark.NewDict(1)
	_ = d.SetKey(starlark.String(k), v)
	return d
}

// What is taken for a file lands at an absolute path, and says where from.
func FuzzFileSet(f *testing.F) {
	for _, s := range []string{"a:/b", "a:/b:644", "::", "a:/b:99", "/:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		var s FileSet
		if err := s.Set(word); err != nil {
			return
		}
		if len(s) != 1 || !path.IsAbs(s[0].Path) || s[0].Source == "" || s[0].Mode > 0o7777 {
			t.Errorf("%q is %+v", word, s)
		}
	})
}

// What is taken for a range of ports is one: as many as it says, each valid.
func FuzzExposed(f *testing.F) {
	for _, s := range []string{"80", "80-90/udp", "0", "65535-65535", "9-8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		ports, err := exposed(word)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", word, err)
			}
			return
		}
		for _, p := range ports {
			var n int
			var proto string
			if _, err := fmt.Sscanf(strings.Replace(p, "/", " ", 1), "%d %s", &n, &proto); err != nil || n < 1 || n > 65535 {
				t.Errorf("%q gave %q", word, p)
			}
		}
		if len(ports) == 0 {
			t.Errorf("%q gave none", word)
		}
	})
}
