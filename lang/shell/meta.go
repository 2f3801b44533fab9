package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nsh/runtime/fault"
)

const metaHelp = `A line is a command when it begins with a verb: ps -a, run -d nginx, images | grep web.
Anything else is Starlark: containers(), for c in containers(): c.stop(), x = $(ps -q).

  name?            help on a verb or a function
  !LINE            the host's own shell
  %time LINE       how long a line takes
  %x EXPR          a value with all its fields
  %plan LINE       what a line would change; --json, --as-docker
  %save FILE [N-M] write the session, or some entries of it, as a script
  %watch [N] LINE  a line every N seconds, or 2, until Ctrl-C
  %history [N]     the last N entries, or 20
  %edit [N]        the last entry, or the last but N, in $EDITOR, and then run it
  %help            this text
  %quit            leave, as Ctrl-D does
`

type wideKey struct{}

// IsWide tells whether values are to be shown whole: the %x of a line.
func IsWide(ctx context.Context) bool { return ctx.Value(wideKey{}) != nil }

// meta runs what follows a %.
func (s *Shell) meta(ctx context.Context, line string) int {
	word, rest, _ := strings.Cut(strings.Trim(line, blanks), " ")
	rest = strings.Trim(rest, blanks)
	switch word {
	case "quit", "exit":
		s.quit = true
		return 0
	case "help", "":
		_, _ = io.WriteString(s.Stdio.Out, metaHelp)
		return 0
	case "time":
		start := time.Now()
		code := s.nested(ctx, rest)
		fmt.Fprintf(s.Stdio.Err, "%.3f s\n", time.Since(start).Seconds())
		return code
	case "watch":
		return s.watch(ctx, rest)
	case "history":
		return s.history(rest)
	case "edit":
		return s.edit(ctx, rest)
	case "x":
		return s.nested(context.WithValue(ctx, wideKey{}, true), rest)
	case "save":
		return s.save(rest)
	case "plan":
		return s.plan(ctx, rest)
	}
	return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%%s: there is no such command of the shell", word).WithHint("%s", "%help lists the commands"), 1)
}

// maxMeta bounds how many meta commands may be arguments of each other.
const maxMeta = 20

// nested runs the line that is the argument of a meta command.
func (s *Shell) nested(ctx context.Context, line string) int {
	if s.depth++; s.depth > maxMeta {
		s.depth--
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%% within %% more than %d times", maxMeta), 2)
	}
	defer func() { s.depth-- }()
	return s.RunString(ctx, line)
}

// history prints the last entries, with the numbers that a %edit behind it takes.
func (s *Shell) history(arg string) int {
	n := 20
	if arg != "" {
		var err error
		if n, err = strconv.Atoi(arg); err != nil || n < 1 {
			return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%history: want how many entries, as in %%history 50"), 2)
		}
	}
	if s.editor == nil {
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%history is for the prompt"), 2)
	}
	entries := s.editor.Entries()
	for i := max(0, len(entries)-n); i < len(entries); i++ {
		text := strings.ReplaceAll(entries[i], "\n", "\n      ")
		if _, err := fmt.Fprintf(s.Stdio.Out, "%4d  %s\n", len(entries)-i, text); err != nil {
			return 1
		}
	}
	return 0
}

// edit gives an entry of the history to the user's editor and runs what comes back.
func (s *Shell) edit(ctx context.Context, arg string) int {
	if s.editor == nil {
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%edit is for the prompt"), 2)
	}
	back := 1
	if arg != "" {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 {
			return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%edit: want how many entries to go back, as in %%edit 2"), 2)
		}
		back = n
	}
	text := ""
	entries := s.editor.Entries()
	// The last one is this line itself.
	if i := len(entries) - 1 - back; i >= 0 {
		text = entries[i]
	}
	text, err := s.edited(ctx, text)
	if err != nil {
		return s.complain(s.Stdio.Err, err, 1)
	}
	if strings.Trim(text, blanks) == "" {
		return 0
	}
	s.editor.Remember(text)
	for line := range strings.Lines(text) {
		fmt.Fprintf(s.Stdio.Out, "%s%s", more, line)
	}
	if !strings.HasSuffix(text, "\n") {
		fmt.Fprintln(s.Stdio.Out)
	}
	return s.runUnits(ctx, text)
}

// edited opens the editor on a private file and gives what it left there.
func (s *Shell) edited(ctx context.Context, text string) (string, error) {
	dir, err := os.MkdirTemp("", "nsh-edit-")
	if err != nil {
		return "", fault.Wrap(err, "edit", "")
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "entry.star")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		return "", fault.Wrap(err, "edit", path)
	}
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	// $EDITOR may have arguments.
	if code := s.runHost(ctx, editor+" '"+strings.ReplaceAll(path, "'", `'\''`)+"'", s.Stdio); code != 0 {
		return "", fault.New(fault.Invalid, "%s ended with status %d: nothing is run", editor, code).WithHint("$EDITOR names the editor")
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(data), fault.Wrap(err, "edit", path)
}
