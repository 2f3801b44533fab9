package lineedit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain is also the program that the terminal's tests type at.
func TestMain(m *testing.M) {
	if os.Getenv("NSH_LINEEDIT_HISTORY") != "" {
		os.Exit(typedAt())
	}
	os.Exit(m.Run())
}

func typedAt() int {
	ed, err := New(Options{
		In: os.Stdin, Out: os.Stdout, History: os.Getenv("NSH_LINEEDIT_HISTORY"),
		Complete: func(text string, cursor int) Completion {
			from := strings.LastIndex(text[:cursor], " ") + 1
			c := Completion{From: from}
			for _, w := range []string{"apple", "apricot", "banana"} {
				if strings.HasPrefix(w, text[from:cursor]) {
					c.List = append(c.List, Candidate{Text: w, Doc: "about " + w, End: " "})
				}
			}
			if strings.HasPrefix("slow", text[from:cursor]) && cursor > from {
				c.Later = func(context.Context) []Candidate {
					time.Sleep(300 * time.Millisecond)
					return []Candidate{{Text: "slow", Doc: "at last"}, {Text: "slower"}}
				}
			}
			return c
		},
		Colour: func(text string) []Span { return []Span{{0, min(len(text), 2), "31"}} },
	}, true)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer ed.Close()
	whole := func(text string, pasted bool) bool {
		return pasted || !strings.Contains(text, ":") || strings.HasSuffix(text, "\n")
	}
	for {
		text, err := ed.Read(Prompt{Text: "$ ", More: "+ ", Whole: whole})
		switch {
		case errors.Is(err, ErrInterrupt):
			fmt.Printf("interrupt after %q\n", text)
			continue
		case err != nil:
			fmt.Println(err)
			return 0
		}
		ed.Remember(text)
		switch text {
		case "later":
			go func() {
				time.Sleep(500 * time.Millisecond)
				fmt.Fprintln(ed.Output(), "news")
			}()
		case "busy":
			time.Sleep(time.Second)
		case "child":
			c := exec.Command("head", "-n", "1")
			c.Stdin, c.Stdout = os.Stdin, os.Stdout
			_ = c.Run()
		case "open":
			fmt.Print("no newline")
		case "broken":
			c := exec.Command("stty", "raw", "-echo")
			c.Stdin = os.Stdin
			_ = c.Run()
		case "stty":
			c := exec.Command("sh", "-c", "stty -a | grep -o -e '-*icanon' -e '-*echo ' -e '-*isig'| tr -d '\n'; echo")
			c.Stdin, c.Stdout = os.Stdin, os.Stdout
			_ = c.Run()
		default:
			fmt.Printf("got %q\n", text)
		}
	}
}

// pane is a terminal, by tmux.
type pane struct {
	*testing.T
	socket string
}

func openPane(t *testing.T, width, height int, history string) *pane {
	t.Helper()
	p := &pane{t, fmt.Sprintf("nsh-lineedit-%d-%s", os.Getpid(), filepath.Base(t.Name()))}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.tmux("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height),
		"env", "-i", "TERM=screen-256color", "LANG=C.UTF-8", "PATH="+os.Getenv("PATH"), "NSH_LINEEDIT_HISTORY="+history, exe)
	t.Cleanup(func() { _ = exec.Command("tmux", "-u", "-L", p.socket, "kill-server").Run() })
	p.shows("$")
	return p
}

func (p *pane) tmux(args ...string) string {
	p.Helper()
	out, err := exec.Command("tmux", append([]string{"-u", "-L", p.socket}, args...)...).CombinedOutput()
	if err != nil {
		p.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// keys sends keys by tmux's names, and other words as text.
func (p *pane) keys(words ...string) {
	p.Helper()
	p.tmux(append([]string{"send-keys"}, words...)...)
}

func (p *pane) types(text string) {
	p.Helper()
	p.tmux("send-keys", "-l", "--", text)
}

func (p *pane) paste(text string) {
	p.Helper()
	p.tmux("set-buffer", "--", text)
	p.tmux("paste-buffer", "-p")
}

// shows waits until the screen ends with the lines.
func (p *pane) shows(lines ...string) {
	p.Helper()
	want := strings.Join(lines, "\n")
	var got string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = strings.TrimRight(p.tmux("capture-pane", "-p"), " \n")
		if got == want || strings.HasSuffix(got, "\n"+want) {
			return
		}
	}
	p.Fatalf("the screen shows\n%s\nwant at its end\n%s", got, want)
}

// cursor waits until the cursor is at a column.
func (p *pane) cursor(col int) {
	p.Helper()
	got := ""
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = strings.TrimSpace(p.tmux("display-message", "-p", "#{cursor_x}")); got == fmt.Sprint(col) {
			return
		}
	}
	p.Fatalf("the cursor is in column %s, want %d\n%s", got, col, p.tmux("capture-pane", "-p"))
}

