package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nsh/lang/lineedit"
	"nsh/runtime/fault"
)

// Commands are the verbs. The methods are safe to call at once.
type Commands interface {
	// IsVerb is a table that is fixed when the program is built.
	IsVerb(word string) bool
	// Suggest gives the verb that a mistyped word is nearest to, or "".
	Suggest(word string) string
	// Words are all verbs, for completion.
	Words() []string
	// Run runs a command and gives its exit status; it has said what went wrong.
	Run(ctx context.Context, io Stdio, argv []string) int
}

// Scripts is the Starlark side. The methods are for one goroutine at a time.
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
	// Lookup gives the words of a variable.
	Lookup(name string) ([]string, bool)
	// Help is what "name?" prints.
	Help(name string) (string, bool)
	// Names are those that an expression can begin with, for completion.
	Names() []string
}

// Shell runs lines. It is for one goroutine.
type Shell struct {
	Commands Commands
	Scripts  Scripts
	Stdio    Stdio
	// Interrupt gives a context that ends at Ctrl-C, for one unit at a prompt.
	Interrupt func(context.Context) (context.Context, context.CancelFunc)

	quit  bool
	noted map[string]bool
}

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
		name := strings.TrimSuffix(trim(u.Text), "?")
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

func (s *Shell) starlark(ctx context.Context, text string) int {
	if _, err := splitCaptures(text); err != nil {
		return s.complain(s.Stdio.Err, err, 2)
	}
	s.assignNote(text)
	display, err := s.Scripts.Chunk(ctx, replaceCaptures(text, captureCall))
	if err == nil {
		if display != "" {
			fmt.Fprintln(s.Stdio.Out, display)
		}
		return 0
	}
	code, quiet := s.Scripts.ExitCode(err)
	if s.Scripts.Quits(err) {
		s.quit = true
		return code
	}
	if !quiet {
		fmt.Fprint(s.Stdio.Err, s.Scripts.Report(err))
		s.starlarkHint(text)
	}
	return code
}

// assignNote tells once that a variable with a verb's name does not hide the verb.
func (s *Shell) assignNote(text string) {
	w := firstWord(trim(text))
	rest := strings.TrimLeft(strings.TrimPrefix(trim(text), w), " \t")
	if s.Commands.IsVerb(w) && strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==") && !s.noted[w] {
		if s.noted == nil {
			s.noted = map[string]bool{}
		}
		s.noted[w] = true
		fmt.Fprintf(s.Stdio.Err, "note: %q alone still runs the command; write (%s) for the variable\n", w, w)
	}
}

// starlarkHint helps with a line that may have been meant as something else.
func (s *Shell) starlarkHint(text string) {
	line := trim(text)
	w := firstWord(line)
	rest := line[len(w):]
	if w == "" || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return
	}
	if _, err := exec.LookPath(w); err == nil {
		fmt.Fprintf(s.Stdio.Err, "hint: %q is a program of the host: write !%s\n", w, line)
		return
	}
	if v := s.Commands.Suggest(w); v != "" {
		fmt.Fprintf(s.Stdio.Err, "hint: did you mean the command %q?\n", v)
	}
}

// commandHint helps with a command line that reads like an expression.
func (s *Shell) commandHint(text string) {
	for _, w := range strings.Fields(text)[min(1, len(strings.Fields(text))):] {
		switch w {
		case "if", "in", "and", "or", "not", "==", "!=", "-", "+", "[0]":
			fmt.Fprintf(s.Stdio.Err, "hint: to evaluate this as Starlark write (%s)\n", trim(text))
			return
		}
	}
}

func (s *Shell) meta(ctx context.Context, line string) int {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "quit", "exit":
		s.quit = true
		return 0
	case "help", "":
		_, _ = io.WriteString(s.Stdio.Out, metaHelp)
		return 0
	case "time":
		start := time.Now()
		code := s.RunString(ctx, rest)
		fmt.Fprintf(s.Stdio.Err, "%.3f s\n", time.Since(start).Seconds())
		return code
	case "watch":
		return s.watch(ctx, rest)
	}
	return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%%s: there is no such command of the shell, or it is not built yet", word).WithHint("%s", "%help lists the commands"), 1)
}

