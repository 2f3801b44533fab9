package lineedit

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/chzyer/readline"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is readline with a screen and a memory of its own. readline calls
// filter and listen for every key, on its own goroutine; between the keys the
// fields are still, so that others may look at them under mu.
type terminal struct {
	opts    Options
	rl      *readline.Instance
	keys    *filter
	history history
	colours bool
	saved   *term.State // the terminal as it was found
	in      int         // its file descriptor

	mu      sync.Mutex
	screen  screen
	active  bool // an entry is under edit
	ended   bool // the input is at its end, or the editor closed
	closed  chan struct{}
	prompt  Prompt
	text    []rune
	pos     int
	pending bool  // text and pos are to be put into readline's buffer
	mine    bool  // the key has been dealt with here
	end     error // of the Read that the key ends

	pasted bool // the text ends with a paste
	undone []state
	killed string
	hint   string

	walk   walk
	search search
	menu   menu
}

// state is what undo goes back to.
type state struct {
	text []rune
	pos  int
}

// Bracketed paste: the terminal marks what is pasted, so that its newlines
// do not end the entry (xterm control sequences, "Bracketed Paste Mode"). It is on
// while an entry is read: programs that are run never see it.
const (
	pasteOn  = "\x1b[?2004h"
	pasteOff = "\x1b[?2004l"
)

func newTerminal(o Options) (*terminal, error) {
	t := &terminal{opts: o, in: int(o.In.Fd()), closed: make(chan struct{})}
	t.history.path = o.History
	t.colours = os.Getenv("NO_COLOR") == ""
	t.screen = screen{out: o.Out, size: func() (int, int) {
		w, h, err := term.GetSize(int(o.Out.Fd()))
		if err != nil || w < 1 || h < 1 {
			return 80, 24
		}
		return w, h
	}}
	saved, err := term.GetState(t.in)
	if err != nil {
		return nil, err
	}
	t.saved = saved
	t.keys = &filter{r: o.In, quiet: t.quiet}
	var raw *readline.State
	t.rl, err = readline.NewEx(&readline.Config{
		Stdin:  readline.NewCancelableStdin(t.keys),
		Stdout: io.Discard, Stderr: io.Discard,
		DisableAutoSaveHistory: true, UniqueEditLine: true, ForceUseInteractive: true,
		FuncFilterInputRune: t.filter,
		Listener:            listener(t.listen),
		// All that readline draws goes nowhere; with a row without end it does
		// not spend time on it.
		FuncGetWidth:       func() int { return 1 << 30 },
		FuncIsTerminal:     func() bool { return true },
		FuncOnWidthChanged: func(func()) {},
		FuncMakeRaw: func() (err error) {
			t.sane()
			raw, err = readline.MakeRaw(t.in)
			return err
		},
		FuncExitRaw: func() error {
			if raw == nil {
				return nil
			}
			return readline.Restore(t.in, raw)
		},
	})
	if err != nil {
		return nil, err
	}
	resize := make(chan os.Signal, 1)
	signal.Notify(resize, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-resize:
				t.mu.Lock()
				if t.active {
					t.screen.resized()
					t.draw()
				}
				t.mu.Unlock()
			case <-t.closed:
				signal.Stop(resize)
				return
			}
		}
	}()
	return t, nil
}

// sane puts the terminal back into line mode if a program has left it without:
// one that was killed does not do so itself. What else stty has set is left alone.
func (t *terminal) sane() {
	now, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err == nil && (now.Lflag&unix.ICANON == 0 || now.Lflag&unix.ECHO == 0 || now.Oflag&unix.OPOST == 0) {
		_ = term.Restore(t.in, t.saved)
	}
}

// escapeDelay is how long the rest of an escape sequence may take, in ms.
const escapeDelay = 50

func (t *terminal) quiet() bool {
	fds := []unix.PollFd{{Fd: int32(t.in), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, escapeDelay)
	return err == nil && n == 0
}

func (t *terminal) Read(p Prompt) (string, error) {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return "", io.EOF
	}
	t.prompt, t.active, t.end = p, true, nil
	t.text, t.pos, t.pending, t.pasted, t.hint = nil, 0, false, false, ""
	t.undone = nil
	t.walk, t.search, t.menu = walk{}, search{}, menu{}
	t.screen.fresh()
	t.screen.forget()
	t.screen.write(pasteOn)
	t.draw()
	t.mu.Unlock()

	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := t.rl.Readline()
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.active { // the input has ended
			t.finish("")
		}
		switch {
		case errors.Is(r.err, readline.ErrInterrupt):
			r.err = ErrInterrupt
		case r.err == io.EOF && t.end != io.EOF:
			t.ended = true // not by Ctrl-D: readline would never come back
		}
		return r.line, r.err
	case <-t.closed:
		// readline cannot be taken out of a read (chzyer/readline#217): its
		// goroutines are left where they are.
		return "", io.EOF
	}
}

