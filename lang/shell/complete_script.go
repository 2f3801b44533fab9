package shell

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"nsh/lang/lineedit"
)

// completeStarlark completes a name, an attribute, a keyword, or a text that is an
// argument.
func (s *Shell) completeStarlark(before string) lineedit.Completion {
	var z scanner
	z.feed(before)
	if z.openCapture() {
		c := s.completeCommand(before[z.at+2:])
		c.From += z.at + 2
		return c
	}
	sc, _ := s.Scripts.(ScriptCompleter)
	at := readCalls(before)
	if at.text >= 0 {
		return s.completeText(sc, before, at)
	}
	i := len(before)
	for i > 0 && (before[i-1] == '_' || before[i-1] == '.' || before[i-1] >= 0x80 || isAlnum(before[i-1])) {
		i--
	}
	dotted := before[i:]
	if at.comment || dotted != "" && dotted[0] >= '0' && dotted[0] <= '9' {
		return lineedit.Completion{From: len(before)}
	}
	if dot := strings.LastIndexByte(dotted, '.'); dot >= 0 {
		c := lineedit.Completion{From: i + dot + 1}
		base := dotted[:dot]
		if dot == 0 && at.closedAt == i {
			base = at.closed + "()"
		}
		if sc != nil && base != "" {
			c.List = match(dotted[dot+1:], s.attrs(sc, before, base))
		}
		return c
	}
	c := lineedit.Completion{From: i}
	call := at.call()
	if sc != nil && call != nil && call.name != "" && call.keyword == "" {
		for _, k := range match(dotted, sc.Keywords(call.name)) {
			if !strings.Contains(before[call.at:], k.Text+" =") && !strings.Contains(before[call.at:], k.Text+"=") {
				c.List = append(c.List, lineedit.Candidate{Text: k.Text + "=", Doc: k.Doc})
			}
		}
	}
	if dotted == "" {
		return c
	}
	names := map[string]bool{}
	var list []lineedit.Candidate
	if strings.TrimLeft(before[:i], blanks) == "" {
		for _, v := range s.verbs1() {
			names[v.Text] = true
			v.End = " " // ps (…) is a call, too
			list = append(list, v)
		}
	}
	for _, n := range s.Scripts.Names() {
		if !names[n] && n != "_" {
			names[n] = true
			list = append(list, lineedit.Candidate{Text: n})
		}
	}
	if len(c.List) > 0 { // of keywords: names that are only like it would bury them
		list = slices.DeleteFunc(list, func(n lineedit.Candidate) bool { return !strings.HasPrefix(n.Text, dotted) })
	}
	found := match(dotted, list)
	for i := range found {
		if sc != nil && found[i].Doc == "" {
			found[i].Doc = sc.NameDoc(found[i].Text)
		}
	}
	c.List = append(c.List, found...)
	return c
}

// attrs are the attributes of a name; of one that a loop or an assignment of the same
// entry makes, by what it is made of.
func (s *Shell) attrs(sc ScriptCompleter, before, base string) []lineedit.Candidate {
	if list := sc.Attrs(base); list != nil {
		return list
	}
	for _, m := range made().FindAllStringSubmatch(before, -1) {
		if m[1] == base || m[3] == base {
			if noun := elements[m[2]]; noun != "" {
				return sc.Attrs(noun + "()")
			}
			switch m[4] {
			case "container", "image", "network", "volume":
				return sc.Attrs(m[4] + "()")
			}
		}
	}
	return nil
}

// elements are what the lists of these functions have.
var elements = map[string]string{"containers": "container", "ps": "container", "images": "image", "networks": "network", "volumes": "volume"}

