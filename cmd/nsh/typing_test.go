package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sandbox is an environment without an engine, for what needs none.
func sandbox(t *testing.T, extra ...string) []string {
	t.Helper()
	root := repository(t)
	dir := t.TempDir()
	return append([]string{"NSH_ROOT=" + filepath.Join(dir, "root"), "NSH_LIBEXEC=" + filepath.Join(root, "libexec"), "REPO=" + root,
		"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8"}, extra...)
}

// until waits for a condition.
func (p *pane) until(what string, ok func() bool) {
	p.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("not so after 20 s: %s\n%s", what, p.screen())
		}
	}
}

func (p *pane) text(s string) {
	p.Helper()
	p.tmux("send-keys", "-l", "--", s)
}

func (p *pane) paste(s string) {
	p.Helper()
	p.tmux("set-buffer", "--", s)
	p.tmux("paste-buffer", "-p")
}

// dead waits until nsh has ended.
func (p *pane) dead() {
	p.Helper()
	p.until("nsh has ended", func() bool { return strings.TrimSpace(p.tmux("display-message", "-p", "#{pane_dead}")) == "1" })
}

// again starts nsh anew in the same terminal.
func (p *pane) again() {
	p.Helper()
	p.tmux("respawn-pane")
	p.shows("nsh> ")
}

