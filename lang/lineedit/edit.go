package lineedit

import (
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/chzyer/readline"
)

// walk is a way through the history: entries that begin with what stood before
// the cursor when it began.
type walk struct {
	on     bool
	prefix string
	at     int    // index of the entry that is shown; the length of the list: none
	typed  string // what was there before
}

// key deals with one key, or leaves it to readline: then mine stays false.
func (t *terminal) key(key rune) {
	if t.search.on && t.searchKey(key) {
		return
	}
	if t.menu.open && t.menuKey(key) {
		return
	}
	if key != keyUp && key != keyDown && key != ctrlP && key != ctrlN {
		t.walk.on = false
	}
	switch key {
	case 0: // the input's end: readline gives what there is first
		if len(t.text) == 0 {
			t.end = io.EOF
		}
		t.finish("")
	case enter:
		t.enter()
	case keyNewline:
		t.insert("\n")
	case ctrlC:
		t.finish("^C")
		t.end = ErrInterrupt
	case ctrlD:
		if len(t.text) == 0 {
			t.finish("")
			t.end = io.EOF
			return
		}
		t.deleteForward()
	case keyDelete:
		t.deleteForward()
	case backspace, ctrlH:
		at := back(t.text, t.pos)
		t.set(slices.Concat(t.text[:at], t.text[t.pos:]), at)
	case keyLeft, ctrlB:
		t.set(t.text, back(t.text, t.pos))
	case keyRight, ctrlF:
		if t.pos == len(t.text) {
			t.insert(t.hint)
			return
		}
		t.set(t.text, t.pos+clusterLen(t.text[t.pos:]))
	case ctrlA:
		t.set(t.text, t.lineStart())
	case ctrlE:
		if t.pos == len(t.text) {
			t.insert(t.hint)
			return
		}
		t.set(t.text, t.lineEnd())
	case keyUp, ctrlP:
		if !t.walk.on && t.lineStart() > 0 {
			t.moveRow(-1)
			return
		}
		t.older(-1)
	case keyDown, ctrlN:
		if !t.walk.on && t.lineEnd() < len(t.text) {
			t.moveRow(1)
			return
		}
		t.older(1)
	case readline.MetaBackward:
		t.set(t.text, t.wordBefore(alphanumeric))
	case readline.MetaForward:
		if t.pos == len(t.text) { // a word of the suggestion
			hint := []rune(t.hint)
			n := (&terminal{text: hint}).wordAfter(notBlank)
			t.insert(string(hint[:n]))
			return
		}
		t.set(t.text, t.wordAfter(alphanumeric))
	case readline.MetaDelete:
		t.kill(t.pos, t.wordAfter(alphanumeric))
	case readline.MetaBackspace:
		t.kill(t.wordBefore(alphanumeric), t.pos)
	case ctrlW:
		t.kill(t.wordBefore(notBlank), t.pos)
	case ctrlY:
		t.insert(t.killed)
	case ctrlU:
		t.kill(t.lineStart(), t.pos)
	case ctrlK:
		t.kill(t.pos, t.lineEnd())
	case ctrlL:
		t.screen.write("\x1b[H\x1b[2J")
		t.screen.forget()
		t.mine = true
	case ctrlR:
		t.search.begin(t)
		t.mine = true
	case undo:
		if n := len(t.undone); n > 0 {
			s := t.undone[n-1]
			t.set(s.text, s.pos)
			t.undone = t.undone[:n-1]
		}
		t.mine = true
	case tab:
		// At the beginning of a line there is nothing to complete but an indentation.
		if before := string(t.text[t.lineStart():t.pos]); len(t.text) > 0 && strings.Trim(before, " ") == "" {
			t.insert("    ")
			return
		}
		t.complete()
	case keyPaste:
		t.insert(t.keys.pasted())
		t.pasted = true
		return
	case keyBackTab, keyEscape, ctrlG:
		t.mine = true
	}
	if t.mine && t.pending {
		t.pasted = t.pasted && key != keyNewline && key != backspace
	}
}

// enter ends the entry when it is whole, or goes on with it in a new line. In the
// middle of several lines it makes a new one.
func (t *terminal) enter() {
	text := string(t.text)
	recalled := t.walk.at < len(t.history.entries()) && t.history.entries()[t.walk.at] == text && strings.Contains(text, "\n")
	if !recalled && t.prompt.Whole != nil {
		if t.lineEnd() < len(t.text) && strings.TrimSpace(string(t.text[t.pos:])) != "" && !t.pasted || !t.prompt.Whole(text, t.pasted) {
			t.insert("\n")
			return
		}
	}
	t.finish("")
	t.end = errWhole
}

// errWhole ends a Read without an error.
var errWhole = errors.New("whole")

func (t *terminal) deleteForward() {
	if t.pos == len(t.text) {
		t.mine = true
		return
	}
	t.set(slices.Concat(t.text[:t.pos], t.text[t.pos+clusterLen(t.text[t.pos:]):]), t.pos)
}

// kill cuts a part out, for yank to put in again.
func (t *terminal) kill(from, to int) {
	if from < to {
		t.killed = string(t.text[from:to])
	}
	t.set(slices.Concat(t.text[:from], t.text[to:]), from)
}

// wordBefore and wordAfter are where a word begins before the cursor, and ends after it.
func (t *terminal) wordBefore(in func(rune) bool) int {
	i := t.pos
	for i > 0 && !in(t.text[i-1]) {
		i--
	}
	for i > 0 && in(t.text[i-1]) {
		i--
	}
	return i
}

func (t *terminal) wordAfter(in func(rune) bool) int {
	i := t.pos
	for i < len(t.text) && !in(t.text[i]) {
		i++
	}
	for i < len(t.text) && in(t.text[i]) {
		i++
	}
	return i
}

func alphanumeric(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.M) }
func notBlank(r rune) bool     { return !unicode.IsSpace(r) }

// lineStart and lineEnd are the ends of the line that the cursor is in.
func (t *terminal) lineStart() int {
	for i := t.pos; i > 0; i-- {
		if t.text[i-1] == '\n' {
			return i
		}
	}
	return 0
}

func (t *terminal) lineEnd() int {
	if n := slices.Index(t.text[t.pos:], '\n'); n >= 0 {
		return t.pos + n
	}
	return len(t.text)
}

// moveRow goes to the line above or below, to the same column as far as it has it.
func (t *terminal) moveRow(by int) {
	col := t.pos - t.lineStart()
	if by < 0 {
		end := t.lineStart() - 1
		t.pos = end
		t.set(t.text, min(t.lineStart()+col, end))
		return
	}
	t.pos = t.lineEnd() + 1
	t.set(t.text, min(t.pos+col, t.lineEnd()))
}

// older shows the next entry of the walk in a direction, newer for by > 0.
func (t *terminal) older(by int) {
	list := t.history.entries()
	if !t.walk.on {
		t.walk = walk{on: true, prefix: string(t.text[:t.pos]), at: len(list), typed: string(t.text)}
	}
	t.mine = true
	shown := string(t.text)
	for i := t.walk.at + by; i >= 0 && i <= len(list); i += by {
		text := t.walk.typed
		if i < len(list) {
			text = list[i]
		}
		if i == len(list) || strings.HasPrefix(text, t.walk.prefix) && text != shown {
			t.walk.at = i
			t.set([]rune(text), len([]rune(text)))
			return
		}
	}
}
