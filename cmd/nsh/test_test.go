package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsh/builtins"
)

// TestTestTool runs nsh test in this process: status and output of each way to call it.
func TestTestTool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, src := range map[string]string{
		"good/a_test.star": `load("@std//yaml.star", "yaml")
def test_engine():
    c = run("alpine", "sleep", 60, name = "web", detach = True)
    assert.eq(sh("ps -q").stdout.strip(), c.short_id)
    assert.eq(yaml.decode("a: 1"), {"a": 1})
def test_fresh():
    assert.eq(containers(all = True), [])
`,
		"bad/b_test.star": "def test_bad(): assert.true(containers())\n",
		"none/c.star":     "x = 1\n",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	junit := filepath.Join(dir, "junit.xml")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"DIR/good"}, 0, "ok  \tDIR/good/a_test.star\tN\n"},
		{[]string{"-v", "-run=fresh", "DIR/good/..."}, 0, "=== RUN   test_fresh\n--- PASS: test_fresh (N)\nPASS\nok  \tDIR/good/a_test.star\tN\n"},
		{[]string{"--junit", junit, "--parallel", "1", "-timeout", "1m", "DIR"}, 1, "--- FAIL: test_bad (N)\n    DIR/bad/b_test.star:1:28: assert.true: got []\n        def test_bad(): assert.true(containers())\n                                   ^\nFAIL\nFAIL\tDIR/bad/b_test.star\tN\nok  \tDIR/good/a_test.star\tN\nFAIL\n"},
		{[]string{"DIR/none"}, 2, "nsh test: there is no *_test.star\nhint: a test is a function test_… in such a file\n"},
		{[]string{"DIR/nothing"}, 2, "nsh test: no file or directory DIR/nothing\n"},
		{[]string{"--run", "(", "DIR"}, 2, "nsh test: -run (: missing closing ): `(`\n"},
		{[]string{"--reel"}, 2, "nsh test: unknown flag: --reel\nhint: nsh test --help lists the options\n"},
		{[]string{"--parallel", "-1"}, 2, "nsh test: --parallel and --timeout are not less than 0\n"},
	} {
		var out bytes.Buffer
		args := []string{"nsh", "test"}
		for _, a := range tt.args {
			args = append(args, strings.ReplaceAll(a, "DIR", dir))
		}
		code := Run(args, builtins.Stdio{In: strings.NewReader(""), Out: &out, Err: &out})
		got := regexp.MustCompile(`\d+\.\d\ds`).ReplaceAllString(strings.ReplaceAll(out.String(), dir, "DIR"), "N")
		if code != tt.code || got != tt.want {
			t.Errorf("nsh test %q: status %d, want %d\ngot\n%s\nwant\n%s", tt.args, code, tt.code, got, tt.want)
		}
	}
	if data, err := os.ReadFile(junit); err != nil || !strings.Contains(string(data), `<testsuites tests="3" failures="1" errors="0">`) {
		t.Errorf("%v\n%s", err, data)
	}
}
