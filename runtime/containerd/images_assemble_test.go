package containerd

import (
	"os"
	"path/filepath"
	"testing"

	"nsh/runtime/fault"
	"nsh/runtime/image"
	"nsh/runtime/image/imagetest"
)

func TestAssemble(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	recipe := image.Recipe{Name: "made:1", Files: []image.File{{Path: "/bin", Source: dir}}, Config: image.Config{Entrypoint: []string{"/bin/run"}}}
	first, err := m.Assemble(t.Context(), recipe)
	if err != nil {
		t.Fatal(err)
	}
	if first.Size == 0 || first.Name != "docker.io/library/made:1" || first.Missing != "" {
		t.Errorf("%+v", first)
	}
	// Another name for the same, and the same again.
	recipe.Name = "made:2"
	for range 2 {
		again, err := m.Assemble(t.Context(), recipe)
		if err != nil || again.ID != first.ID {
			t.Errorf("%+v, %v", again, err)
		}
	}
	top, err := m.Assemble(t.Context(), image.Recipe{Name: "top", Base: "made:1", Files: []image.File{{Path: "/bin/more", Content: []byte("x")}},
		Config: image.Config{Cmd: []string{"-v"}}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := m.Inspect(t.Context(), "top", "")
	if err != nil || len(d.Layers) != 2 || len(d.History) != 2 || d.Config.Entrypoint[0] != "/bin/run" || top.Size <= first.Size {
		t.Errorf("%+v, %v", d, err)
	}
	empty, err := m.Assemble(t.Context(), image.Recipe{Name: "empty"})
	if err != nil || empty.Missing != "" {
		t.Errorf("%+v, %v", empty, err)
	}
	leftIs(t, e, ns, "image docker.io/library/empty:latest", "image docker.io/library/made:1", "image docker.io/library/made:2", "image docker.io/library/top:latest")
}

func TestAssembleFails(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	for _, tt := range []struct {
		recipe image.Recipe
		want   string
		kind   fault.Kind
	}{
		{image.Recipe{Name: "x", Base: "nope"}, "No such image: nope:latest", fault.NotFound},
		{image.Recipe{Name: "x", Files: []image.File{{Path: "/x", Source: "/no/such"}}},
			`assemble image "x": file "/x": stat /no/such: no such file or directory`, fault.NotFound},
	} {
		_, err := m.Assemble(t.Context(), tt.recipe)
		if errText(err) != tt.want || !fault.Is(err, tt.kind) {
			t.Errorf("got %v (%s), want %s", err, fault.KindOf(err), tt.want)
		}
	}
	load(t, m, imagetest.OCIIndex("multi:1", 1, imagetest.Small("amd64", "a"), imagetest.Small("arm64", "b")), image.LoadOptions{})
	if _, err := m.Assemble(t.Context(), image.Recipe{Name: "x", Base: "multi:1", Platform: "linux/arm64"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	leftIs(t, e, ns, "image docker.io/library/multi:1")
}

// A file that changes while the layer is stored makes no image.
func TestAssembleWhileFileChanges(t *testing.T) {
	t.Parallel()
	m, e, ns := imagesFor(t)
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := image.Assemble(t.Context(), image.Recipe{Name: "x", Files: []image.File{{Path: "/f", Source: file}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Of the same size, so that only the digest tells.
	if err := os.WriteFile(file, append(make([]byte, 999), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = m.assemble(m.in(t.Context()), a)
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v (%s)", err, fault.KindOf(err))
	}
	if left := e.Left(t, ns); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
