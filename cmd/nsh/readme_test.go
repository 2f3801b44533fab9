package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the script of the README on the images of its tour.
func TestReadme(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	root := value(env, "REPO")
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```python\n")
	script, _, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		t.Fatal("the README has no script")
	}
	path := filepath.Join(t.TempDir(), "three.star")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, env, "nsh", "image", "assemble", "web", "--file", filepath.Join(root, ".cache/web")+":/web", "--file", "/bin/busybox:/bin/busybox", "--env", "PATH=/bin", "--entrypoint", "/web")
	out := run(t, env, "nsh", path)
	want := regexp.MustCompile(`^web0 says server 0
its address is 10\.[0-9.]+
web1 says server 1
its address is 10\.[0-9.]+
web2 says server 2
its address is 10\.[0-9.]+
not_found - No such image: no/such:image
$`)
	if !want.MatchString(out) {
		t.Errorf("it prints\n%s", out)
	}
	if out := run(t, env, "nsh", "ps", "-aq"); out != "" {
		t.Errorf("it leaves %s", out)
	}
}

// TestDemo runs the demo on an engine of the test's own.
func TestDemo(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	root := value(env, "REPO")
	out := run(t, env, "nsh", filepath.Join(root, "scripts/demo.star"), filepath.Join(root, ".cache/web"))
	for _, part := range []string{"Hello from nsh\n", "GET /hello\n", "stopped: exited\n", "started again: HTTP 200\n", "bin/nsh engine status"} {
		if !strings.Contains(out, part) {
			t.Errorf("it does not say %q:\n%s", part, out)
		}
	}
	if out := run(t, env, "nsh", "-c", "ps -aq; images -q"); out != "" {
		t.Errorf("it leaves %s", out)
	}
}
