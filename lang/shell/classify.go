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

// Classify decides by the rule of docs, in this order:
//
//  1. "!…" is for the host's shell, "%…" for nsh's, and "name?" asks for help.
//  2. "docker …" and "nerdctl …" are commands in any case.
//  3. A first word that is no verb: Starlark.
//  4. A verb before "(", ",", "=" or an augmented assignment: Starlark.
//  5. A verb touched by anything but a blank, the end, or one of ; | & < >: Starlark.
//  6. Otherwise a command.
func Classify(line string, isVerb func(string) bool) Verdict {
	s := trim(line)
	switch {
	case s == "" || s[0] == '#':
		return Nothing
	case s[0] == '!':
		return Host
	case s[0] == '%':
		return Meta
	case isHelp(s):
		return Help
	}
	word := firstWord(s)
	rest := s[len(word):]
	if word == "docker" || word == "nerdctl" {
		if rest == "" || rest[0] == ' ' || rest[0] == '\t' {
			return Command
		}
	}
	if word == "" || !isVerb(word) {
		return Starlark
	}
	if rest != "" && !strings.ContainsRune(" \t\r\n;|&<>", rune(rest[0])) {
		return Starlark
	}
	after := strings.TrimLeft(rest, " \t")
	for _, op := range []string{"(", ",", "=", "+=", "-=", "*=", "/=", "//=", "%=", "&=", "|=", "^=", "<<=", ">>="} {
		if strings.HasPrefix(after, op) {
			return Starlark
		}
	}
	return Command
}

// trim drops blanks around a line, and the "$ " of a pasted transcript.
func trim(line string) string {
	s := strings.TrimSpace(line)
	if rest, ok := strings.CutPrefix(s, "$ "); ok {
		s = strings.TrimSpace(rest)
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

// isHelp takes "a.b.c?".
func isHelp(s string) bool {
	name, ok := strings.CutSuffix(s, "?")
	if !ok || name == "" {
		return false
	}
	for _, part := range strings.Split(name, ".") {
		if part == "" || firstWord(part) != part {
			return false
		}
	}
	return true
}
