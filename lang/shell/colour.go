package shell

import (
	"strings"

	"nsh/lang/lineedit"
)

// The styles of SGR.
const (
	styleVerb    = "1;34"
	styleKeyword = "35"
	styleFlag    = "36"
	styleString  = "32"
	styleComment = "2"
	styleHost    = "33"
	styleError   = "31"
)

var keywords = map[string]bool{}

func init() {
	for _, k := range strings.Fields("and break continue def elif else for if in lambda load not or pass return while True False None") {
		keywords[k] = true
	}
}

// Colour gives the styled parts of what is being typed. It looks at no value,
// so that a key costs the same whatever the session holds.
func (s *Shell) Colour(text string) []lineedit.Span {
	if len(text) > 64<<10 {
		return nil
	}
	var out []lineedit.Span
	units, _ := s.Split(text)
	lines := strings.SplitAfter(text, "\n")
	starts := make([]int, len(lines)+1)
	for i, l := range lines {
		starts[i+1] = starts[i] + len(l)
	}
	for i, u := range units {
		from, to := starts[u.Line-1], len(text)
		if i+1 < len(units) {
			to = starts[units[i+1].Line-1]
		}
		switch part := text[from:to]; u.Verdict {
		case Command:
			out = s.colourCommand(out, part, from)
		case Host, Meta, Help:
			out = append(out, lineedit.Span{From: from, To: from + len(part), Style: styleHost})
		case Starlark:
			out = s.colourStarlark(out, part, from)
		}
	}
	return out
}

// colourCommand colours by words: the verb, flags, quoted strings, comments.
func (s *Shell) colourCommand(out []lineedit.Span, text string, at int) []lineedit.Span {
	add := func(from, to int, style string) {
		out = append(out, lineedit.Span{From: at + from, To: at + to, Style: style})
	}
	start := true // of a command: its verb comes
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case isBlank(c):
			i++
		case c == '#':
			end := i + strings.IndexByte(text[i:]+"\n", '\n')
			add(i, end, styleComment)
			i = end
		case strings.IndexByte(";|&()", c) >= 0:
			start = true
			i++
		case c == '\'' || c == '"':
			end := i + 1
			for end < len(text) && text[end] != c {
				if text[end] == '\\' && c == '"' {
					end++
				}
				end++
			}
			style := styleString
			if end >= len(text) {
				style = styleError // it is not closed yet
			}
			end = min(end+1, len(text))
			add(i, end, style)
			i, start = end, false
		default:
			end := i + 1
			for end < len(text) && !isBlank(text[end]) && strings.IndexByte(";|&()'\"", text[end]) < 0 {
				end++
			}
			word := text[i:end]
			switch {
			case start && (s.Commands.IsVerb(word) || word == "docker" || word == "nerdctl"):
				add(i, end, styleVerb)
				start = word == "docker" || word == "nerdctl"
				i = end
				continue
			case word[0] == '-' && !start:
				add(i, end, styleFlag)
			case word[0] == '$':
				add(i, end, styleHost)
			}
			start = false
			i = end
		}
	}
	return out
}

// colourStarlark colours keywords, strings and comments, and what cannot be right: a
// string that ends with its line, a bracket that closes another kind or none.
func (s *Shell) colourStarlark(out []lineedit.Span, text string, at int) []lineedit.Span {
	add := func(from, to int, style string) {
		out = append(out, lineedit.Span{From: at + from, To: at + to, Style: style})
	}
	var open []byte // the brackets
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '#':
			end := i + strings.IndexByte(text[i:]+"\n", '\n')
			add(i, end, styleComment)
			i = end
		case c == '"' || c == '\'':
			n := (&scanner{}).stringLen(text[i:])
			style := styleString
			if n <= 0 {
				n = len(text) - i
			} else if i+n < len(text) && text[i+n] == '\n' && (n == 1 || text[i+n-1] != c) {
				style = styleError // further lines do not close it
			}
			add(i, i+n, style)
			i += n
		case c == '(' || c == '[' || c == '{':
			open = append(open, c)
			i++
		case c == ')' || c == ']' || c == '}':
			if last := len(open) - 1; last >= 0 && strings.IndexByte("(){}[]", open[last])+1 == strings.IndexByte("(){}[]", c) {
				open = open[:last]
			} else {
				add(i, i+1, styleError)
			}
			i++
		case c == '$' && strings.HasPrefix(text[i:], "$("):
			n := parenLen(text[i+1:], 0)
			if n < 0 {
				n = len(text) - i - 1
			}
			out = s.colourCommand(out, text[i+2:i+1+n], at+i+2)
			i += n + 1
		default:
			w := firstWord(text[i:])
			if w == "" {
				i++
				continue
			}
			if keywords[w] {
				add(i, i+len(w), styleKeyword)
			}
			i += len(w)
		}
	}
	return out
}
