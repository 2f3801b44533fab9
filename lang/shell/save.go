package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.starlark.net/resolve"
	starsyntax "go.starlark.net/syntax"
	"mvdan.cc/sh/v3/syntax"

	"nsh/runtime/fault"
)

// Recorded is one unit that the session has run: what %save writes from.
type Recorded struct {
	Number  int // from 1, as in the names of entries
	Unit    Unit
	Failed  bool
	Display bool // its value was shown
}

// maxRecord bounds what a session remembers.
const maxRecord = 10000

func (s *Shell) remember(u Unit, code int) {
	if len(s.record) < maxRecord {
		s.record = append(s.record, Recorded{Number: len(s.record) + 1, Unit: u, Failed: code != 0, Display: s.displayed})
	}
	s.displayed = false
}

// plan runs a line so that nothing is changed.
func (s *Shell) plan(ctx context.Context, rest string) int {
	var flags []string
	for strings.HasPrefix(rest, "--") {
		flag, more, _ := strings.Cut(rest, " ")
		flags = append(flags, flag)
		rest = strings.TrimLeft(more, blanks)
	}
	switch {
	case s.Plan == nil:
		return s.complain(s.Stdio.Err, fault.New(fault.Unavailable, "there is no %%plan here"), 1)
	case rest == "":
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%plan: want a line, as in %%plan rm -f web"), 2)
	}
	return s.Plan(ctx, s.Stdio, flags, func(ctx context.Context) int {
		// What a command prints, IDs that nothing has, is not for anybody.
		out := s.Stdio
		defer func() { s.Stdio = out }()
		s.Stdio.Out = nowhere{}
		return s.nested(ctx, rest)
	})
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// save writes the session as a script.
func (s *Shell) save(rest string) int {
	words := strings.Fields(rest)
	if len(words) == 0 {
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%save: want a file, as in %%save flow.star, or %%save flow.star 3-7"), 2)
	}
	path := ""
	from, to := 1, len(s.record)
	for _, w := range words {
		if a, b, err := span(w); err == nil {
			from, to = a, b
		} else if path == "" {
			path = w
		} else {
			return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%save: %q is no span of entries", w).WithHint("write 3-7, or one number"), 2)
		}
	}
	if path == "" {
		path = words[0]
	}
	if !strings.HasSuffix(path, ".star") {
		path += ".star"
	}
	var some []Recorded
	for _, r := range s.record {
		if r.Number >= from && r.Number <= to {
			some = append(some, r)
		}
	}
	text, n := s.Script(some)
	if n == 0 {
		return s.complain(s.Stdio.Err, fault.New(fault.Invalid, "%%save: there is nothing to write: no entry of these has succeeded"), 1)
	}
	// A script that somebody wrote is not lost to a slip.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return s.complain(s.Stdio.Err, fault.New(fault.Conflict, "%s is there already", path).WithHint("choose another name, or remove it: !rm %s", path), 1)
	}
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return s.complain(s.Stdio.Err, fault.Wrap(err, "save", path), 1)
	}
	fmt.Fprintf(s.Stdio.Out, "%s: %d entries. nsh plan %[1]s shows what it would change, nsh %[1]s runs it.\n", filepath.Clean(path), n)
	return 0
}

// span takes N or N-M.
func span(word string) (from, to int, err error) {
	a, b, ranged := strings.Cut(word, "-")
	if !ranged {
		b = a
	}
	if from, err = strconv.Atoi(a); err == nil {
		to, err = strconv.Atoi(b)
	}
	if err == nil && (from < 1 || to < from) {
		err = strconv.ErrRange
	}
	return from, to, err
}

