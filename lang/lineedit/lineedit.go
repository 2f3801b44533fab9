// Package lineedit reads lines that somebody types. [Editor] is all that the
// shell knows of it; chzyer/readline is behind it on a terminal, a plain reader
// on a pipe or a dumb terminal. It knows nothing of the language that is typed.
package lineedit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/chzyer/readline"
)

// ErrInterrupt is Ctrl-C while a line is edited. What was typed comes with it.
var ErrInterrupt = errors.New("interrupt")

// Editor reads lines. Its methods are for one goroutine; the terminal is in line
// mode when none of them runs, so that programs can be given it.
type Editor interface {
	// Line shows the prompt and reads a line, or several that were pasted at
	// once, without the last newline. The error is io.EOF at the end of the
	// input and ErrInterrupt at Ctrl-C.
	Line(prompt string) (string, error)
	// Remember puts an entry into the history, whole, however many lines it has.
	Remember(entry string)
	// Close gives the terminal back.
	Close() error
}

// Options of [New].
type Options struct {
	In, Out *os.File
	// History is the file that entries are kept in; "": none. It is readable
	// by its owner alone.
	History string
	// Complete gives the endings that the text before the cursor can have.
	Complete func(before string) []string
}

// New gives the editor for a terminal, and the plain one for anything else.
func New(o Options, terminal bool) (Editor, error) {
	if !terminal || os.Getenv("TERM") == "dumb" {
		return &plain{in: bufio.NewReader(o.In), out: o.Out, quiet: !terminal}, nil
	}
	if o.History != "" {
		if err := private(o.History); err != nil {
			o.History = "" // a session without a history is better than none
		}
	}
	e := &terminalEditor{}
	rl, err := readline.NewEx(&readline.Config{
		Stdin: readline.NewCancelableStdin(&filter{r: o.In}), Stdout: o.Out,
		HistoryFile: o.History, DisableAutoSaveHistory: true, HistorySearchFold: true, HistoryLimit: 5000,
		AutoComplete: completer(o.Complete), InterruptPrompt: "^C", EOFPrompt: "",
	})
	if err != nil {
		return nil, err
	}
	e.rl, e.out = rl, o.Out
	return e, nil
}

// private makes the history file 0600 before readline opens it with the umask's mode.
func private(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(0o600)
}

// terminalEditor is readline with what it lacks.
type terminalEditor struct {
	rl  *readline.Instance
	out io.Writer
}

// newlineMark stands for a newline within an entry: readline edits one row, and
// its history has an entry a line.
const newlineMark = "\u2028"

// Bracketed paste: the terminal marks what is pasted, so that its newlines
// do not end the line (xterm control sequences, "Bracketed Paste Mode").
const (
	pasteOn  = "\x1b[?2004h"
	pasteOff = "\x1b[?2004l"
)

func (e *terminalEditor) Line(prompt string) (string, error) {
	e.rl.SetPrompt(prompt)
	fmt.Fprint(e.out, pasteOn)
	line, err := e.rl.Readline()
	fmt.Fprint(e.out, pasteOff)
	line = strings.ReplaceAll(line, newlineMark, "\n")
	if errors.Is(err, readline.ErrInterrupt) {
		err = ErrInterrupt
	}
	return line, err
}

func (e *terminalEditor) Remember(entry string) {
	entry = strings.TrimRight(entry, "\n")
	if strings.TrimSpace(entry) == "" || secret(entry) {
		return
	}
	_ = e.rl.SaveHistory(strings.ReplaceAll(entry, "\n", newlineMark))
}

func (e *terminalEditor) Close() error { return e.rl.Close() }

// secret tells whether an entry may hold a password: such a one is not kept.
func secret(entry string) bool {
	for _, w := range strings.Fields(entry) {
		l := strings.ToLower(w)
		if strings.HasPrefix(l, "--password") && l != "--password-stdin" {
			return true
		}
		k, _, assigned := strings.Cut(strings.Trim(l, `"'`), "=")
		if assigned && (strings.Contains(k, "pass") || strings.Contains(k, "secret") || strings.Contains(k, "token")) {
			return true
		}
	}
	return strings.HasPrefix(strings.TrimSpace(entry), "login ") && strings.Contains(entry, " -p")
}

// completer adapts to readline's: endings, and how much of the word is there.
type completer func(before string) []string

func (c completer) Do(line []rune, pos int) ([][]rune, int) {
	if c == nil {
		return nil, 0
	}
	before := string(line[:pos])
	var out [][]rune
	for _, s := range c(before) {
		out = append(out, []rune(s))
	}
	i := strings.LastIndexAny(before, " \t;|&(,=[{") + 1
	return out, len([]rune(before[i:]))
}

// filter sits between the terminal and readline: it turns what is pasted into
// one line, and the Home and End of tmux and screen into those that readline
// knows. An escape sequence may be cut anywhere by a read.
type filter struct {
	r     io.Reader
	held  []byte // the beginning of a sequence
	ready []byte
	paste bool
}

// sequences by what they become.
var sequences = map[string]string{
	"\x1b[200~": "", "\x1b[201~": "", "\x1b[1~": "\x1b[H", "\x1b[4~": "\x1b[F", "\x1b[7~": "\x1b[H", "\x1b[8~": "\x1b[F",
}

func (f *filter) Read(p []byte) (int, error) {
	for len(f.ready) == 0 {
		buf := make([]byte, 4096)
		n, err := f.r.Read(buf)
		f.take(buf[:n])
		if err != nil {
			f.ready = append(f.ready, f.held...)
			f.held = nil
			if len(f.ready) == 0 {
				return 0, err
			}
		}
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}

func (f *filter) Close() error { return nil }

func (f *filter) take(in []byte) {
	in = append(f.held, in...)
	f.held = nil
next:
	for len(in) > 0 {
		if in[0] != 0x1b {
			f.put(in[0])
			in = in[1:]
			continue
		}
		for seq, to := range sequences {
			if strings.HasPrefix(string(in), seq) {
				switch seq {
				case "\x1b[200~":
					f.paste = true
				case "\x1b[201~":
					f.paste = false
				}
				f.ready = append(f.ready, to...)
				in = in[len(seq):]
				continue next
			}
			// A lone escape waits, too: to readline it is the beginning of something
			// in any case.
			if len(in) < len(seq) && strings.HasPrefix(seq, string(in)) {
				f.held = append([]byte(nil), in...)
				return
			}
		}
		f.ready = append(f.ready, in[0])
		in = in[1:]
	}
}

func (f *filter) put(b byte) {
	switch {
	case f.paste && (b == '\r' || b == '\n'):
		f.ready = append(f.ready, newlineMark...)
	case f.paste && b == '\t':
		f.ready = append(f.ready, "    "...)
	default:
		f.ready = append(f.ready, b)
	}
}

// plain reads without editing.
type plain struct {
	in    *bufio.Reader
	out   io.Writer
	quiet bool
}

func (p *plain) Line(prompt string) (string, error) {
	if !p.quiet {
		fmt.Fprint(p.out, prompt)
	}
	line, err := p.in.ReadString('\n')
	if err == io.EOF && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

func (p *plain) Remember(string) {}
func (p *plain) Close() error    { return nil }
