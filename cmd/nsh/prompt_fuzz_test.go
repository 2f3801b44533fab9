package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsh/builtins"
	"nsh/runtime/memory"
)

// FuzzPrompt: no line ends the process, and its end is waited for. What reaches the host
// (its programs, its files) is left out: fuzzing must not act on it.
func FuzzPrompt(f *testing.F) {
	for _, s := range []string{
		"ps -a", "run -d --name web box:1 sleep 10", "rm -f web", "x = 1\nx += 1\nx", "for c in containers(): print(c.name)", "def f():\n  return f()\nf()", "image('box:1').tag('a')",
		"%time ps", "%watch 0 ps", "%history 3", "ps?", "while True: pass", "parallel(lambda n: n, range(9))", "inspect box:1", "stats", "attempt(run, 'nope').error.kind", "exit(3)",
		"ps --format '{{json .}}'", "'%s' % containers", "[x for x in range(10)][-11]", "json.decode('[' * 100)", "\x00\xff", "image assemble --cmd x y:1", "docker ps", "print('\\x1b')",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	box := filepath.Join(dir, "busybox")
	if err := os.WriteFile(box, []byte("a program"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 1000 || strings.ContainsAny(line, "!|<>`$&;/~\\") || strings.Contains(line, "..") {
			return
		}
		for _, word := range []string{"-o", "--output", "-i", "--input", "-f", "--file", "file", "sh", "load", "save", "host", "fs", "sleep", "poll"} {
			if strings.Contains(line, word) {
				return
			}
		}
		engine := memory.New(memory.Options{Seed: 1, AnyImage: true})
		env := &builtins.Env{Program: "nsh", Connect: func(context.Context) (*builtins.Engine, error) {
			return &builtins.Engine{Containers: engine.Containers, Images: engine.Images, Volumes: engine.Volumes, Networks: engine.Networks, System: engine.System}, nil
		}}
		env.Reach = env.Connect
		var out bytes.Buffer
		sh := session(env, builtins.Stdio{In: strings.NewReader(""), Out: &out, Err: &out}, nil)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		sh.RunString(ctx, "image assemble --file "+box+":/bin/busybox --cmd busybox box:1")
		sh.RunString(ctx, line)
		_ = sh.Colour(line)
		c := sh.Complete(line, len(line))
		if c.From < 0 || c.From > len(line) {
			t.Errorf("completion of %q from byte %d", line, c.From)
		}
		if c.Later != nil {
			_ = c.Later(ctx)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%q took %s", line, d)
		}
	})
}
