package shell

import (
	"strings"
)

// scanner reads Starlark just well enough to tell where a statement may end and
// where a $(…) stands: it knows strings, comments and brackets. The parser would
// have to begin anew with every line of a long input. $ is no token of Starlark, so
// outside of strings and comments nothing else can be meant by it.
type scanner struct {
	b        strings.Builder
	text     string // of b
	at       int
	inside   int  // of an open string, how much of it is known to hold no end
	brackets int  // that are open
	deepest  int  // that were open at once
	open     bool // the text ends inside of a string, a capture or a continued line
	cut      bool // it ends inside of a string of one line, which ends there
	captures []capture
}

// capture is one $(…).
type capture struct {
	from, to int // in the text, with $( and )
	command  string
}

// feed goes on with more text.
func (z *scanner) feed(more string) {
	z.b.WriteString(more)
	z.text = z.b.String()
	z.open, z.cut = false, false
	for z.at < len(z.text) {
		n := 1
		switch c := z.text[z.at]; {
		case c == '#':
			n = strings.IndexByte(z.text[z.at:], '\n')
			if n < 0 {
				n = len(z.text) - z.at
			}
		case c == '"' || c == '\'':
			n = z.stringLen(z.text[z.at:])
		case c == '$' && strings.HasPrefix(z.text[z.at:], "$("):
			if n = parenLen(z.text[z.at+1:], 0) + 1; n > 0 {
				z.captures = append(z.captures, capture{from: z.at, to: z.at + n, command: strings.Trim(z.text[z.at+2:z.at+n-1], blanks)})
			}
		case c == '\\':
			if z.at+2 >= len(z.text) {
				n = 0
			} else {
				n = 2
			}
		case c == '(' || c == '[' || c == '{':
			z.brackets++
			z.deepest = max(z.deepest, z.brackets)
		case c == ')' || c == ']' || c == '}':
			z.brackets--
		}
		if n <= 0 {
			z.open = true
			return // more text may close it
		}
		z.at += n
	}
}

// whole tells whether a statement can end here.
func (z *scanner) whole() bool { return !z.open && z.brackets <= 0 }

// openCapture tells whether the text ends inside of a $(.
func (z *scanner) openCapture() bool { return z.open && z.text[z.at] == '$' }

// stringLen is the length of the Starlark string that s begins with, 0 for one
// that s does not end. Strings in one quote end with their line: the parser says
// what is wrong. A backslash keeps a quote from ending it in a raw string, too.
func (z *scanner) stringLen(s string) int {
	q := s[:1]
	if strings.HasPrefix(s, q+q+q) {
		q += q + q
	}
	i := max(len(q), z.inside)
	z.inside = 0
	for i < len(s) {
		switch {
		case s[i] == '\\':
			i += 2
		case strings.HasPrefix(s[i:], q):
			return i + len(q)
		case s[i] == '\n' && len(q) == 1:
			return i
		default:
			i++
		}
	}
	if len(q) == 1 {
		z.cut = true
		return len(s)
	}
	z.inside = max(i-len(q), len(q)) // a part of the end may be there
	if strings.HasSuffix(s[:len(s)-1], `\`) || strings.HasSuffix(s, `\`) {
		z.inside = 0 // whether a quote here is escaped is told from the beginning
	}
	return 0
}

// maxNesting bounds what is inside of each other, in captures and in brackets: the
// parsers are recursive, and the end of the stack is the end of the process.
const maxNesting = 200

// parenLen is the length of the "(…)" that s begins with, by the rules of sh, and
// -1 when s does not end it.
func parenLen(s string, nesting int) int {
	if nesting > maxNesting {
		return -1
	}
	depth, word := 0, false // word: inside of one, where # is no comment
	for i := 0; i < len(s); {
		n := 1
		was := word
		word = true
		switch s[i] {
		case '(':
			depth++
			word = false
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case ' ', '\t', '\n', ';', '|', '&', '<', '>':
			word = false
		case '\\':
			n = 2
		case '\'':
			n = strings.IndexByte(s[i+1:], '\'') + 2
			if n == 1 {
				return -1
			}
		case '"':
			n = quotedLen(s[i:], nesting)
		case '#':
			if !was {
				n = strings.IndexByte(s[i:], '\n')
				word = false
			}
		}
		if n < 0 {
			return -1
		}
		i += n
	}
	return -1
}

// quotedLen is the length of the "…" of sh that s begins with, or -1.
func quotedLen(s string, nesting int) int {
	for i := 1; i < len(s); {
		switch {
		case s[i] == '\\':
			i += 2
		case s[i] == '"':
			return i + 1
		case strings.HasPrefix(s[i:], "$("):
			n := parenLen(s[i+1:], nesting+1)
			if n < 0 {
				return -1
			}
			i += n + 1
		default:
			i++
		}
	}
	return -1
}

// replaceCaptures puts something in the place of each $(…).
func replaceCaptures(text string, with func(capture) string) string {
	var z scanner
	z.feed(text)
	if len(z.captures) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, c := range z.captures {
		b.WriteString(text[at:c.from])
		b.WriteString(with(c))
		at = c.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// captureCall is what a $(…) becomes: text without its last newlines, and a
// failure is an error.
func captureCall(c capture) string {
	return "sh(" + quoteStarlark(c.command) + `).stdout.rstrip("\n")`
}

// quoteStarlark makes a literal of a text.
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
