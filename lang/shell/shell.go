package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"nsh/lang/lineedit"
	"nsh/runtime/fault"
)

// Commands are the verbs. The methods are safe to call at once. One that also
// implements [CommandCompleter] completes its arguments.
type Commands interface {
	// IsVerb is a table that is fixed when the program is built.
	IsVerb(word string) bool
	// Suggest gives the verb that a mistyped word is nearest to, or "".
	Suggest(word string) string
	// Words are all verbs, for completion.
	Words() []string
	// Convert writes a command as the call in Starlark that does the same; with again
	// as one that finds nothing to do when it is done already, where there is one.
	Convert(argv []string, again bool) (string, error)
	// Reads tells whether a command changes nothing.
	Reads(argv []string) bool
	// Run runs a command and gives its exit status; it has said what went wrong.
	// io.Out is the Out of [Shell.Stdio] itself when nothing stands between the
	// command and the terminal: no pipe, no redirection, no $(…).
	Run(ctx context.Context, io Stdio, argv []string) int
}

// Scripts is the Starlark side. The methods are for one goroutine at a time. One
// that also implements [ScriptCompleter] completes attributes and keywords.
type Scripts interface {
	// Chunk runs an entry and gives what is to be shown of its value.
	Chunk(ctx context.Context, src string) (display string, err error)
	// Complete tells whether an entry needs no further line.
	Complete(src string) bool
	// Report makes an error readable; the text ends with a newline.
	Report(err error) string
	// ExitCode is the status of an error; quiet ones have nothing to say.
	ExitCode(err error) (code int, quiet bool)
	// Quits tells whether the error is exit().
	Quits(err error) bool
	// Lookup gives the words of a variable, and whether it is a list: sh splits
	// the one word of a text at its blanks, and never an element of a list.
	Lookup(name string) (words []string, list, ok bool)
	// Help is what "name?" prints.
	Help(name string) (string, bool)
	// Names are those that an expression can begin with, for completion.
	Names() []string
}

// Numbered is what [Scripts] may also be: it is told the number of the entry that
// comes next, by which reports, _3 and %save know it.
type Numbered interface{ Number(n int) }

// Shell runs lines. It is for one goroutine.
type Shell struct {
	Commands Commands
	Scripts  Scripts
	Stdio    Stdio
	// IsTool tells the words of the program that are about scripts and no verbs; nil:
	// there are none.
	IsTool func(word string) bool
	// Plan runs a line so that nothing is changed, and shows what would be; flags are
	// those of %plan. nil: there is no %plan.
	Plan func(ctx context.Context, io Stdio, flags []string, run func(context.Context) int) int
	// Interrupt gives a context that ends at Ctrl-C, for one unit at a prompt;
	// nil: nothing but its own end ends a unit.
	Interrupt func(context.Context) (context.Context, context.CancelFunc)

	record []Recorded
	// displayed: the unit that runs has shown a value.
	displayed bool

	quit    bool
	exited  bool // by exit()
	noted   map[string]bool
	depth   int             // of meta commands in each other
	session context.Context // of Interactive; nil elsewhere
	editor  lineedit.Editor // of Interactive
}

// Exited tells whether the session was ended by exit(), not by %quit or the end of the
// input.
func (s *Shell) Exited() bool { return s.exited }

// The prompts.
const (
	first = "nsh> "
	more  = "...> "
)

// RunString runs all units of a text and gives the status of the last one. It
// stops at the first that fails by Starlark or cannot be read; a command that fails
// does not stop it, as in sh.
func (s *Shell) RunString(ctx context.Context, text string) int {
	units, err := s.Split(text)
	code := 0
	for _, u := range units {
		if code = s.RunUnit(ctx, u); s.quit || ctx.Err() != nil || code != 0 && u.Verdict == Starlark {
			return code
		}
	}
	if err != nil {
		return s.complain(s.Stdio.Err, err, 2)
	}
	return code
}

// maxInput bounds a script that comes through a pipe.
const maxInput = 16 << 20

// RunReader is RunString for all that r gives.
func (s *Shell) RunReader(ctx context.Context, r io.Reader) int {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = fault.New(fault.Invalid, "the input has more than %d bytes", maxInput)
	}
	if err != nil {
		return s.complain(s.Stdio.Err, err, 2)
	}
	return s.RunString(ctx, string(data))
}

// RunUnit runs one unit and gives its exit status.
func (s *Shell) RunUnit(ctx context.Context, u Unit) int {
	switch u.Verdict {
	case Command:
		code := s.RunCommand(ctx, u.Text, s.Stdio)
		if code == 1 || code == 2 || code == 125 {
			s.commandHint(u.Text)
		}
		return code
	case Host:
		return s.runHost(ctx, trim(u.Text)[1:], s.Stdio)
	case Meta:
		return s.meta(ctx, trim(u.Text)[1:])
	case Help:
		name := helpName(trim(u.Text))
		if text, ok := s.Scripts.Help(name); ok {
			fmt.Fprint(s.Stdio.Out, text)
			return 0
		}
		return s.complain(s.Stdio.Err, fault.New(fault.NotFound, "no help for %q", name), 1)
	case Starlark:
		return s.starlark(ctx, u.Text)
	}
	return 0
}