func TestEditing(t *testing.T) {
	t.Parallel()
	p := openPane(t, 60, 30, filepath.Join(t.TempDir(), "history"))

	p.types("rint")
	p.keys("Home")
	p.types("p")
	p.keys("End")
	p.types("!")
	p.keys("Enter")
	p.shows(`$ print!`, `got "print!"`, "$")

	// The caret behind wide characters, and characters of several runes.
	p.types("日本 e\u0301👍🏽x")
	p.cursor(2 + 4 + 1 + 1 + 2 + 1)
	p.keys("Left", "Left")
	p.cursor(2 + 4 + 1 + 1)
	p.keys("BSpace", "Left", "Left")
	p.cursor(2 + 2)
	p.keys("DC", "Enter")
	p.shows("got \"日 👍🏽x\"", "$")

	// Words, kill and yank, undo.
	p.types("one two three")
	p.keys("C-w", "M-b", "C-k")
	p.shows("$ one")
	p.keys("C-y")
	p.shows("$ one two")
	p.keys("C-u", "C-_")
	p.shows("$ one two")
	p.keys("C-a", "M-d", "C-e", "Enter")
	p.shows(`got " two "`, "$")

	// Ctrl-C, Ctrl-D, Delete on nothing, and keys that mean nothing.
	p.types("half")
	p.keys("C-c")
	p.shows("$ half^C", `interrupt after "half"`, "$")
	p.keys("DC", "C-z", "C-Space", "F5", "C-\\", "x", "C-a", "C-d", "Enter")
	p.shows(`got ""`, "$")
	p.keys("C-l")
	p.types("top")
	p.shows("$ top")
	p.keys("Enter", "C-d")
	for end := time.Now().Add(5 * time.Second); strings.Contains(p.all(), "$"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("Ctrl-D does not end it")
		}
	}
}

// all is the screen, or nothing when the terminal has gone.
func (p *pane) all() string {
	out, err := exec.Command("tmux", "-u", "-L", p.socket, "capture-pane", "-p").Output()
	if err != nil {
		return ""
	}
	return string(out)
}

func TestSeveralLines(t *testing.T) {
	t.Parallel()
	history := filepath.Join(t.TempDir(), "history")
	p := openPane(t, 60, 30, history)

	// Typed line by line, and gone back to.
	p.types("for x:")
	p.keys("Enter")
	p.types("  a")
	p.keys("Up", "Up", "End")
	p.types("y:")
	p.shows("$ for x:y:", "+   a")
	p.keys("Down", "End", "Enter", "Enter")
	p.shows("$ for x:y:", "+   a", "+", `got "for x:y:\n  a\n"`, "$")

	// A paste is one entry that can be edited, and the history keeps it whole.
	p.paste("one\ntwo\n\tthree: 'x'\nfour\nfive")
	p.shows("$ one", "+ two", "+     three: 'x'", "+ four", "+ five")
	p.keys("Enter")
	p.shows("+ five", `got "one\ntwo\n    three: 'x'\nfour\nfive"`, "$")
	p.keys("Up")
	p.shows("$ one", "+ two", "+     three: 'x'", "+ four", "+ five")
	p.keys("Up")
	p.shows("$ for x:y:", "+   a")
	p.keys("Enter")
	p.shows("+   a", `got "for x:y:\n  a"`, "$")

	// A new line at will.
	p.types("a")
	p.keys("M-Enter")
	p.types("b")
	p.keys("Enter")
	p.shows("$ a", "+ b", `got "a\nb"`, "$")

	// The next session has it, and searches in it.
	p.keys("C-d")
	for end := time.Now().Add(5 * time.Second); p.all() != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("Ctrl-D does not end it")
		}
	}
	p = openPane(t, 60, 30, history)
	p.keys("Up", "Up", "Up")
	p.shows("$ one", "+ two", "+     three: 'x'", "+ four", "+ five")
	p.keys("C-u", "C-c")
	p.types("fo")
	p.shows("$ for x:y:") // suggested
	p.keys("Up", "C-e")
	p.shows("$ for x:y:", "+   a")
	p.keys("C-c", "C-r")
	p.types("thr")
	p.shows("$ one", "+ two", "+     three: 'x'", "+ four", "+ five", "history: thr")
	p.types("zzz")
	p.shows("+ five", "history (nothing): thrzzz")
	p.keys("C-g")
	p.shows("$")
	p.keys("C-r")
	p.types("a")
	p.keys("C-r", "Enter")
	p.shows(`got "for x:y:\n  a"`, "$")
	p.types("a")
	p.keys("Right", "Enter")
	p.shows(`got "a\nb"`, "$")
}

