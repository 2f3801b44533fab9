package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nsh/builtins"
	"nsh/lang"
)

func docInterp() *lang.Interp {
	return interpreter(&builtins.Env{Program: "nsh"}, builtins.Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, nil, false).Interp
}

// TestReference: docs/reference is what the definitions say; `make docs` writes it.
func TestReference(t *testing.T) {
	t.Parallel()
	const dir = "../../docs/reference"
	pages := referencePages(docInterp())
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("docs/reference/%s is not what the definitions say (%v): make docs", name, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pages[filepath.Base(f)] == "" {
			t.Errorf("%s belongs to nothing: make docs", f)
		}
	}
}

// TestDocumented: of every function something is said, and of every parameter that it
// does not share with docker.
func TestDocumented(t *testing.T) {
	t.Parallel()
	i := docInterp()
	all, modules, _ := i.Functions()
	for _, docs := range modules {
		all = append(all, docs...)
	}
	for _, name := range i.Modules() {
		_, docs, err := i.ModuleDoc(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all = append(all, docs...)
	}
	for _, p := range builtins.Pages() {
		all = append(all, p.Docs...)
	}
	for _, d := range all {
		if d.Short == "" {
			t.Errorf("nothing is said of %s", d.Name)
		}
	}
}
