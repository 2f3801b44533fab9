package builtins

import (
	"bytes"
	"context"
	"testing"

	"nsh/lang"
	"nsh/runtime/memory"
)

// TestExamples runs the example of every verb, on an engine in memory of its own.
func TestExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, v := range Verbs() {
		if v.Example == "" {
			if !v.NoEngine && v.CommandOnly == "" {
				t.Errorf("%s has no example", v.Paths[0])
			}
			continue
		}
		e := memory.New(memory.Options{AnyImage: true})
		env := &Env{Program: "nsh", Connect: func(context.Context) (*Engine, error) {
			return &Engine{Containers: e.Containers, Images: e.Images, Volumes: e.Volumes, Networks: e.Networks, System: e.System}, nil
		}}
		var out bytes.Buffer
		i := lang.New(lang.Options{Predeclared: Predeclared(env), Stdout: &out, Stderr: &out})
		if err := i.ExecFile(t.Context(), v.scriptName()+".star", []byte(v.Example)); err != nil {
			t.Errorf("%s: %s", v.Paths[0], i.Report(err))
		}
	}
}
