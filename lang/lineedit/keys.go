package lineedit

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Keys that readline has no rune for. They go through it as runes for private use.
const (
	keyPaste rune = 0x10f000 + iota
	keyDelete
	keyUp
	keyDown
	keyLeft
	keyRight
	keyBackTab
	keyNewline // Alt-Enter
	keyEscape
	keyLast
)

// Of the control characters readline knows.
const (
	ctrlA, ctrlB, ctrlC, ctrlD, ctrlE, ctrlF, ctrlG = 1, 2, 3, 4, 5, 6, 7
	ctrlH, tab, newline, ctrlK, ctrlL, enter        = 8, 9, 10, 11, 12, 13
	ctrlN, ctrlP, ctrlR, ctrlT, ctrlU, ctrlW, ctrlY = 14, 16, 18, 20, 21, 23, 25
	escape, undo, backspace                         = 27, 31, 127
)

// known control characters go on; readline would put the others into the text, take
// NUL for the end of the input, and stop the parent's process at Ctrl-Z.
var known = map[byte]bool{ctrlA: true, ctrlB: true, ctrlC: true, ctrlD: true, ctrlE: true, ctrlF: true, ctrlG: true, ctrlH: true,
	tab: true, ctrlK: true, ctrlL: true, enter: true, ctrlN: true, ctrlP: true, ctrlR: true, ctrlT: true, ctrlU: true,
	ctrlW: true, ctrlY: true, undo: true, backspace: true}

// sequences are what terminals send for a key (xterm control sequences; the Home and
// End of tmux and screen, of rxvt, and of the Linux console), after ESC.
var sequences = map[string]string{
	"[A": string(keyUp), "OA": string(keyUp), "[B": string(keyDown), "OB": string(keyDown),
	"[C": string(keyRight), "OC": string(keyRight), "[D": string(keyLeft), "OD": string(keyLeft),
	"[H": "\x01", "OH": "\x01", "[1~": "\x01", "[7~": "\x01",
	"[F": "\x05", "OF": "\x05", "[4~": "\x05", "[8~": "\x05",
	"[3~": string(keyDelete), "[Z": string(keyBackTab), "OM": "\r",
	"[1;5C": "\x1bf", "[1;3C": "\x1bf", "[5C": "\x1bf", "Oc": "\x1bf",
	"[1;5D": "\x1bb", "[1;3D": "\x1bb", "[5D": "\x1bb", "Od": "\x1bb",
	"[3;5~": "\x1bd", "[3;3~": "\x1bd",
	"b": "\x1bb", "f": "\x1bf", "d": "\x1bd", "\x7f": "\x1b\x7f", "\x08": "\x1b\x7f",
	"\r": string(keyNewline), "\n": string(keyNewline),
}

const (
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	// maxPaste is what of one paste is kept.
	maxPaste = 16 << 20
	// maxSequence is more than any sequence of a key has.
	maxSequence = 64
)

// filter sits between the terminal and readline: it turns what is pasted into one
// key, and sequences that readline does not know into keys that it does, or into
// nothing. A read may cut them anywhere.
type filter struct {
	r io.Reader
	// quiet waits a moment and tells whether nothing more came: an escape by
	// itself is a key then. Nil: never.
	quiet func() bool

	held    []byte // the beginning of a sequence
	ready   []byte
	pasting bool
	paste   []byte

	mu     sync.Mutex
	pastes []string // that readline has been given the key of
}

func (f *filter) Read(p []byte) (int, error) {
	buf := make([]byte, 4096)
	for len(f.ready) == 0 {
		if len(f.held) == 1 && f.held[0] == escape && !f.pasting && f.quiet != nil && f.quiet() {
			f.held = nil
			f.ready = utf8.AppendRune(f.ready, keyEscape)
			break
		}
		n, err := f.r.Read(buf)
		f.take(buf[:n])
		if err != nil && len(f.ready) == 0 {
			return 0, err
		}
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}

// Close implements io.Closer; the terminal stays open.
func (f *filter) Close() error { return nil }

// pasted gives the text of the next paste key.
func (f *filter) pasted() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pastes) == 0 {
		return ""
	}
	text := f.pastes[0]
	f.pastes = f.pastes[1:]
	return text
}

func (f *filter) take(in []byte) {
	in = append(f.held, in...)
	f.held = nil
	for len(in) > 0 {
		if f.pasting {
			n := bytes.Index(in, []byte(pasteEnd))
			if n < 0 {
				keep := partial(in, pasteEnd)
				f.keep(in[:len(in)-keep])
				f.held = append([]byte(nil), in[len(in)-keep:]...)
				return
			}
			f.keep(in[:n])
			in = in[n+len(pasteEnd):]
			f.pasting = false
			f.mu.Lock()
			f.pastes = append(f.pastes, clean(string(f.paste)))
			f.mu.Unlock()
			f.paste = nil
			f.ready = utf8.AppendRune(f.ready, keyPaste)
			continue
		}
		switch c := in[0]; {
		case c == escape:
			n, whole := sequenceLen(in)
			if !whole {
				f.held = append([]byte(nil), in...)
				return
			}
			seq := string(in[:n])
			in = in[n:]
			if seq == pasteBegin {
				f.pasting = true
				continue
			}
			f.ready = append(f.ready, sequences[seq[1:]]...)
		case c == newline:
			f.ready = append(f.ready, enter) // typed ahead, when the terminal was in line mode
			in = in[1:]
		case c >= ' ' && c != backspace || known[c]:
			f.ready = append(f.ready, c)
			in = in[1:]
		default:
			in = in[1:]
		}
	}
}

func (f *filter) keep(b []byte) {
	if len(f.paste)+len(b) <= maxPaste {
		f.paste = append(f.paste, b...)
	}
}

// partial is how much of the end of b may be the beginning of seq.
func partial(b []byte, seq string) int {
	for n := min(len(seq)-1, len(b)); n > 0; n-- {
		if strings.HasPrefix(seq, string(b[len(b)-n:])) {
			return n
		}
	}
	return 0
}

// sequenceLen is the length of the escape sequence at the beginning of b, and
// whether it is all there (ECMA-48, 5.4).
func sequenceLen(b []byte) (n int, whole bool) {
	if len(b) < 2 {
		return 1, false
	}
	switch b[1] {
	case escape:
		return 1, true
	case 'O':
		return min(3, len(b)), len(b) >= 3
	case '[':
		for n = 2; n < len(b) && n < maxSequence; n++ {
			if b[n] >= 0x40 && b[n] <= 0x7e {
				return n + 1, true
			}
			if b[n] < 0x20 || b[n] > 0x7e {
				return n, true // broken off
			}
		}
		return n, n >= maxSequence
	}
	if b[1] >= utf8.RuneSelf {
		return 1, true // Alt and a letter: the letter
	}
	return 2, true
}

// clean makes a text that can be edited and shown: newlines of one kind, blanks
// for tabs, and no control characters, which could do things to the terminal.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.ReplaceAll(s, "\t", "    ")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= keyPaste && r < keyLast {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