// maxStarlark bounds a statement, as maxNesting does.
const maxStarlark = 1 << 20

func (s *Shell) starlark(ctx context.Context, text string) int {
	var z scanner
	z.feed(text)
	switch {
	case len(text) > maxStarlark:
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "the statement has more than %d bytes", maxStarlark), 2)
	case z.deepest > maxNesting:
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "more than %d brackets within each other", maxNesting), 2)
	case z.openCapture():
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "$( without its )"), 2)
	}
	s.assignNote(text)
	display, err := s.Scripts.Chunk(ctx, replaceCaptures(text, captureCall))
	if err == nil {
		if display != "" {
			s.displayed = true
			fmt.Fprintln(s.Stdio.Out, display)
		}
		return 0
	}
	code, quiet := s.Scripts.ExitCode(err)
	if s.Scripts.Quits(err) {
		s.quit, s.exited = true, true
		return code
	}
	if !quiet {
		if s.session != nil && ctx.Err() != nil {
			fmt.Fprintln(s.Stdio.Out) // behind the terminal's ^C
		}
		fmt.Fprint(s.Stdio.Err, s.Scripts.Report(err))
		if ctx.Err() == nil {
			s.starlarkHint(text)
		}
	}
	return code
}

// Interactive reads entries until the end of the input, %quit or exit(), and gives
// the status of the last. Ctrl-C ends what runs; at a prompt where nothing has been
// typed the second one leaves. The end of ctx ends it, too.
func (s *Shell) Interactive(ctx context.Context, ed lineedit.Editor) int {
	s.session, s.editor = ctx, ed
	// Between two units, too, a signal of the keyboard must not end the session.
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(ignored)
	stop := context.AfterFunc(ctx, func() { _ = ed.Close() })
	defer func() {
		stop()
		s.session, s.editor = nil, nil
	}()
	code := 0
	leaving := false
	for !s.quit && ctx.Err() == nil {
		text, err := ed.Read(lineedit.Prompt{Text: first, More: more, Whole: s.whole})
		switch {
		case errors.Is(err, lineedit.ErrInterrupt):
			if leaving && text == "" {
				return interrupted
			}
			if leaving = text == ""; leaving {
				_, _ = io.WriteString(s.Stdio.Err, "(Ctrl-C again, Ctrl-D or %quit leaves)\n")
			}
			continue
		case errors.Is(err, io.EOF):
			if ctx.Err() != nil {
				return interrupted
			}
			return code
		case err != nil:
			return s.complain(s.Stdio.Err, err, 1)
		}
		leaving = false
		ed.Remember(text)
		if strings.Trim(text, blanks) != "" {
			code = s.runUnits(ctx, text)
		}
	}
	return code
}

// runUnits runs what was typed or pasted, up to the first unit that fails, and tells
// which that was when it was not the last.
func (s *Shell) runUnits(ctx context.Context, text string) int {
	units, err := s.Split(text)
	code := 0
	for i, u := range units {
		if n, ok := s.Scripts.(Numbered); ok {
			n.Number(len(s.record) + 1)
		}
		code = s.interruptible(ctx, u)
		s.remember(u, code)
		if s.quit {
			return code
		}
		if code != 0 {
			if i < len(units)-1 || err != nil {
				line, _, _ := strings.Cut(u.Text, "\n")
				fmt.Fprintf(s.Stdio.Err, "nsh: line %d failed, the rest was not run: %s\n", u.Line, line)
			}
			return code
		}
	}
	if err != nil {
		code = s.complain(s.Stdio.Err, err, 2)
	}
	return code
}

// interruptible runs a unit that Ctrl-C ends.
func (s *Shell) interruptible(ctx context.Context, u Unit) int {
	if s.Interrupt != nil {
		var cancel context.CancelFunc
		ctx, cancel = s.Interrupt(ctx)
		defer cancel()
	}
	return s.RunUnit(ctx, u)
}

// NotifyInterrupt is an Interrupt that goes by the process's SIGINT. blocked tells
// that the signal is for somebody else at this moment.
func NotifyInterrupt(blocked func() bool) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGINT)
		go func() {
			for {
				select {
				case <-ch:
					if blocked == nil || !blocked() {
						cancel()
					}
				case <-ctx.Done():
					return
				}
			}
		}()
		return ctx, func() { signal.Stop(ch); cancel() }
	}
}
