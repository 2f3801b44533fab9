package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pane is nsh on a terminal, by tmux.
type pane struct {
	*testing.T
	socket string
}

// open starts nsh in a terminal of 100 columns.
func open(t *testing.T, env []string) *pane {
	t.Helper()
	return openWith(t, env, "100")
}

func (p *pane) tmux(args ...string) string {
	p.Helper()
	out, err := exec.Command("tmux", append([]string{"-u", "-L", p.socket}, args...)...).CombinedOutput()
	if err != nil {
		p.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (p *pane) screen() string { return p.tmux("capture-pane", "-p") }

// types sends a line and Enter.
func (p *pane) types(line string) {
	p.Helper()
	p.tmux("send-keys", "-l", line)
	p.tmux("send-keys", "Enter")
}

func (p *pane) key(k string) {
	p.Helper()
	p.tmux("send-keys", k)
}

// shows waits until the screen ends with the lines.
func (p *pane) shows(lines ...string) {
	p.Helper()
	want := strings.TrimRight(strings.Join(lines, "\n"), " ")
	end := time.Now().Add(20 * time.Second)
	for {
		got := strings.TrimRight(p.screen(), " \n")
		if strings.HasSuffix(got, want) {
			return
		}
		if time.Now().After(end) {
			p.Fatalf("the screen shows\n%s\nwant at its end\n%s", got, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestPrompt types what people type.
func TestPrompt(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	p := open(t, env)

	p.types("1 + 1")
	p.shows("nsh> 1 + 1", "2", "nsh>")

	// Ctrl-C ends what runs, and the session goes on.
	p.types("while True: print('on and on')")
	p.shows("...>")
	p.key("Enter")
	p.shows("on and on", "on and on", "on and on")
	p.key("C-c")
	p.shows("interrupted", "nsh>")
	p.types("print('still here')")
	p.shows("still here", "nsh>")

	// A container with a terminal gets every byte, and gives it back in order.
	p.types("run -it --rm --name typed --network none busybox:1 busybox sh")
	p.shows("/ #")
	p.types("echo $((6*7)); stty size")
	p.shows("42", "50 100", "/ #")
	p.key("C-c")
	p.types("exit 3")
	p.shows("nsh>")
	p.types("ps -aq | wc -l")
	p.shows("0", "nsh>")

	// The same detached, and attached again.
	p.types("run -it --rm --name typed --network none busybox:1 busybox sh")
	p.shows("/ #")
	p.key("C-p")
	p.key("C-q")
	p.shows("read escape sequence", "nsh>")
	p.types("attach typed")
	p.until("the container has its terminal again", func() bool {
		p.types("echo back $((1+1))")
		return strings.Contains(p.screen(), "back 2")
	})
	p.shows("back 2", "/ #")
	p.types("exit")
	p.shows("nsh>")

	// Pasted lines run one after the other.
	p.tmux("set-buffer", "x = 5\nfor i in range(2):\n    print(i + x)\n\nprint('done')\nimages -q | wc -l")
	p.tmux("paste-buffer", "-p")
	p.key("Enter")
	p.shows("5", "6", "done", "1", "nsh>")

	// An entry of several lines comes back whole.
	p.types("def f():")
	p.types("    return 'from the history'")
	p.types("")
	p.shows("nsh>")
	p.types("f = None")
	p.key("Up")
	p.key("Up")
	p.key("Enter")
	p.types("f()")
	p.shows(`"from the history"`, "nsh>")
	p.types("login -u me -p hush")
	p.shows("nsh>")

	// Home and End, as tmux sends them.
	p.tmux("send-keys", "-l", "rint('home'")
	p.key("Home")
	p.tmux("send-keys", "-l", "p")
	p.key("End")
	p.tmux("send-keys", "-l", ")")
	p.key("Enter")
	p.shows("home", "nsh>")

	p.types("%quit")
	p.dead()

	history := filepath.Join(value(env, "HOME"), ".local/state/nsh/history")
	st, err := os.Stat(history)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("history: %v, %v", st, err)
	}
	text, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hush") || !strings.Contains(string(text), "print('still here')") {
		t.Errorf("history:\n%s", text)
	}
}