// Script writes units as a script that does the same, and tells how many it took.
// Those that failed, and those that only look or are for the prompt itself, are left out.
func (s *Shell) Script(record []Recorded) (text string, n int) {
	var b strings.Builder
	for _, r := range record {
		if r.Failed {
			continue
		}
		part := ""
		switch r.Unit.Verdict {
		case Command:
			c, err := s.convert(r.Unit.Text)
			if err != nil {
				c = "sh(" + quoteStarlark(trim(r.Unit.Text)) + ")\n"
			}
			part = c
		case Host:
			part = "host.run(\"sh\", \"-c\", " + quoteStarlark(strings.Trim(trim(r.Unit.Text)[1:], blanks)) + ")\n"
		case Starlark:
			part = s.starlarkScript(r)
		}
		if part != "" {
			n++
			if strings.HasPrefix(part, "def ") && b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(part)
			if strings.HasPrefix(part, "def ") {
				b.WriteByte('\n')
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", n
}

// starlarkScript is an entry as it stands, with its captures as calls. One that only
// showed a value is for looking.
func (s *Shell) starlarkScript(r Recorded) string {
	text := strings.TrimRight(r.Unit.Text, blanks)
	if r.Display {
		return "" // looked at, and nothing made of it
	}
	return replaceCaptures(text, captureCall) + "\n"
}

// Convert writes a line of a prompt as Starlark: a command as the call that does the
// same, with again as one that finds nothing to do when that is done already; what goes
// through host programs as host.run. The text ends with a newline.
func (s *Shell) Convert(line string, again bool) (string, error) {
	units, err := s.Split(line)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, u := range units {
		switch u.Verdict {
		case Command:
			text, err := s.command(u.Text, mode{looks: true, again: again})
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		case Host:
			b.WriteString("host.run(\"sh\", \"-c\", " + quoteStarlark(strings.Trim(trim(u.Text)[1:], blanks)) + ")\n")
		case Starlark:
			b.WriteString(replaceCaptures(strings.TrimRight(u.Text, "\n"), captureCall) + "\n")
		default:
			return "", fault.New(fault.Invalid, "%q is for the prompt: a script has nothing like it", trim(u.Text))
		}
	}
	return b.String(), nil
}

// convert is [Shell.Convert] of a command for a script that is run more than once: what
// only looks is left out.
func (s *Shell) convert(line string) (string, error) { return s.command(line, mode{again: true}) }

// mode is how command lines are converted: looks keeps those that change nothing, again
// is that of [Commands.Convert].
type mode struct{ looks, again bool }

// command writes a command line as calls.
func (s *Shell) command(line string, m mode) (string, error) {
	file, err := s.parse(line)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, stmt := range file.Stmts {
		if err := s.statement(&b, stmt, m); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// statement writes one simple command, or a chain of them with &&, which in a script
// is one after the other: the first that fails ends it.
func (s *Shell) statement(b *strings.Builder, stmt *syntax.Stmt, m mode) error {
	if len(stmt.Redirs) == 0 && !stmt.Negated {
		switch c := stmt.Cmd.(type) {
		case *syntax.BinaryCmd:
			if c.Op == syntax.AndStmt {
				if err := s.statement(b, c.X, m); err != nil {
					return err
				}
				return s.statement(b, c.Y, m)
			}
			if text, ok := s.pipe(c); ok {
				b.WriteString(text + "\n")
				return nil
			}
		case *syntax.CallExpr:
			w := &words{s: s, again: m.again}
			if argv, ok := w.all(c); ok {
				if argv[0] == marked1 && (len(argv) == 1 || !m.looks && s.Commands.Reads(argv[1:])) {
					return nil
				}
				text, err := w.call(argv, "")
				if err == nil && text != "" {
					b.WriteString(text + "\n")
				}
				if err != nil || text != "" {
					return err
				}
			}
		}
	}
	// What sh alone can do stays a line of sh.
	line := s.printed(stmt)
	if name := s.variable(stmt); name != "" {
		line = strings.ReplaceAll(line, `"${`+name+`[@]}"`, "$"+name) // as it was before it was spread
		fmt.Fprintf(b, "# not converted, it uses $%s: %s\n", name, strings.ReplaceAll(line, "\n", " "))
		return nil
	}
	b.WriteString("sh(" + quoteStarlark(line) + ")\n")
	return nil
}

// marked1 is what stands before the verbs in a parsed line.
const marked1 = "docker"

// printed is a statement as text, without the markers.
func (s *Shell) printed(n syntax.Node) string {
	var b strings.Builder
	// It has been parsed: it can be printed.
	_ = syntax.NewPrinter().Print(&b, n)
	return strings.ReplaceAll(strings.TrimSpace(b.String()), marker, "")
}

// variable gives the name of a variable of the session that a statement uses: a
// script has no such thing for sh to look up.
func (s *Shell) variable(stmt *syntax.Stmt) (name string) {
	syntax.Walk(stmt, func(n syntax.Node) bool {
		if pe, ok := n.(*syntax.ParamExp); ok && pe.Param != nil {
			if _, _, ok := s.Scripts.Lookup(pe.Param.Value); ok {
				name = pe.Param.Value
			}
		}
		return true
	})
	return name
}

// pipe writes "ps -q | wc -l" as host.run("wc", "-l", stdin = sh("ps -q").stdout).
func (s *Shell) pipe(c *syntax.BinaryCmd) (string, bool) {
	y, ok := c.Y.Cmd.(*syntax.CallExpr)
	if c.Op != syntax.Pipe || !ok || len(c.X.Redirs)+len(c.Y.Redirs) > 0 || s.variable(c.X) != "" {
		return "", false
	}
	w := &words{s: s}
	argv, ok := w.all(y)
	if !ok || argv[0] == marked1 {
		return "", false
	}
	in := "sh(" + quoteStarlark(s.printed(c.X)) + ")"
	if x, isPipe := c.X.Cmd.(*syntax.BinaryCmd); isPipe {
		if in, ok = s.pipe(x); !ok {
			return "", false
		}
	}
	text, err := w.call(argv, "stdin = "+in+".stdout")
	return text, err == nil && text != ""
}

// words collects what stands for the words of a command that are no plain text.
type words struct {
	s     *Shell
	again bool // see [Commands.Convert]
	// exprs are the Starlark of such words, by the placeholder that stands for them.
	exprs map[string]string
}

// all gives the words of a command; ok is false when sh itself has to look at one.
func (w *words) all(c *syntax.CallExpr) (argv []string, ok bool) {
	if len(c.Assigns) > 0 || len(c.Args) == 0 {
		return nil, false
	}
	w.exprs = map[string]string{}
	for _, a := range c.Args {
		text, ok := literalWord(a)
		if !ok {
			expr := w.expr(a)
			if expr == "" {
				return nil, false
			}
			text = fmt.Sprintf("__word%d__", len(w.exprs))
			w.exprs[text] = expr
		}
		argv = append(argv, text)
	}
	return argv, true
}

// expr is a word that is wholly a variable or a $(…), as Starlark; "" for any other.
// A * before it spreads what stands for several words.
func (w *words) expr(a *syntax.Word) string {
	if len(a.Parts) != 1 {
		return ""
	}
	part := a.Parts[0]
	quoted := false
	if q, ok := part.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		part, quoted = q.Parts[0], true
	}
	switch p := part.(type) {
	case *syntax.ParamExp:
		if p.Param == nil || p.Exp != nil || p.Repl != nil || p.Slice != nil || p.Length || p.Excl || p.Width {
			return ""
		}
		_, list, known := w.s.Scripts.Lookup(p.Param.Value)
		switch {
		case known && list:
			return "*" + p.Param.Value
		case known:
			return p.Param.Value
		}
		return "host.env(" + quoteStarlark(p.Param.Value) + ")"
	case *syntax.CmdSubst:
		var lines []string
		for _, st := range p.Stmts {
			if w.s.variable(st) != "" {
				return ""
			}
			lines = append(lines, w.s.printed(st))
		}
		text := "sh(" + quoteStarlark(strings.Join(lines, "; ")) + ").stdout"
		if quoted {
			return text + `.rstrip("\n")`
		}
		return "*" + text + ".split()"
	}
	return ""
}

// call writes a command as a call; "" when that would be no Starlark. extra is a
// further keyword.
func (w *words) call(argv []string, extra string) (string, error) {
	var text string
	if argv[0] == marked1 {
		var err error
		if text, err = w.s.Commands.Convert(argv[1:], w.again); err != nil {
			return "", err
		}
	} else {
		quoted := make([]string, len(argv))
		for i, a := range argv {
			quoted[i] = quoteStarlark(a)
		}
		if extra != "" {
			quoted = append(quoted, extra)
		}
		text = "host.run(" + strings.Join(quoted, ", ") + ")"
	}
	for name, expr := range w.exprs {
		if list, ok := strings.CutPrefix(expr, "*"); ok && argv[0] == marked1 {
			// A list stands for all that is left: a verb takes it as its only such argument.
			if !onlyRest(text, `"`+name+`"`) {
				return "", nil
			}
			expr = list
		}
		text = strings.ReplaceAll(text, `"`+name+`"`, expr)
	}
	f, err := (&starsyntax.FileOptions{}).Parse("", text, 0)
	if err == nil {
		err = resolve.File(f, func(string) bool { return true }, func(string) bool { return true })
	}
	if err != nil || strings.Contains(text, "__word") {
		return "", nil
	}
	return text, nil
}

// onlyRest tells whether a word is the first argument of a call, or the second of one that
// takes a command, and the last one without a name.
func onlyRest(call, word string) bool {
	name, args, _ := strings.Cut(call, "(")
	before, after, ok := strings.Cut(args, word)
	if !ok || after != ")" && !keywordFollows(after) {
		return false
	}
	switch name {
	case "run", "create", "exec", "ensure.container":
		return strings.Count(before, ", ") == 1 && strings.HasSuffix(before, ", ")
	}
	return before == ""
}

// keywordFollows tells whether the text goes on with an argument that has a name.
func keywordFollows(text string) bool {
	text, ok := strings.CutPrefix(text, ", ")
	name, _, assigned := strings.Cut(text, " = ")
	return ok && assigned && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

func literalWord(w *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(p.Value, "*?[~") {
				return "", false // a glob is looked up when it runs
			}
			b.WriteString(unescape(p.Value))
		case *syntax.SglQuoted:
			if p.Dollar {
				return "", false
			}
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				lit, ok := q.(*syntax.Lit)
				if !ok || p.Dollar {
					return "", false
				}
				b.WriteString(unescapeQuoted(lit.Value))
			}
		default:
			return "", false
		}
	}
	return b.String(), true
}

// unescape takes the backslashes off, as sh does outside of quotes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unescapeQuoted takes off those that mean something within double quotes.
func unescapeQuoted(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// LineChecker is what [Commands] may also be.
type LineChecker interface {
	// CheckLine tells what a command would be refused for.
	CheckLine(argv []string) error
}

// CheckLine tells what a command line would be refused for before anything is done. Of
// words that sh has yet to expand nothing is known.
func (s *Shell) CheckLine(line string) error {
	file, err := s.parse(line)
	if err != nil {
		return err
	}
	c, ok := s.Commands.(LineChecker)
	if !ok {
		return nil
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || err != nil || len(call.Assigns) > 0 {
			return true
		}
		var argv []string
		for _, a := range call.Args {
			w, ok := literalWord(a)
			if !ok {
				return true
			}
			argv = append(argv, w)
		}
		if len(argv) > 1 && argv[0] == marked1 {
			err = c.CheckLine(argv[1:])
		}
		return true
	})
	return err
}