func (t *terminal) Remember(entry string) { t.history.add(entry) }
func (t *terminal) Entries() []string     { return slices.Clone(t.history.entries()) }
func (t *terminal) Output() io.Writer     { return output{t} }

func (t *terminal) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
		return nil
	default:
	}
	if t.active {
		t.finish("")
		_ = term.Restore(t.in, t.saved)
	}
	t.ended = true
	close(t.closed)
	return nil
}

// output prints above the entry that is under edit.
type output struct{ t *terminal }

func (o output) Write(p []byte) (int, error) {
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	if !o.t.active {
		return o.t.opts.Out.Write(p)
	}
	o.t.screen.erase()
	n, err := o.t.opts.Out.Write(p)
	if !strings.HasSuffix(string(p), "\n") {
		o.t.screen.write("\r\n")
	}
	o.t.draw()
	return n, err
}

// draw shows the entry as it is.
func (t *terminal) draw() {
	f := t.frame()
	f.hint = t.hint
	f.below = t.menu.rows(t.colours)
	if t.search.on {
		f.below = [][]part{{{text: t.search.status(), style: ""}}}
	}
	t.screen.draw(f)
}

func (t *terminal) frame() *frame {
	f := &frame{prompt: t.prompt.Text, more: t.prompt.More, text: t.text, cursor: t.pos}
	if t.colours && t.opts.Colour != nil {
		f.colour = t.opts.Colour(string(t.text))
	}
	return f
}

// finish shows the entry for good, with a mark behind it, and leaves the rest of the
// screen to what runs.
func (t *terminal) finish(mark string) {
	f := t.frame()
	f.text = append(slices.Clone(f.text), []rune(mark)...)
	t.screen.finish(f)
	t.screen.write(pasteOff)
	t.menu.stop()
	t.active = false
}

// listener adapts to readline's interface.
type listener func(line []rune, pos int, key rune) ([]rune, int, bool)

// OnChange implements readline.Listener.
func (l listener) OnChange(line []rune, pos int, key rune) ([]rune, int, bool) {
	return l(line, pos, key)
}

// passed is what a key that has been dealt with becomes: readline does nothing
// at a bell but to call the listener.
const passed = readline.CharBell

// filter sees every key before readline does.
func (t *terminal) filter(key rune) (rune, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return key, true
	}
	t.pending, t.mine = false, false
	t.key(key)
	if t.end != nil {
		if key == 0 && t.end == io.EOF {
			t.ended = true
			return 0, true
		}
		if t.end == ErrInterrupt {
			return ctrlC, true
		}
		if t.end == io.EOF {
			return ctrlD, true
		}
		return enter, true
	}
	if !t.mine {
		return key, true
	}
	if key == enter || key == ctrlC || key == ctrlD {
		t.rl.Terminal.KickRead() // readline stops to read at these
	}
	return passed, true
}

// listen sees what readline has made of a key, and puts into its buffer what was
// made here.
func (t *terminal) listen(line []rune, pos int, key rune) ([]rune, int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// At these the entry has been given away already.
	if !t.active || line == nil && key == 0 || key == enter || key == ctrlC || key == ctrlD {
		return nil, 0, false
	}
	if t.pending {
		line, pos = slices.Clone(t.text), t.pos
	} else {
		if !slices.Equal(line, t.text) {
			t.remember()
			t.pasted = false
		}
		t.text, t.pos = slices.Clone(line), pos
	}
	t.hint = t.suggestion()
	t.draw()
	return line, pos, t.pending
}

// remember keeps the text for undo.
func (t *terminal) remember() {
	const most = 200
	t.undone = append(t.undone, state{slices.Clone(t.text), t.pos})
	if len(t.undone) > most {
		t.undone = t.undone[1:]
	}
}

// set makes the text of the entry.
func (t *terminal) set(text []rune, pos int) {
	if !slices.Equal(text, t.text) {
		t.remember()
	}
	t.text, t.pos, t.pending, t.mine = text, pos, true, true
}

// insert puts a text at the cursor.
func (t *terminal) insert(s string) {
	text := slices.Concat(t.text[:t.pos], []rune(s), t.text[t.pos:])
	t.set(text, t.pos+len([]rune(s)))
}

// suggestion is how the newest entry of the history that begins with the text goes on.
func (t *terminal) suggestion() string {
	if !t.colours || t.pos != len(t.text) || len(t.text) == 0 || t.search.on || t.menu.open {
		return ""
	}
	text := string(t.text)
	list := t.history.entries()
	for i := len(list) - 1; i >= 0; i-- {
		if rest, ok := strings.CutPrefix(list[i], text); ok && rest != "" {
			return rest
		}
	}
	return ""
}