var made = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\bfor (\w+) in (\w+)\(|\b(\w+) = (\w+)\(`)
})

// completeText completes the text that before ends in.
func (s *Shell) completeText(sc ScriptCompleter, before string, at calls) lineedit.Completion {
	word := before[at.text:]
	c := lineedit.Completion{From: len(before)}
	call := at.call()
	if sc == nil || strings.ContainsAny(word, "\\\n") {
		return c
	}
	var args Args
	switch {
	case call == nil:
	case call.name == "load" && call.commas == 0 && call.keyword == "":
		args.Now = sc.Modules()
		for _, f := range files(word) {
			if strings.HasSuffix(f.Text, ".star") || strings.HasSuffix(f.Text, "/") {
				args.Now = append(args.Now, lineedit.Candidate{Text: f.Text})
			}
		}
	case call.name == "load":
		if module := call.first(before); module != "" {
			args.Now = sc.Exports(module)
		}
	default:
		args = sc.Strings(call.name, call.commas, call.keyword)
	}
	args.Files = args.Files || strings.Contains(word, "/") && (call == nil || call.name != "load")
	c = args.matching(word, func(list []lineedit.Candidate) []lineedit.Candidate { return list })
	for i := range c.List {
		c.List[i].End = ""
	}
	c.From += at.text
	return c
}

// calls is what a part of a Starlark text is inside of.
type calls struct {
	stack    []bracket
	text     int  // where the text of an open string begins; -1: in none
	comment  bool // it ends in one
	closed   string
	closedAt int // where the last call that is closed ends, and its name
}

// bracket is an open one.
type bracket struct {
	kind    byte
	name    string // of the function that is called
	at      int    // behind it
	of      string // of an index: the call that gave what is indexed
	commas  int
	keyword string // of the argument that the text ends in
	arg     int    // where that begins
}

// call is the innermost that is open, nil for none.
func (c *calls) call() *bracket {
	for i := len(c.stack) - 1; i >= 0; i-- {
		if c.stack[i].kind == '(' && c.stack[i].name != "" {
			return &c.stack[i]
		}
	}
	return nil
}

// first is the text that is the first argument.
func (b *bracket) first(before string) string {
	rest := strings.TrimLeft(before[b.at:], blanks)
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	if n := (&scanner{}).stringLen(rest); n > 2 && !strings.HasPrefix(rest, `"""`) {
		return rest[1 : n-1]
	}
	return ""
}

// readCalls reads a text from its beginning, as brackets in strings are none.
func readCalls(text string) calls {
	c := calls{text: -1, closedAt: -1}
	for i := 0; i < len(text); {
		n := 1
		switch b := text[i]; b {
		case '#':
			n = strings.IndexByte(text[i:], '\n')
			if n < 0 {
				c.comment = true
				return c
			}
		case '"', '\'':
			var z scanner
			n = z.stringLen(text[i:])
			if n == 0 || z.cut {
				c.text = i + 1
				if q := text[i : i+1]; strings.HasPrefix(text[i:], q+q+q) {
					c.text = i + 3
				}
				return c
			}
		case '(', '[', '{':
			name := ""
			if b == '(' {
				name = c.nameBefore(text, i)
			}
			of := ""
			if b == '[' && c.closedAt == i {
				of = c.closed
			}
			c.stack = append(c.stack, bracket{kind: b, name: name, of: of, at: i + 1, arg: i + 1})
		case ')', ']', '}':
			if last := len(c.stack) - 1; last >= 0 {
				if b == ')' {
					c.closed, c.closedAt = c.stack[last].name, i+1
				} else if noun := elements[c.stack[last].of]; noun != "" && b == ']' {
					c.closed, c.closedAt = noun, i+1
				}
				c.stack = c.stack[:last]
			}
		case ',':
			if last := len(c.stack) - 1; last >= 0 {
				c.stack[last].commas++
				c.stack[last].keyword, c.stack[last].arg = "", i+1
			}
		case '=':
			switch next := text[i+1:]; {
			case strings.HasPrefix(next, "="):
				n = 2
			case i > 0 && strings.IndexByte("<>!+-*/%&|^", text[i-1]) >= 0:
			default:
				if last := len(c.stack) - 1; last >= 0 {
					c.stack[last].keyword = strings.Trim(text[c.stack[last].arg:i], blanks)
				}
			}
		}
		i += n
	}
	return c
}

// nameBefore is the dotted name that a bracket stands behind.
func (c *calls) nameBefore(text string, i int) string {
	j := i
	for j > 0 && (text[j-1] == '_' || text[j-1] == '.' || isAlnum(text[j-1])) {
		j--
	}
	name := text[j:i]
	if strings.HasPrefix(name, ".") && c.closedAt == j && c.closed != "" {
		name = c.closed + "()" + name
	}
	return name
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
