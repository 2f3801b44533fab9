package shell

import (
	"fmt"
	"os/exec"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// assignNote tells once a verb that a variable of its name does not hide it.
func (s *Shell) assignNote(text string) {
	line, _, _ := strings.Cut(trim(text), "\n")
	w := firstWord(line)
	rest := strings.TrimLeft(line[len(w):], blanks)
	if !s.Commands.IsVerb(w) || s.noted[w] {
		return
	}
	if strings.HasPrefix(rest, ",") { // ps, x = 1, 2
		var z scanner
		z.feed(rest)
		_, rest, _ = strings.Cut(rest, "=")
		rest = "=" + rest
		if z.brackets != 0 || strings.ContainsAny(strings.SplitN(line, "=", 2)[0], "([{\"'") {
			return
		}
	}
	if !assigns(rest) || strings.HasPrefix(rest, "==") {
		return
	}
	if s.noted == nil {
		s.noted = map[string]bool{}
	}
	s.noted[w] = true
	fmt.Fprintf(s.Stdio.Err, "note: %q alone still runs the command; write (%s) for the variable\n", w, w)
}

// starlarkHint helps with a failed line that may have been meant as something else.
func (s *Shell) starlarkHint(text string) {
	if s.indentedCommand(text) {
		return
	}
	line := trim(text)
	w := firstWord(line)
	if w == "" || strings.Contains(line, "\n") || !commandShaped(line[len(w):]) {
		return
	}
	if _, _, ok := s.Scripts.Lookup(w); ok {
		return
	}
	if s.IsTool != nil && s.IsTool(w) {
		also := ""
		if w == "plan" {
			also = "; %plan LINE plans a line"
		}
		fmt.Fprintf(s.Stdio.Err, "hint: nsh %s is for scripts: write !nsh %s%s\n", w, line, also)
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

// commandShaped tells whether what follows a first word looks like the words of
// a command: nothing, or a blank and something other than an operator.
func commandShaped(rest string) bool {
	after := strings.TrimLeft(rest, blanks)
	if after == "" {
		return true
	}
	if after == rest {
		return false
	}
	w := firstWord(after)
	return !assigns(after) && !strings.ContainsRune("([+*%!,:", rune(after[0])) && w != "if" && w != "in" && w != "and" && w != "or" && w != "not"
}

// indentedCommand explains that in a block a verb is a function.
func (s *Shell) indentedCommand(text string) bool {
	for line := range strings.Lines(text) {
		if line[0] != ' ' && line[0] != '\t' || Classify(line, s.Commands.IsVerb) != Command {
			continue
		}
		line = trim(line)
		if w := firstWord(line); w == line || !commandShaped(line[len(w):]) {
			continue
		}
		fmt.Fprintf(s.Stdio.Err, "hint: a command line stands at the start of a line; in a block write %s\n", asCall(line))
		return true
	}
	return false
}

// asCall is a simple command as Starlark: stop("web"), and sh("…") for one with
// flags, whose types are known to the verb alone.
func asCall(line string) string {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err == nil && len(file.Stmts) == 1 && len(file.Stmts[0].Redirs) == 0 {
		if c, ok := file.Stmts[0].Cmd.(*syntax.CallExpr); ok && len(c.Assigns) == 0 {
			var args []string
			for _, w := range c.Args[1:] {
				if l := w.Lit(); l != "" && l[0] != '-' {
					args = append(args, quoteStarlark(l))
				}
			}
			if len(args) == len(c.Args)-1 {
				return c.Args[0].Lit() + "(" + strings.Join(args, ", ") + ")"
			}
		}
	}
	return "sh(" + quoteStarlark(line) + ")"
}

// commandHint helps with a failed command line that reads like an expression.
func (s *Shell) commandHint(text string) {
	words := strings.Fields(trim(text))
	if len(words) < 3 || words[0] == "docker" || words[0] == "nerdctl" {
		return
	}
	switch words[1] {
	case "if", "in", "and", "or", "not", "==", "!=", "-", "+", "*", "/", "%":
		fmt.Fprintf(s.Stdio.Err, "hint: to evaluate this as Starlark write (%s)\n", trim(text))
	}
}