// TestNarrow: rows that do not fit, and a terminal that changes its size.
func TestNarrow(t *testing.T) {
	t.Parallel()
	p := openPane(t, 20, 10, filepath.Join(t.TempDir(), "history"))
	p.types("0123456789abcdefgh")
	p.shows("$ 0123456789abcdefgh")
	p.cursor(0) // in the row below
	p.types("ijk")
	p.shows("$ 0123456789abcdefgh", "ijk")
	p.keys("C-a")
	p.cursor(2)
	p.types("日")
	p.shows("$ 日0123456789abcdef", "ghijk")
	p.tmux("resize-window", "-x", "30", "-y", "10")
	p.shows("$ 日0123456789abcdefghijk")
	p.tmux("resize-window", "-x", "15", "-y", "10")
	p.shows("$ 日0123456789a", "bcdefghijk")
	p.keys("End")
	p.cursor(10)
	p.keys("Enter")
	p.shows("bcdefghijk", `got "日01234567`, `89abcdefghijk"`, "$")

	// What is higher than the screen shows the part around the cursor, and is printed
	// whole in the end.
	var long []string
	for i := range 20 {
		long = append(long, fmt.Sprintf("line %d", i))
	}
	p.paste(strings.Join(long, "\n"))
	p.shows("+ line 18", "+ line 19")
	p.keys("Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up", "Up")
	p.shows("$ line 0", "+ line 1", "+ line 2", "+ line 3", "+ line 4", "+ line 5", "+ line 6", "+ line 7", "+ line 8", "+ line 9")
	p.types("x")
	for range 19 {
		p.keys("Down")
	}
	p.keys("Enter")
	p.shows("$")
	all := p.tmux("capture-pane", "-p", "-S", "-100")
	if !strings.Contains(all, "$ line 0x\n+ line 1\n") {
		t.Errorf("the whole entry is not there:\n%s", all)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	p := openPane(t, 60, 30, filepath.Join(t.TempDir(), "history"))
	p.types("eat b")
	p.keys("Tab")
	p.types("x") // behind a blank
	p.shows("$ eat banana x")
	p.keys("C-u")
	p.types("eat a")
	p.keys("Tab")
	p.shows("$ eat ap", "  apple    about apple", "  apricot  about apricot")
	p.keys("Tab")
	p.shows("$ eat apple", "> apple    about apple", "  apricot  about apricot")
	p.keys("Tab")
	p.shows("$ eat apricot", "  apple    about apple", "> apricot  about apricot")
	p.keys("C-g")
	p.shows("$ eat ap")
	p.keys("Tab", "BTab", "BTab", "Enter")
	p.shows("$ eat apple")
	p.keys("Enter")
	p.shows("$ eat apple", `got "eat apple "`, "$")

	// What is slow comes when it comes, and keeps no key waiting.
	p.types("eat s")
	p.keys("Tab")
	p.shows("$ eat s", "  …")
	p.shows("$ eat s", "  slow    at last", "  slower")
	p.keys("Tab")
	p.shows("$ eat slow", "> slow    at last", "  slower")
	p.keys("C-u")
	p.types("eat s")
	p.keys("Tab")
	p.types("xyz")
	p.keys("Enter")
	p.shows("$ eat sxyz", `got "eat sxyz"`, "$")
}

// TestTerminal: whose it is, and in what state.
func TestTerminal(t *testing.T) {
	t.Parallel()
	p := openPane(t, 60, 30, filepath.Join(t.TempDir(), "history"))

	p.types("open")
	p.keys("Enter")
	p.shows("$ open", "no newline⏎", "$")

	// Output while somebody types.
	p.types("later")
	p.keys("Enter")
	p.types("hal")
	p.shows("$ hal")
	p.shows("$ later", "news", "$ hal")
	p.types("f")
	p.keys("Enter")
	p.shows("$ half", `got "half"`, "$")

	// Typed ahead.
	p.types("busy")
	p.keys("Enter")
	time.Sleep(200 * time.Millisecond)
	p.types("ahead")
	p.keys("Enter")
	p.types("more")
	p.shows("$ ahead", `got "ahead"`, "$ more")
	p.keys("C-u")

	// A program gets what is typed, and the terminal in line mode.
	p.types("child")
	p.keys("Enter")
	time.Sleep(300 * time.Millisecond)
	p.types("for the childx")
	p.keys("BSpace", "Enter")
	p.shows("for the child", "for the child", "$")
	p.types("stty")
	p.keys("Enter")
	p.shows("isigicanonecho", "$")
	p.types("broken")
	p.keys("Enter")
	p.shows("$")
	p.types("stty")
	p.keys("Enter")
	p.shows("isigicanonecho", "$")
}
