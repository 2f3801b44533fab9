package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"nsh/runtime/fault"
)

// Unit is one thing to run: a command line, a Starlark statement, …
type Unit struct {
	Verdict Verdict
	Text    string
	Line    int // of the first line, from 1
}

// Split cuts a pasted text, a -c string or piped input into units. A Starlark
// block ends at the next line at column 0 that does not continue it, not at a
// blank line, so that a pasted function may have some. A command ends where its
// quotes are closed and no backslash is left. With an error come the units
// before the line that it is about.
func (s *Shell) Split(text string) ([]Unit, error) {
	lines := strings.SplitAfter(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	var out []Unit
	for n := 0; n < len(lines); {
		start := n
		v := Classify(lines[n], s.Commands.IsVerb)
		if v == Nothing {
			n++
			continue
		}
		if v == Starlark && (lines[n][0] == ' ' || lines[n][0] == '\t') {
			return out, fault.New(fault.Invalid, "line %d: unexpected indent", n+1).WithHint("a statement begins at the start of its line")
		}
		n++
		switch v {
		case Command:
			for n < len(lines) && !commandWhole(strings.Join(lines[start:n], "")) {
				n++
			}
		case Starlark:
			var z scanner
			z.feed(lines[start])
			for n < len(lines) {
				more := 1
				if z.whole() {
					more = continuing(lines[n:])
				}
				if more == 0 {
					break
				}
				z.feed(strings.Join(lines[n:n+more], ""))
				n += more
			}
		}
		out = append(out, Unit{Verdict: v, Text: strings.TrimRight(strings.Join(lines[start:n], ""), "\n"), Line: start + 1})
	}
	return out, nil
}

// continuing tells how many of the lines belong to the block above them without
// doubt: the first that is indented, or takes up an if or a for, and the blank ones
// and comments before it.
func continuing(lines []string) int {
	for n, line := range lines {
		t := strings.Trim(line, blanks)
		if t == "" || t[0] == '#' && line[0] == '#' {
			continue
		}
		if w := firstWord(line); line[0] == ' ' || line[0] == '\t' || w == "else" || w == "elif" {
			return n + 1
		}
		break
	}
	return 0
}

// whole tells whether an entry that somebody types at the prompt needs no further
// line: a command by sh's rules, Starlark by its parser's, which wants a blank line
// after a block that was typed, and none after one that was pasted. Of a paste of
// many units the last one counts.
func (s *Shell) whole(text string, pasted bool) bool {
	units, err := s.Split(text)
	if err != nil || len(units) == 0 {
		return true
	}
	last := units[len(units)-1]
	switch last.Verdict {
	case Command:
		return commandWhole(last.Text)
	case Starlark:
		tail := strings.Join(strings.SplitAfter(strings.ReplaceAll(text, "\r\n", "\n"), "\n")[last.Line-1:], "")
		if pasted {
			tail += "\n"
		}
		var z scanner
		z.feed(tail)
		return z.whole() && s.Scripts.Complete(replaceCaptures(tail, func(capture) string { return `""` })+"\n")
	}
	return true
}

// commandWhole tells whether a command line needs no further line.
func commandWhole(text string) bool {
	t := strings.TrimRight(text, "\n")
	if odd(t) {
		return false
	}
	_, err := parseCommand(marked(t) + "\n")
	return !syntax.IsIncomplete(err)
}

// odd tells whether a text ends with a backslash that is not itself escaped.
func odd(t string) bool {
	n := len(t) - len(strings.TrimRight(t, `\`))
	return n%2 == 1
}