// TestTyping: lines, pastes, Ctrl-C and the history, without an engine.
func TestTyping(t *testing.T) {
	t.Parallel()
	env := sandbox(t)
	editor := filepath.Join(value(env, "HOME"), "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\nsed 's/1/41 + 1/' \"$1\" >\"$1.new\" && mv \"$1.new\" \"$1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := open(t, append(env, "EDITOR="+editor))

	// Five lines in one paste: a function, its call, a command.
	p.paste("def twice(x):\n    return 2 * x\n\nprint(twice(21))\nps --help | head -n 1")
	p.shows("nsh> def twice(x):", "...>     return 2 * x", "...>", "...> print(twice(21))", "...> ps --help | head -n 1")
	p.key("Enter")
	p.shows("42", "Usage:  nsh ps [OPTIONS]", "nsh>")
	p.key("Up") // whole
	p.shows("nsh> def twice(x):", "...>     return 2 * x", "...>", "...> print(twice(21))", "...> ps --help | head -n 1")
	p.key("C-c")
	p.shows("nsh>")

	// Ctrl-C ends what runs, and nothing else.
	p.paste("print('begun')\nwhile True: pass")
	p.key("Enter")
	p.shows("begun")
	p.key("C-c")
	p.shows("interrupted", "nsh>")
	p.types("twice(4)")
	p.shows("8", "nsh>")

	// A prefix, the suggestion, Ctrl-R.
	p.text("tw")
	p.shows("nsh> twice(4)")
	p.key("Right")
	p.key("Enter")
	p.shows("8", "nsh>")
	p.text("de")
	p.key("Up")
	p.shows("nsh> def twice(x):", "...>     return 2 * x", "...>", "...> print(twice(21))", "...> ps --help | head -n 1")
	p.key("C-c")
	p.key("C-r")
	p.text("ce(4")
	p.shows("nsh> twice(4)", "history: ce(4")
	p.key("Enter")
	p.shows("8", "nsh>")

	// The caret among wide characters, and a line that is longer than the window.
	p.text("print('日本x')")
	for range 3 {
		p.key("Left")
	}
	p.text("語")
	p.key("Enter")
	p.shows("日本語x", "nsh>")
	long := strings.Repeat("0123456789", 12)
	p.text("len('" + long + "')")
	p.tmux("resize-window", "-x", "60", "-y", "50")
	p.shows(("nsh> len('" + long)[:60], ("nsh> len('" + long)[60:120], ("nsh> len('" + long + "')")[120:])
	p.tmux("resize-window", "-x", "100", "-y", "50")
	p.shows(("nsh> len('" + long)[:100], ("nsh> len('" + long + "')")[100:])
	p.key("Enter")
	p.shows("120", "nsh>")

	// What names can become.
	p.text("tw")
	p.key("Tab")
	p.text("(x")
	p.key("Tab")
	p.text("5)")
	p.key("Enter")
	p.shows("nsh> twice(x=5)", "10", "nsh>")
	p.text("json.enc")
	p.key("Tab")
	p.text("([1])")
	p.key("Enter")
	p.shows("nsh> json.encode([1])", `"[1]"`, "nsh>")
	p.text("load('@std//ret")
	p.key("Tab")
	p.shows("nsh> load('@std//retry.star")
	p.key("C-u")
	p.text("poll(")
	p.text("timeo")
	p.key("Tab")
	p.shows("nsh> poll(timeout=")
	p.key("C-u")
	p.text("vers")
	p.key("Tab")
	p.text("--form")
	p.key("Tab")
	p.shows("nsh> version --format")
	p.key("C-u")
	// An engine that does not run is not started by a Tab.
	p.text("stop ")
	p.key("Tab")
	p.text("x")
	p.shows("nsh> stop x")
	p.key("C-u")
	if _, err := os.Stat(value(env, "NSH_ROOT")); err == nil {
		t.Error("Tab has started the engine")
	}

	// An entry in $EDITOR, and what comes back of it.
	p.types("x = 1; print(x)")
	p.shows("1", "nsh>")
	p.types("%edit")
	p.shows("...> x = 41 + 1; print(x)", "42", "nsh>")
	p.types("%history 3")
	p.shows("   3  %edit", "   2  x = 41 + 1; print(x)", "   1  %history 3", "nsh>")

	// Again and again, on the other screen, until Ctrl-C.
	p.types("n = [0]")
	p.types("%watch 0.05 n.append(1); print('turn', len(n) > 3)")
	p.shows("turn True")
	if !strings.HasPrefix(p.screen(), "every 0.05s: n.append(1); print('turn', len(n) > 3)\n\nturn True\n") {
		t.Errorf("the other screen:\n%s", p.screen())
	}
	p.key("C-c")
	p.shows("turn True", "nsh>")

	// Reports name the entry.
	p.types("def bad(): fail('no')")
	p.key("Enter")
	p.types("bad()")
	p.until("a report", func() bool { return strings.Contains(p.screen(), "called from <") })

	p.types("%quit")
	p.dead()
	p.again()
	p.key("Up")
	p.key("Up")
	p.shows("nsh> bad()")
	p.key("C-c")
	p.text("load(")
	p.key("C-c")
	p.shows("nsh> load(^C", "nsh>")
	p.key("C-d")
	p.dead()
}

// TestStartFile: the user's file runs before the first prompt, and nowhere else.
func TestStartFile(t *testing.T) {
	t.Parallel()
	env := sandbox(t)
	dir := filepath.Join(value(env, "HOME"), ".config/nsh")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	rc := filepath.Join(dir, "rc.star")
	src := "me = 'somebody'\ndef hi():\n    return 'hi ' + me\nprint('rc')\nfail('and then\\x1b[2J')\n"
	if err := os.WriteFile(rc, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, env)
	p.shows("rc", rc+":5:5: and then\\x1b[2J", `    fail('and then\x1b[2J')`, "        ^", "nsh: "+rc+" stopped there", "nsh>")
	p.types("me = 'you'")
	p.types("hi()")
	p.shows(`"hi you"`, "nsh>")
	p.types("%quit")
	p.dead()

	cmd := exec.Command(filepath.Join(value(env, "REPO"), "bin/nsh"), "-c", "print(1)")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "1\n" {
		t.Errorf("-c: %v, %q", err, out)
	}
	cmd = exec.Command(filepath.Join(value(env, "REPO"), "bin/nsh"))
	cmd.Env, cmd.Stdin = env, strings.NewReader("x = 2\ndef f():\n    return x\n\nprint(f())\nps --help | grep -c Usage\n")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "2\n1\n" {
		t.Errorf("nsh < file: %v, %q", err, out)
	}
	p = openWith(t, env, "100", "--norc")
	p.types("attempt(lambda: 1).value")
	p.shows("nsh> attempt(lambda: 1).value", "1", "nsh>")
	if strings.Contains(p.screen(), "rc") {
		t.Errorf("--norc:\n%s", p.screen())
	}
}

// TestColours: there are some, unless one is asked not to; a dumb terminal gets text alone.
func TestColours(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, env string
		want      []string // of the screen with its styles
		never     string
	}{
		{"colour", "LC_ALL=C.UTF-8", []string{"\x1b[1m\x1b[34mps", "\x1b[36m--all", "\x1b[32m'x'"}, ""},
		{"none", "NO_COLOR=1", []string{"nsh> ps --all 'x'"}, "\x1b["},
		{"dumb", "TERM=dumb", []string{"nsh> ps --all 'x'"}, "\x1b["},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, sandbox(t, tt.env))
			p.text("ps --all 'x'")
			p.shows("nsh> ps --all 'x'")
			got := p.tmux("capture-pane", "-p", "-e")
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("%q is not in\n%q", w, got)
				}
			}
			if tt.never != "" && strings.Contains(got, tt.never) {
				t.Errorf("%q is in\n%q", tt.never, got)
			}
			p.key("C-u")
			p.shows("nsh>")
			p.types("1 + 1")
			p.shows("2", "nsh>")
			p.types("def f():")
			p.types("    return 7")
			p.types("")
			p.types("f()")
			p.shows("7", "nsh>")
			p.key("C-d")
			p.dead()
		})
	}
}

