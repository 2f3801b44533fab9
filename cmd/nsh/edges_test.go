package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestEdges holds the direction of the imports: cmd → lang/shell → builtins →
// lang and runtime; runtime imports neither, lang knows nothing of containers, and
// only runtime imports containerd.
func TestEdges(t *testing.T) {
	t.Parallel()
	const ctrd = "github.com/containerd/containerd"
	for _, tt := range []struct {
		pkg    string
		never  []string // prefixes of what it must not depend on
		direct []string // prefixes of what it must not import itself
	}{
		{pkg: "nsh/runtime/...", never: []string{"nsh/lang", "nsh/builtins", "nsh/cmd", "nsh/stdlib", "go.starlark.net", "github.com/chzyer"}},
		{pkg: "nsh/lang", never: []string{"nsh/builtins", "nsh/cmd", "nsh/stdlib", ctrd, "github.com/chzyer", "mvdan.cc"}},
		{pkg: "nsh/lang", direct: []string{"nsh/runtime/container", "nsh/runtime/image", "nsh/runtime/engine"}},
		{pkg: "nsh/lang/shell", never: []string{"nsh/cmd", ctrd}},
		{pkg: "nsh/lang/modules", never: []string{"nsh/builtins", "nsh/cmd", "nsh/stdlib", "nsh/runtime/container", ctrd}},
		{pkg: "nsh/lang/startest", never: []string{"nsh/builtins", "nsh/cmd", "nsh/stdlib", "nsh/runtime/container", ctrd}},
		{pkg: "nsh/lang/lineedit", never: []string{"nsh/", "go.starlark.net", ctrd}},
		{pkg: "nsh/builtins", never: []string{"nsh/lang/shell", "nsh/lang/lineedit", "nsh/cmd"}, direct: []string{ctrd}},
		{pkg: "nsh/cmd/nsh", direct: []string{ctrd}},
		{pkg: "nsh/runtime/fault", never: []string{"nsh/runtime/"}},
		{pkg: "nsh/runtime/container", never: []string{ctrd}},
		{pkg: "nsh/runtime/image", never: []string{ctrd}},
		{pkg: "nsh/runtime/memory", never: []string{ctrd}},
		{pkg: "nsh/cmd/nsh-helper", never: []string{ctrd, "go.starlark.net", "net/http", "google.golang.org/grpc", "nsh/lang", "nsh/builtins"}},
	} {
		for dep, from := range imports(t, tt.pkg, true) {
			for _, p := range tt.never {
				if strings.HasPrefix(dep, p) && dep != tt.pkg {
					t.Errorf("%s depends on %s, through %s", tt.pkg, dep, from)
				}
			}
		}
		for dep, from := range imports(t, tt.pkg, false) {
			for _, p := range tt.direct {
				if strings.HasPrefix(dep, p) {
					t.Errorf("%s imports %s", from, dep)
				}
			}
		}
	}
}

// imports gives what the packages import, themselves or also through others,
// with one importer each. Test packages that are named so may use anything.
func imports(t *testing.T, pkg string, deep bool) map[string]string {
	t.Helper()
	args := []string{"list", "-f", `{{.ImportPath}} {{join .Imports " "}}`}
	if deep {
		args = append(args, "-deps")
	}
	out, err := exec.Command("go", append(args, pkg)...).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		for _, dep := range f[1:] {
			m[dep] = f[0]
		}
	}
	return m
}