const metaHelp = `A line is a command when it begins with a verb: ps -a, run -d nginx, images | grep web.
Anything else is Starlark: containers(), for c in containers(): c.stop(), x = $(ps -q).

  name?            help on a verb or a function
  !LINE            the host's own shell
  %time LINE       how long a line takes
  %watch N LINE    a line every N seconds, until Ctrl-C
  %help            this text
  %quit            leave, as Ctrl-D does
`

func (s *Shell) watch(ctx context.Context, line string) int {
	n, rest, _ := strings.Cut(line, " ")
	secs, err := strconv.ParseFloat(n, 64)
	if err != nil || secs <= 0 || strings.TrimSpace(rest) == "" {
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%watch: want seconds and a line, as in %%watch 2 ps"), 2)
	}
	for {
		fmt.Fprint(s.Stdio.Out, "\x1b[H\x1b[2J")
		code := s.RunString(ctx, rest)
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(time.Duration(secs * float64(time.Second))):
		}
		if s.quit {
			return code
		}
	}
}

// Interactive reads lines until the end of the input, %quit or exit(), and gives
// the status of the last.
func (s *Shell) Interactive(ctx context.Context, ed lineedit.Editor) int {
	code := 0
	interrupted := false
	for !s.quit {
		text, err := s.read(ed)
		switch {
		case errors.Is(err, lineedit.ErrInterrupt):
			if interrupted && text == "" {
				return 130
			}
			interrupted = text == ""
			if interrupted {
				_, _ = io.WriteString(s.Stdio.Err, "(Ctrl-C again, Ctrl-D or %quit leaves)\n")
			}
			continue
		case errors.Is(err, io.EOF):
			return code
		case err != nil:
			return s.complain(s.Stdio.Err, err, 1)
		}
		interrupted = false
		units, err := s.Split(text)
		for _, u := range units {
			code = s.interruptible(ctx, u)
			if s.quit || code != 0 {
				break
			}
		}
		if err != nil {
			code = s.complain(s.Stdio.Err, err, 2)
		}
	}
	return code
}

// interruptible runs a unit that Ctrl-C ends.
func (s *Shell) interruptible(ctx context.Context, u Unit) int {
	ctx, cancel := s.Interrupt(ctx)
	defer cancel()
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

// read takes lines until they are whole: a command by sh's rules, Starlark by
// its parser's, which wants a blank line after a block.
func (s *Shell) read(ed lineedit.Editor) (string, error) {
	text, err := ed.Line("nsh> ")
	if err != nil {
		return text, err
	}
	// Pasted lines come as one; they are split, and run one after the other. What
	// is typed line by line is one unit, and a block of it ends with a blank line.
	enough := s.whole
	if strings.Contains(strings.TrimRight(text, "\n"), "\n") {
		enough = s.pastedWhole
	}
	for !enough(text) {
		more, err := ed.Line("...> ")
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return text, err
		}
		text += "\n" + more
	}
	ed.Remember(text)
	return text, nil
}

func (s *Shell) whole(text string) bool {
	switch Classify(text, s.Commands.IsVerb) {
	case Command:
		return commandWhole(text)
	case Starlark:
		if _, err := splitCaptures(text); err != nil {
			return false
		}
		return s.Scripts.Complete(uncaptured(text) + "\n")
	}
	return true
}

func (s *Shell) pastedWhole(text string) bool {
	units, err := s.Split(text)
	if err != nil || len(units) == 0 {
		return true
	}
	last := units[len(units)-1]
	return last.Verdict != Starlark && last.Verdict != Command || s.starlarkWhole(last.Text) || last.Verdict == Command && commandWhole(last.Text)
}

// Complete gives what the word before the cursor can become: verbs at the start of
// a line, then names of the language.
func (s *Shell) Complete(before string) []string {
	i := strings.LastIndexFunc(before, func(r rune) bool { return strings.ContainsRune(" \t;|&(,=[{", r) }) + 1
	word := before[i:]
	var from []string
	if strings.TrimSpace(before[:i]) == "" {
		from = append(from, s.Commands.Words()...)
	}
	from = append(from, s.Scripts.Names()...)
	seen := map[string]bool{}
	var out []string
	for _, c := range from {
		if word != "" && strings.HasPrefix(c, word) && c != word && !seen[c] {
			seen[c] = true
			out = append(out, c[len(word):])
		}
	}
	sort.Strings(out)
	return out
}
