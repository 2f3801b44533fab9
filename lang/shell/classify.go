// Package shell is the prompt of nsh: it tells what a line is, splits what was
// typed or pasted into units, runs command lines by POSIX shell syntax with nsh's
// verbs inside the process, and the rest as Starlark.
//
// It knows neither verbs nor containers: [Commands] and [Scripts] do.
package shell

import (
	"strings"
	"unicode"
)

// Verdict is what a line is.
type Verdict int

// The verdicts. They depend on the text of the line and the fixed table of
// verbs, never on variables, files or PATH: a line means the same everywhere.
const (
	Nothing  Verdict = iota // blank, or a comment
	Starlark                // goes on over more lines until its parser is satisfied
	Command                 // POSIX shell syntax
	Host                    // ! and a line for the user's own shell
	Meta                    // % and a command for the shell itself
	Help                    // name?
)

func (v Verdict) String() string {
	return [...]string{"nothing", "starlark", "command", "host", "meta", "help"}[v]
}

// Classify decides by the text of a line alone, in this order:
//
//  1. "!…" is for the host's shell, "%…" for nsh's, and "name?" asks for help.
//  2. "docker …" and "nerdctl …" are commands in any case.
//  3. A first word that is no verb: Starlark.
//  4. A verb before "(", ",", "=" or an augmented assignment: Starlark.
//  5. A verb touched by anything but a blank, the end, or one of ; | & < >: Starlark.
//  6. Otherwise a command.
//
// A comment behind a line never changes what it is. Of a text of several lines
// the first decides.
func Classify(line string, isVerb func(string) bool) Verdict {
	s := trim(line)
	switch {
	case s == "" || s[0] == '#':
		return Nothing
	case s[0] == '!':
		return Host
	case s[0] == '%':
		return Meta
	case helpName(s) != "":
		return Help
	}
	word := firstWord(s)
	rest := s[len(word):]
	if (word == "docker" || word == "nerdctl") && (rest == "" || isBlank(rest[0])) {
		return Command
	}
	if word == "" || !isVerb(word) {
		return Starlark
	}
	if rest != "" && !isBlank(rest[0]) && !strings.ContainsRune(";|&<>", rune(rest[0])) {
		return Starlark
	}
	if assigns(rest) || strings.HasPrefix(strings.TrimLeft(rest, " \t"), "(") || strings.HasPrefix(strings.TrimLeft(rest, " \t"), ",") {
		return Starlark
	}
	return Command
}

// assigns tells whether what follows a word begins with =, so also ==, or an
// augmented assignment.
func assigns(rest string) bool {
	rest = strings.TrimLeft(rest, " \t")
	for _, op := range []string{"=", "+=", "-=", "*=", "/=", "//=", "%=", "&=", "|=", "^=", "<<=", ">>="} {
		if strings.HasPrefix(rest, op) {
			return true
		}
	}
	return false
}

// blanks separate the words of a line. Other white space that Unicode knows is
// left to the parsers, which refuse it.
const blanks = " \t\r\n"

func isBlank(c byte) bool { return strings.IndexByte(blanks, c) >= 0 }

// trim drops blanks around a line, and the "$ " of a pasted transcript.
func trim(line string) string {
	s := strings.Trim(line, blanks)
	if rest, ok := strings.CutPrefix(s, "$"); ok && (rest == "" || isBlank(rest[0])) {
		s = strings.Trim(rest, blanks)
	}
	return s
}

// firstWord is the identifier that a line begins with, "" when it begins with
// something else.
func firstWord(s string) string {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return s[:i]
		}
	}
	return s
}

// helpName takes "a.b.c?", and is "" for anything else.
func helpName(s string) string {
	name, comment, ok := strings.Cut(s, "?")
	if comment = strings.TrimLeft(comment, blanks); !ok || comment != "" && comment[0] != '#' {
		return ""
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || firstWord(part) != part {
			return ""
		}
	}
	return name
}
