package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// TestTour types the commands of docs/tour.md into nsh, on an engine of its own, and
// compares what comes out with the page. UPDATE=1 writes the page.
func TestTour(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	root := value(env, "REPO")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(root, ".cache/web"), filepath.Join(dir, ".cache/web"))
	page := filepath.Join(root, "docs/tour.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tr := &tour{t: t, env: append(env, "TERM=dumb"), dir: dir}
	got := regexp.MustCompile("(?s)```console\n.*?```\n").ReplaceAllStringFunc(string(text), func(block string) string {
		body := strings.TrimSuffix(strings.TrimPrefix(block, "```console\n"), "```\n")
		return "```console\n" + tr.block(body) + "```\n"
	})
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		want := filepath.Join(t.TempDir(), "tour.md")
		_ = os.WriteFile(want, []byte(got), 0o644)
		diff, _ := exec.Command("diff", "-u", page, want).CombinedOutput()
		t.Errorf("docs/tour.md is not what nsh prints; UPDATE=1 writes it anew\n%s", diff)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tour is a terminal with a shell, and with nsh in it between "$ nsh" and "%quit".
type tour struct {
	t   *testing.T
	env []string
	dir string
	tty *os.File
	cmd *exec.Cmd
	out bytes.Buffer
	in  chan []byte
}

// block runs the commands of a block and gives it with their output.
func (tr *tour) block(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "$ nsh":
			tr.start()
			b.WriteString(line + "\n")
		case strings.HasPrefix(line, "$ "):
			cmd := exec.Command("sh", "-c", line[2:])
			cmd.Env, cmd.Dir = tr.env, tr.dir
			out, err := cmd.CombinedOutput()
			if _, ok := err.(*exec.ExitError); err != nil && !ok {
				tr.t.Fatal(err)
			}
			b.WriteString(line + "\n" + tr.normal(string(out)))
		case line == "nsh>" || strings.HasPrefix(line, "nsh> "):
			b.WriteString(line + "\n" + tr.normal(tr.types(strings.TrimPrefix(strings.TrimPrefix(line, "nsh>"), " "))))
		}
	}
	return b.String()
}

func (tr *tour) start(args ...string) string {
	tr.cmd = exec.Command(filepath.Join(value(tr.env, "REPO"), "bin/nsh"), args...)
	tr.cmd.Env, tr.cmd.Dir = tr.env, tr.dir
	tty, err := pty.StartWithSize(tr.cmd, &pty.Winsize{Rows: 50, Cols: 118})
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.tty, tr.in = tty, make(chan []byte)
	tr.t.Cleanup(func() { tty.Close(); _ = tr.cmd.Process.Kill(); _ = tr.cmd.Wait() })
	go func() {
		defer close(tr.in)
		for {
			buf := make([]byte, 4096)
			n, err := tty.Read(buf)
			if n > 0 {
				tr.in <- buf[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	return tr.wait()
}

// types sends a line and gives what came until the next prompt.
func (tr *tour) types(line string) string {
	if _, err := io.WriteString(tr.tty, line+"\n"); err != nil {
		tr.t.Fatal(err)
	}
	out := strings.ReplaceAll(tr.wait(), "\r\n", "\n")
	// The terminal has echoed the line.
	_, out, _ = strings.Cut(out, "\n")
	return out
}

// wait reads until a prompt stands at the end, or nsh has ended.
func (tr *tour) wait() string {
	deadline := time.After(time.Minute)
	for {
		select {
		case data, ok := <-tr.in:
			tr.out.Write(data)
			text := tr.out.String()
			if ok && !strings.HasSuffix(text, "nsh> ") && !strings.HasSuffix(text, "...> ") {
				continue
			}
			tr.out.Reset()
			return strings.TrimSuffix(strings.TrimSuffix(text, "nsh> "), "...> ")
		case <-deadline:
			tr.t.Fatalf("no prompt comes: %q", tr.out.String())
		}
	}
}

var (
	tourDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	tourID     = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	tourShort  = regexp.MustCompile(`\b[0-9a-f]{12}\b`)
	tourAge    = regexp.MustCompile(`(Less than a second|About a minute|[0-9]+ seconds?) ago`)
)

// normal replaces what is another in each run.
func (tr *tour) normal(s string) string {
	s = tourDigest.ReplaceAllString(s, "sha256:1f0c…")
	s = tourID.ReplaceAllString(s, "8d3c8f1b…")
	s = tourShort.ReplaceAllString(s, "8d3c8f1b0a27")
	return tourAge.ReplaceAllString(s, "5 seconds ago")
}

// TestBreakpoint stops in a frame, looks around, changes nothing, goes on, and ends the
// script from the prompt.
func TestBreakpoint(t *testing.T) {
	t.Parallel()
	root := repository(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "b.star")
	if err := os.WriteFile(script, []byte("top = 1\n\ndef f(x):\n    y = x + top\n    breakpoint()\n    print(\"went on\", y)\n\nf(2)\nf(3)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := &tour{t: t, env: []string{"REPO=" + root, "TERM=dumb", "HOME=" + dir, "PATH=" + os.Getenv("PATH")}, dir: dir}
	got := tr.start("b.star")
	for _, line := range []string{"x, y, top", "y = 10", "y", "nope", "%quit"} {
		got += "> " + line + "\n" + tr.types(line)
	}
	got += "> exit(3)\n" + tr.types("exit(3)")
	const want = `b.star:5:15: stopped in f; %quit or Ctrl-D goes on, exit(1) ends the script
        breakpoint()
                  ^
> x, y, top
(2, 3, 1)
> y = 10
> y
10
> nope
<4>:1:1: undefined: nope (did you mean None?)
    nope
    ^
hint: did you mean the command "top"?
> %quit
went on 3
b.star:5:15: stopped in f; %quit or Ctrl-D goes on, exit(1) ends the script
        breakpoint()
                  ^
> exit(3)
`
	if got = strings.ReplaceAll(got, "\r\n", "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := tr.cmd.Wait(); err == nil || tr.cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("it ends with %v", err)
	}
	// Without a terminal there is nobody to ask.
	cmd := exec.Command(filepath.Join(root, "bin/nsh"), script)
	cmd.Env = tr.env
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "breakpoint: there is no terminal to ask at") {
		t.Errorf("%v\n%s", err, out)
	}
}
