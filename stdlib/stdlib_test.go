package stdlib_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"nsh/builtins"
	"nsh/lang"
	"nsh/lang/modules"
	"nsh/lang/startest"
	"nsh/runtime/memory"
	"nsh/stdlib"
)

// interpreter is that of a script, on an engine in memory.
func interpreter(out io.Writer) *lang.Interp {
	e := memory.New(memory.Options{AnyImage: true})
	env := &builtins.Env{Program: "nsh", Connect: func(context.Context) (*builtins.Engine, error) {
		return &builtins.Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System}, nil
	}}
	predeclared := builtins.Predeclared(env)
	maps.Copy(predeclared, modules.All()["assert.star"]())
	return lang.New(lang.Options{Predeclared: predeclared, Stdlib: stdlib.FS, Natives: modules.All(), Stdout: out, Stderr: out})
}

// TestFunctions holds that each function is documented, and runs its example.
func TestFunctions(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(stdlib.FS, "*.star")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		src, err := fs.ReadFile(stdlib.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(src), `"""`) {
			t.Errorf("%s does not say what it is for", file)
		}
		err = interpreter(io.Discard).ExecFileThen(t.Context(), file, src, func(globals starlark.StringDict) error {
			for name, v := range globals {
				if f, ok := v.(*starlark.Function); ok && !strings.HasPrefix(name, "_") && f.Position().Filename() == file {
					t.Run(strings.TrimSuffix(file, ".star")+"."+name, func(t *testing.T) {
						t.Parallel()
						example(t, f)
					})
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func example(t *testing.T, f *starlark.Function) {
	d := lang.DocOf(f)
	for _, p := range d.Params {
		if p.Doc == "" {
			t.Errorf("nothing on parameter %s", p.Name)
		}
	}
	if d.Short == "" || !strings.Contains(d.Long, "Returns ") || d.Example == "" {
		t.Fatalf("something is missing:\n%s", d.Text())
	}
	var out bytes.Buffer
	i := interpreter(&out)
	if err := i.ExecFile(t.Context(), "example.star", []byte(d.Example)); err != nil {
		t.Errorf("the example fails: %s", i.Report(err))
	}
	if out.Len() == 0 {
		t.Error("the example shows nothing")
	}
}

// TestStar runs the tests in testdata.
func TestStar(t *testing.T) {
	t.Parallel()
	files, err := startest.Files([]string{"testdata"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := startest.Run(t.Context(), startest.Config{Out: &out, New: func(_ context.Context, _, _ string, out io.Writer) (*startest.Fixture, error) {
		return &startest.Fixture{Interp: interpreter(out)}, nil
	}}, files)
	if err != nil || r.Failed() {
		t.Errorf("%v\n%s", err, out.String())
	}
}
