package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsh/builtins"
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

// TestPagesCheck: the scripts of the README and of the reference are without mistakes.
func TestPagesCheck(t *testing.T) {
	t.Parallel()
	names := &language{env: &builtins.Env{Program: "nsh"}}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```python\n(.*?)```\n")
	n := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			path := "page.star"
			if strings.Contains(m[1], "def test_") {
				path = "page_test.star"
			}
			c, _ := names.Checker(path)
			for _, d := range c.Check(path, []byte(m[1])) {
				t.Errorf("%s: %s", page, c.Text(d))
			}
			n++
		}
	}
	if n < 3 {
		t.Errorf("%d scripts were found", n)
	}
}