// TestTypingAtEngine: Ctrl-C in what waits for something else, names of containers, and
// a terminal that is lent and comes back.
func TestTypingAtEngine(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	run(t, env, "nsh", "run", "-d", "--name", "web", "--network", "none", "busybox:1", "busybox", "sleep", "1000")
	t.Cleanup(func() { run(t, env, "nsh", "rm", "-f", "web") })
	// A registry that takes calls and never answers.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			called <- c
		}
	}()
	t.Cleanup(func() {
		l.Close()
		close(called)
		for c := range called {
			c.Close()
		}
	})
	p := open(t, env)

	p.text("exec w")
	p.key("Tab")
	p.text("busybox echo it is up")
	p.shows("nsh> exec web busybox echo it is up")
	p.key("Enter")
	p.shows("it is up", "nsh>")
	p.text("rm ")
	p.key("Tab")
	p.shows("nsh> rm web")
	p.key("C-u")
	p.types("c = container('web')")
	p.text("c.nam")
	p.key("Tab")
	p.key("Enter")
	p.shows("nsh> c.name", `"web"`, "nsh>")
	p.text("image('busy")
	p.key("Tab")
	p.shows("nsh> image('busybox:1")
	p.key("C-u")

	p.types("pull " + l.Addr().String() + "/never/answers:1")
	select {
	case c := <-called:
		defer c.Close()
	case <-time.After(20 * time.Second):
		t.Fatalf("pull asks nobody:\n%s", p.screen())
	}
	p.key("C-c")
	p.until("a prompt after the pull", func() bool { return strings.HasSuffix(strings.TrimRight(p.screen(), " \n"), "\nnsh>") })
	p.types("1 + 1")
	p.shows("nsh> 1 + 1", "2", "nsh>")

	// Every byte goes to the process, Ctrl-C too.
	before := stty(p)
	p.types("exec -it web busybox sh")
	p.shows("/ #")
	p.types("busybox sleep 500")
	p.until("sleep runs", func() bool { return strings.Contains(run(t, env, "nsh", "top", "web"), "sleep 500") })
	p.key("C-c")
	p.shows("/ #")
	p.types("busybox head -c 15 | busybox od -An -c")
	p.types("日本 abc%$!?")
	p.shows("/ #")
	if !strings.Contains(p.screen(), `346 227 245 346 234 254       a   b   c   %   $   !   ?  \n`) {
		t.Errorf("the bytes that arrived:\n%s", p.screen())
	}
	p.key("C-d")
	p.shows("nsh>")
	if after := stty(p); after != before {
		t.Errorf("the terminal was\n%s\nand is\n%s", before, after)
	}
	// What was killed leaves the terminal in order, too.
	p.types("exec -it web busybox sh -c 'kill -9 $$'")
	p.until("a prompt", func() bool { return strings.HasSuffix(strings.TrimRight(p.screen(), " \n"), "\nnsh>") })
	if after := stty(p); after != before {
		t.Errorf("after a kill the terminal was\n%s\nand is\n%s", before, after)
	}
}

// stty is the state of the terminal as a program is given it.
func stty(p *pane) string {
	p.Helper()
	p.key("C-l")
	p.types("!stty -a")
	var s string // what was looked at: a second look may come while the line is drawn
	p.until("stty", func() bool {
		s = strings.TrimRight(p.screen(), " \n")
		return strings.Contains(s, "echoke") && strings.HasSuffix(s, "nsh>")
	})
	lines := strings.Split(s, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "nsh>") }), "\n")
}

// openWith starts nsh with arguments in a terminal of that width.
func openWith(t *testing.T, env []string, width string, args ...string) *pane {
	t.Helper()
	p := &pane{T: t, socket: fmt.Sprintf("nsh-test-%d-%s%s", os.Getpid(), filepath.Base(t.Name()), strings.Join(args, ""))}
	words := []string{"-u", "-f", "/dev/null", "new-session", "-d", "-x", width, "-y", "50", "env", "-i", "TERM=screen-256color"}
	words = append(append(words, env...), filepath.Join(value(env, "REPO"), "bin/nsh"))
	p.tmux(append(words, args...)...)
	p.tmux("set-option", "-g", "remain-on-exit", "on")
	t.Cleanup(func() { _ = exec.Command("tmux", "-L", p.socket, "kill-server").Run() })
	p.shows("nsh> ")
	return p
}
