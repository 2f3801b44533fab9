package shell

import (
	"fmt"
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
// quotes are closed and no backslash is left.
func (s *Shell) Split(text string) ([]Unit, error) {
	lines := strings.SplitAfter(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	var out []Unit
	for n := 0; n < len(lines); {
		start := n
		line := lines[n]
		v := Classify(line, s.Commands.IsVerb)
		if v == Nothing {
			n++
			continue
		}
		if v == Starlark && (line[0] == ' ' || line[0] == '\t') {
			return out, fault.New(fault.Invalid, "line %d: unexpected indent", n+1).WithHint("a statement begins at the start of its line")
		}
		n++
		part := line
		switch v {
		case Command:
			for n < len(lines) && lines[n] != "" && !commandWhole(part) {
				part += lines[n]
				n++
			}
		case Starlark:
			for n < len(lines) {
				whole := s.starlarkWhole(part)
				if whole && !continues(lines[n]) {
					break
				}
				if lines[n] == "" && n == len(lines)-1 {
					break
				}
				part += lines[n]
				n++
			}
		}
		out = append(out, Unit{Verdict: v, Text: strings.TrimRight(part, "\n"), Line: start + 1})
	}
	return out, nil
}

// continues tells whether a line belongs to the block above it: it is indented or
// blank, or takes up an if or a for.
func continues(line string) bool {
	if strings.TrimSpace(line) == "" || line[0] == ' ' || line[0] == '\t' {
		return true
	}
	w := firstWord(line)
	return w == "else" || w == "elif"
}

func (s *Shell) starlarkWhole(text string) bool {
	if _, err := splitCaptures(text); err != nil {
		return false
	}
	return s.Scripts.Complete(uncaptured(text) + "\n\n")
}

// commandWhole tells whether a command line needs no further line.
func commandWhole(text string) bool {
	t := strings.TrimRight(text, "\n")
	if odd(t) {
		return false
	}
	_, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(prefixed(t)+"\n"), "")
	return !syntax.IsIncomplete(err)
}

// odd tells whether a text ends with a backslash that is not itself escaped.
func odd(t string) bool {
	n := len(t) - len(strings.TrimRight(t, `\`))
	return n%2 == 1
}

// prefixed puts a word of ours before the verb: sh would take "export -o x" for
// a declaration, and "exec" for its own.
func prefixed(line string) string {
	s := trim(line)
	switch w := firstWord(s); w {
	case "docker", "nerdctl":
		return s
	}
	return "docker " + s
}

// capture is one $(…) in Starlark.
type capture struct {
	from, to int // in the text, with $( and )
	command  string
}

// splitCaptures finds the $(…) of a Starlark text, outside of its strings and
// comments: $ is no token of Starlark, so nothing else can be meant. The
// command inside ends at its closing parenthesis by the rules of sh.
func splitCaptures(text string) ([]capture, error) {
	var out []capture
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '"' || c == '\'':
			n := stringEnd(text, i)
			if n < 0 {
				return out, nil // the Starlark parser says what is wrong with it
			}
			i = n
		case c == '$' && i+1 < len(text) && text[i+1] == '(':
			end, err := captureEnd(text, i)
			if err != nil {
				return nil, err
			}
			out = append(out, capture{from: i, to: end, command: strings.TrimSpace(text[i+2 : end-1])})
			i = end
		default:
			i++
		}
	}
	return out, nil
}

// stringEnd gives the index after the Starlark string that begins at i, -1 for
// one that does not end.
func stringEnd(text string, i int) int {
	q := text[i : i+1]
	if strings.HasPrefix(text[i:], q+q+q) {
		q = q + q + q
	}
	raw := i > 0 && (text[i-1] == 'r' || text[i-1] == 'R')
	for j := i + len(q); j < len(text); {
		switch {
		case text[j] == '\\' && j+1 < len(text):
			j += 2
			_ = raw // in a raw string too, a backslash keeps the quote from ending it
		case strings.HasPrefix(text[j:], q):
			return j + len(q)
		case text[j] == '\n' && len(q) == 1:
			return -1
		default:
			j++
		}
	}
	return -1
}

// captureEnd finds the parenthesis that closes $( at i.
func captureEnd(text string, i int) (int, error) {
	depth := 0
	for j := i + 1; j < len(text); j++ {
		switch text[j] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return j + 1, nil
			}
		case '\\':
			j++
		case '\'':
			k := strings.IndexByte(text[j+1:], '\'')
			if k < 0 {
				return 0, errOpenCapture
			}
			j += k + 1
		case '"':
			for j++; j < len(text) && text[j] != '"'; j++ {
				if text[j] == '\\' {
					j++
				}
			}
		}
	}
	return 0, errOpenCapture
}

var errOpenCapture = fault.New(fault.Invalid, "$( without its )")

// uncaptured puts a string of Starlark in the place of each $(…), for its parser.
func uncaptured(text string) string {
	return replaceCaptures(text, func(int, capture) string { return `""` })
}

func replaceCaptures(text string, with func(int, capture) string) string {
	caps, err := splitCaptures(text)
	if err != nil || len(caps) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for n, c := range caps {
		b.WriteString(text[at:c.from])
		b.WriteString(with(n, c))
		at = c.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// captureCall is what a $(…) becomes: text without its last newlines, and a
// failure is an error.
func captureCall(_ int, c capture) string {
	return fmt.Sprintf(`sh(%s).stdout.rstrip("\n")`, quoteStarlark(c.command))
}

func quoteStarlark(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
