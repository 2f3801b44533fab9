package host

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsh/runtime/fault"
)

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte("#!/bin/sh\necho here $0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		c    Command
		want Output
		err  string
	}{
		{Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}}, Output{3, "out\n", "err\n"}, ""},
		{Command{Argv: []string{"cat"}, Stdin: "text"}, Output{0, "text", ""}, ""},
		{Command{Argv: []string{"pwd"}, Dir: dir}, Output{0, dir + "\n", ""}, ""},
		{Command{Argv: []string{"./here"}, Dir: dir}, Output{0, "here " + dir + "/here\n", ""}, ""},
		{Command{Argv: []string{"here"}, Env: []string{"PATH=" + dir + ":/bin"}}, Output{0, "here " + dir + "/here\n", ""}, ""},
		{Command{Argv: []string{"sh", "-c", "echo $LANG $A"}, Env: []string{"A=b"}}, Output{0, "C.UTF-8 b\n", ""}, ""},
		{Command{Argv: []string{"sh", "-c", `set -- $(cat /proc/$$/stat); test $6 = $$; echo $? $7`}}, Output{0, "0 0\n", ""}, ""},
		{Command{Argv: []string{"sh", "-c", "kill -9 $$"}}, Output{137, "", ""}, ""},
		// What stays behind in the background does not hold up the caller for good.
		{Command{Argv: []string{"sh", "-c", "sleep 100 & echo $!"}}, Output{}, "kept"},
		{Command{}, Output{}, "invalid: run: no program is named"},
		{Command{Argv: []string{"a\x00b"}}, Output{}, `invalid: run "a\x00b": a word of a command has no NUL in it`},
		{Command{Argv: []string{"no-such-program"}, Env: []string{"PATH=/bin"}}, Output{}, `not_found: run "no-such-program": no such program in /bin`},
		{Command{Argv: []string{"yes"}}, Output{}, `invalid: run "yes": it wrote more than 16 MiB`},
	} {
		got, err := Run(t.Context(), tt.c)
		if tt.err == "kept" {
			pid, perr := strconv.Atoi(strings.TrimSpace(got.Stdout))
			if err != nil || perr != nil {
				t.Errorf("%q: %v, %v", tt.c.Argv, err, perr)
				continue
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
			continue
		}
		text := ""
		if err != nil {
			text, got = string(fault.KindOf(err))+": "+err.Error(), Output{}
		}
		if got != tt.want || text != tt.err {
			t.Errorf("%q: got %+v, %s; want %+v, %s", tt.c.Argv, got, text, tt.want, tt.err)
		}
	}
}

// A program and what it started end with the context.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	file := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	_, err := Run(ctx, Command{Argv: []string{"sh", "-c", `trap "" TERM; sh -c 'trap "" TERM; echo $$ > ` + file + `; while :; do sleep 1; done'; true`}})
	if !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v, want a timeout", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		// A zombie that nobody reaps has ended as well.
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d still runs: %s", pid, stat)
		}
	}
}

func TestWhich(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tool")
	for name, mode := range map[string]os.FileMode{"tool": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":.")
	for _, tt := range []struct{ name, want string }{
		{"tool", file}, {"text", ""}, {file, file}, {"", ""}, {dir, ""}, {"none", ""}, {"run.go", ""},
	} {
		if got := Which(tt.name); got != tt.want {
			t.Errorf("Which(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got, want := SearchPath(), dir+":.:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"; got != want {
		t.Errorf("SearchPath() = %q, want %q", got, want)
	}
}
