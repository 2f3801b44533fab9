// Package lineedit reads entries that somebody types: one line, or several that
// belong together. [Editor] is all that the shell knows of it; chzyer/readline is
// behind it on a terminal, a plain reader on a pipe or a dumb terminal. It
// knows nothing of the language that is typed: what an entry is, what completes
// it and how it is coloured come in as functions.
//
// Of readline this package uses the key loop, the raw mode and the editing of one
// line (words, kill and yank). What it shows is drawn in here: readline v1.5.1 knows
// one row, puts the caret wrong behind wide characters, and has neither bracketed paste
// nor descriptions nor a history of several lines.
package lineedit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrInterrupt is Ctrl-C while an entry is edited. What was typed comes with it.
var ErrInterrupt = errors.New("interrupt")

// Editor reads entries. Its methods are for one goroutine, but for Output and
// Close. When none of them runs the terminal is in line mode, as it was found,
// and nobody reads from it, so that programs can be given it.
type Editor interface {
	// Read shows the prompt and reads an entry, without the last newline. The
	// error is io.EOF at the end of the input and after Close, and [ErrInterrupt] at
	// Ctrl-C.
	Read(p Prompt) (string, error)
	// Remember puts an entry into the history, whole, however many lines it has.
	// An entry that may hold a secret is not kept.
	Remember(entry string)
	// Entries is the history, the oldest first.
	Entries() []string
	// Output is where to print while an entry may be under edit: the entry is
	// taken off the screen and shown again below. Safe for many goroutines.
	Output() io.Writer
	// Close gives the terminal back, also under a Read, which ends. It is safe
	// to call at any time, and again.
	Close() error
}

// Prompt is what one [Editor.Read] asks for.
type Prompt struct {
	Text string // before the first line
	More string // before each further one
	// Whole tells whether Enter ends the entry; else it goes on in a new line.
	// pasted: nothing was typed since the last paste. Nil: every line is an entry.
	Whole func(text string, pasted bool) bool
}

// Options of [New].
type Options struct {
	In, Out *os.File
	// History is the file that entries are kept in; "": none. It is readable
	// by its owner alone.
	History string
	// Complete gives what the text before the cursor, a byte offset, can go on
	// with. It runs while Read does, never at the same time as itself, and must
	// not block. Nil: no completion.
	Complete func(text string, cursor int) Completion
	// Colour gives the styled parts of a text, in order. It is called for every key.
	Colour func(text string) []Span
}

// Completion is what can take the place of the text between From, a byte offset,
// and the cursor.
type Completion struct {
	From int
	List []Candidate // what is known at once
	// Later gives more of them, from something slow; nil: there are no more. It is called
	// on a goroutine of its own, and ctx ends when nobody waits any longer.
	Later func(ctx context.Context) []Candidate
}

// Candidate is one of them.
type Candidate struct {
	Text string
	Doc  string // one line, or ""
	End  string // what follows it when it has been chosen: a blank behind a word
}

// Span is a part of a text with a style, in bytes.
type Span struct {
	From, To int
	Style    string // the parameters of SGR: "1;32"
}

// New gives the editor for a terminal, and the plain one for anything else.
// Without colours (NO_COLOR) it suggests nothing, either: it could not be told
// from what was typed.
func New(o Options, terminal bool) (Editor, error) {
	if !terminal || os.Getenv("TERM") == "dumb" {
		return &plain{in: bufio.NewReader(o.In), out: o.Out, quiet: !terminal}, nil
	}
	return newTerminal(o)
}

// plain reads without editing.
type plain struct {
	in      *bufio.Reader
	out     io.Writer
	quiet   bool
	entries []string
}

func (p *plain) Read(prompt Prompt) (string, error) {
	text, show := "", prompt.Text
	for {
		if !p.quiet {
			fmt.Fprint(p.out, show)
		}
		line, err := p.in.ReadString('\n')
		if err != nil && line == "" && (text == "" || err != io.EOF) {
			return text, err
		}
		text += strings.TrimRight(line, "\r\n")
		if err != nil || prompt.Whole == nil || prompt.Whole(text, false) {
			return text, nil
		}
		text += "\n"
		show = prompt.More
	}
}

func (p *plain) Remember(entry string) {
	if entry = strings.TrimRight(entry, "\n"); entry != "" && !secret(entry) {
		p.entries = append(p.entries, entry)
	}
}

func (p *plain) Entries() []string { return p.entries }
func (p *plain) Output() io.Writer { return p.out }
func (p *plain) Close() error      { return nil }
