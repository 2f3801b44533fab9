package lsp

import (
	"strings"
	"unicode/utf8"

	"go.starlark.net/syntax"
)

// position is LSP's: lines from 0, and within a line UTF-16 units.
type position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

// offset is where a position lies in a text; one beyond a line is its end.
func offset(text string, p position) int {
	at := 0
	for range p.Line {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			return len(text)
		}
		at += i + 1
	}
	units := 0
	for at < len(text) && text[at] != '\n' && units < p.Character {
		r, n := utf8.DecodeRuneInString(text[at:])
		units += utf16Len(r)
		at += n
	}
	return at
}

func utf16Len(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

// place is a position of Starlark's, which counts characters from 1, as one of LSP's.
func place(lines []string, p syntax.Position) position {
	if p.Line < 1 || int(p.Line) > len(lines) {
		return position{}
	}
	units, n := 0, int32(1)
	for _, r := range lines[p.Line-1] {
		if n >= p.Col {
			break
		}
		n++
		units += utf16Len(r)
	}
	return position{int(p.Line) - 1, units}
}

// between is the range of two positions; an empty one goes to the end of the word.
func between(lines []string, from, to syntax.Position) span {
	s := span{place(lines, from), place(lines, to)}
	if s.End.Line < s.Start.Line || s.End == s.Start || to.Line == 0 {
		s.End = s.Start
		s.End.Character++
	}
	return s
}

// dotted is the name around an offset with what stands before its dots: for
// "net.tc|p(x)" it is "net.tcp", of which "net.tc" is before the offset.
func dotted(text string, at int) (name, before string) {
	from, to := at, at
	for from > 0 && (isWord(text[from-1]) || text[from-1] == '.') {
		from--
	}
	for to < len(text) && isWord(text[to]) {
		to++
	}
	return text[from:to], text[from:at]
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// openCall is the function whose arguments the text ends in, how many of them are
// complete, and the keyword that is being given.
func openCall(text string) (fn string, argument int, keyword string) {
	// What is more than a page away is not looked at: the text may be long.
	const most = 8 << 10
	if len(text) > most {
		text = text[len(text)-most:]
	}
	depth := 0
	for i := len(text) - 1; i >= 0; i-- {
		switch text[i] {
		case ')', ']', '}':
			depth++
		case '[', '{':
			if depth > 0 {
				depth--
			}
		case ',':
			if depth == 0 {
				argument++
				if keyword == "" && argument == 1 {
					keyword = keywordOf(text[i+1:])
				}
			}
		case '(':
			if depth > 0 {
				depth--
				continue
			}
			if argument == 0 {
				keyword = keywordOf(text[i+1:])
			}
			name, _ := dotted(text, i)
			return name, argument, keyword
		}
	}
	return "", 0, ""
}

func keywordOf(text string) string {
	name, _, ok := strings.Cut(text, "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.IndexFunc(name, func(r rune) bool { return r < 0x80 && !isWord(byte(r)) }) >= 0 {
		return ""
	}
	return name
}

// inString tells whether the last line of a text ends within a string, and gives what
// of it is there.
func inString(text string) (string, bool) {
	line := text[strings.LastIndexByte(text, '\n')+1:]
	quote, from := byte(0), 0
	for i := 0; i < len(line); i++ {
		switch {
		case quote != 0 && line[i] == '\\':
			i++
		case quote != 0 && line[i] == quote:
			quote = 0
		case quote == 0 && (line[i] == '"' || line[i] == '\''):
			quote, from = line[i], i+1
		case quote == 0 && line[i] == '#':
			return "", false
		}
	}
	if quote == 0 {
		return "", false
	}
	return line[min(from, len(line)):], true
}
