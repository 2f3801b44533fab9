package shell

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"nsh/lang/lineedit"
)

// CommandCompleter is what [Commands] may also be.
type CommandCompleter interface {
	// CompleteArgs gives what the last of argv, which may be empty, can become:
	// subcommands, flags, names. It must not block.
	CompleteArgs(argv []string) Args
	// Doc is one line on a verb.
	Doc(verb string) string
}

// Args is what one word can become.
type Args struct {
	// Prefix is how many bytes of the word stay as they are: those of "--network=".
	Prefix int
	// Now needs no engine. The candidates need not match the word: the shell sees to that.
	Now []lineedit.Candidate
	// Later gives the others, on another goroutine and while commands may run, until
	// ctx ends; it may be nil.
	Later func(ctx context.Context) []lineedit.Candidate
	// Files tells that the name of a file can stand there, too.
	Files bool
}

// ScriptCompleter is what [Scripts] may also be. No method calls anything of a script.
// A dotted name may end in "()": the value that a call gives.
type ScriptCompleter interface {
	// Attrs gives the attributes of the value that a dotted name has.
	Attrs(name string) []lineedit.Candidate
	// Keywords gives the keyword arguments of the function that a dotted name is.
	Keywords(name string) []lineedit.Candidate
	// Strings gives what a text can be that is an argument of that function: the nth,
	// or the one with a keyword.
	Strings(name string, n int, keyword string) Args
	// Modules are those that come along; Exports what a module defines.
	Modules() []lineedit.Candidate
	Exports(module string) []lineedit.Candidate
	// NameDoc is one line on a name.
	NameDoc(name string) string
}

// metas are the words behind %.
var metas = []lineedit.Candidate{
	{Text: "%edit", Doc: "an entry in $EDITOR, and then run it"}, {Text: "%plan", Doc: "what a line would change"}, {Text: "%save", Doc: "the session as a script"}, {Text: "%x", Doc: "a value with all its fields"}, {Text: "%help", Doc: "what a line can be"},
	{Text: "%history", Doc: "the last entries"}, {Text: "%quit", Doc: "leave"},
	{Text: "%time", Doc: "how long a line takes"}, {Text: "%watch", Doc: "a line every N seconds"},
}

// Complete gives what the text before the cursor, a byte offset, can go on with:
// on a command line verbs and their arguments, programs' files, else names of the
// language, attributes and keywords.
func (s *Shell) Complete(text string, cursor int) lineedit.Completion {
	before := text[:cursor]
	// Of several lines the one with the cursor, and before it what belongs to it.
	units, _ := s.Split(before)
	if n := len(units); n > 0 && units[n-1].Verdict != Nothing {
		lines := strings.SplitAfter(before, "\n")
		if last := units[n-1].Line - 1; last < len(lines) {
			before = strings.Join(lines[last:], "")
		}
	}
	offset := cursor - len(before)
	line := strings.TrimLeft(before, blanks)
	var c lineedit.Completion
	switch v := Classify(before, s.Commands.IsVerb); {
	case v == Meta && !strings.ContainsAny(line, blanks):
		c = lineedit.Completion{From: len(before) - len(line), List: match(line, metas)}
	case v == Meta || v == Host:
		from := strings.LastIndexAny(before, " \t!") + 1
		c = lineedit.Completion{From: from, List: files(before[from:])}
		if v == Host && strings.TrimLeft(before[:from], blanks+"!") == "" {
			c.List = append(programs(before[from:]), c.List...)
		}
		if word := firstWord(strings.TrimPrefix(line, "%")); v == Meta && (word == "time" || word == "watch") {
			c = s.completeCommand(before[strings.Index(before, word)+len(word):])
			c.From += strings.Index(before, word) + len(word)
		}
	case v == Command:
		c = s.completeCommand(before)
	default:
		c = s.completeStarlark(before)
	}
	c.From += offset
	return c
}

// completeCommand goes by the words of the last simple command.
func (s *Shell) completeCommand(before string) lineedit.Completion {
	argv, from, piped := lastCommand(before)
	word := argv[len(argv)-1]
	if len(argv) > 1 && (argv[0] == "docker" || argv[0] == "nerdctl") {
		argv, piped = argv[1:], false
	}
	c := lineedit.Completion{From: from}
	if name, ok := strings.CutPrefix(word, "$"); ok && !strings.HasPrefix(name, "(") {
		c.From++
		for _, n := range s.Scripts.Names() {
			if _, _, ok := s.Scripts.Lookup(n); ok {
				c.List = append(c.List, lineedit.Candidate{Text: n})
			}
		}
		c.List = match(name, c.List)
		return c
	}
	switch {
	case piped:
		c.List = files(word)
		if len(argv) == 1 {
			c.List = append(programs(word), c.List...)
		}
	case len(argv) == 1:
		c.List = match(word, s.verbs1())
		for i := range c.List {
			c.List[i].End = " "
		}
	default:
		args := Args{Files: true}
		if cc, ok := s.Commands.(CommandCompleter); ok {
			args = cc.CompleteArgs(argv)
		}
		quoted := from > 0 && (before[from-1] == '\'' || before[from-1] == '"')
		if args.Prefix > 0 && !strings.HasPrefix(before[from:], word[:args.Prefix]) {
			return c // there are quotes in it
		}
		c = args.matching(word, func(list []lineedit.Candidate) []lineedit.Candidate { return shellWords(list, quoted) })
		c.From += from
	}
	return c
}

// matching leaves what fits a word.
func (a Args) matching(word string, as func([]lineedit.Candidate) []lineedit.Candidate) lineedit.Completion {
	word = word[a.Prefix:]
	c := lineedit.Completion{From: a.Prefix, List: as(match(word, a.Now))}
	if a.Later != nil {
		c.Later = func(ctx context.Context) []lineedit.Candidate { return as(match(word, a.Later(ctx))) }
	}
	if a.Files {
		c.List = append(c.List, files(word)...)
	}
	return c
}

// shellWords quotes what sh would take for something else.
func shellWords(list []lineedit.Candidate, quoted bool) []lineedit.Candidate {
	for i, c := range list {
		if q, err := syntax.Quote(c.Text, syntax.LangPOSIX); err == nil && !quoted {
			list[i].Text = q
		}
	}
	return list
}

// verbs1 are the verbs with a line on each.
func (s *Shell) verbs1() []lineedit.Candidate {
	cc, _ := s.Commands.(CommandCompleter)
	var out []lineedit.Candidate
	for _, w := range s.Commands.Words() {
		c := lineedit.Candidate{Text: w}
		if cc != nil {
			c.Doc = cc.Doc(w)
		}
		out = append(out, c)
	}
	return out
}

// lastCommand gives the words of the simple command that the text ends in, the last
// of which is being typed, where that begins, and whether a pipe is before it.
// Quotes and backslashes count as in sh; what is within a $( is a command of its own.
func lastCommand(before string) (argv []string, from int, piped bool) {
	var word strings.Builder
	in := false
	reset := func(i int) { argv, in, from = nil, false, i; word.Reset() }
	end := func(i int) {
		if in {
			argv = append(argv, word.String())
			word.Reset()
		}
		in, from = false, i
	}
	quote := byte(0)
	for i := 0; i < len(before); i++ {
		c := before[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\' && !strings.HasPrefix(before[i:], "$("):
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && i+1 < len(before):
			i++
			in = true
			word.WriteByte(before[i])
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case strings.HasPrefix(before[i:], "$("):
			if n := parenLen(before[i+1:], 0); n > 0 {
				in = true
				word.WriteString(before[i : i+n+1])
				i += n
				continue
			}
			i++
			quote, piped = 0, false
			reset(i + 1)
		case isBlank(c):
			end(i + 1)
		case strings.IndexByte(";&|(", c) >= 0:
			piped = c == '|' && !strings.HasPrefix(before[i:], "||") && (i == 0 || before[i-1] != '|')
			reset(i + 1)
		case c == '<' || c == '>':
			end(i + 1)
		default:
			if !in {
				from = i
			}
			in = true
			word.WriteByte(c)
		}
		if quote != 0 && word.Len() == 0 {
			from = i + 1
		}
	}
	return append(argv, word.String()), from, piped
}

// files are the names in the host's file system that a word can become.
func files(word string) []lineedit.Candidate {
	dir, base := filepath.Split(word)
	look := dir
	if rest, ok := strings.CutPrefix(look, "~/"); ok {
		look = filepath.Join(os.Getenv("HOME"), rest)
	}
	if look == "" {
		look = "."
	}
	f, err := os.Open(look)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 2000 // of a directory that is larger, some: the key must not wait
	entries, _ := f.ReadDir(most)
	var out []lineedit.Candidate
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && name[0] == '.' {
			continue
		}
		end := " "
		if e.IsDir() {
			name += "/"
			end = ""
		}
		if q, err := syntax.Quote(name, syntax.LangPOSIX); err != nil || q != name {
			continue // it would have to be quoted
		}
		out = append(out, lineedit.Candidate{Text: dir + name, End: end})
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Text < out[b].Text })
	return out
}

// programs are those of $PATH that begin with a word.
func programs(word string) []lineedit.Candidate {
	if word == "" || strings.Contains(word, "/") {
		return nil
	}
	var out []lineedit.Candidate
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		const most = 10000
		names, _ := f.Readdirnames(most)
		_ = f.Close()
		for _, n := range names {
			if strings.HasPrefix(n, word) {
				out = append(out, lineedit.Candidate{Text: n, Doc: dir, End: " "})
			}
		}
	}
	sort.SliceStable(out, func(a, b int) bool { return out[a].Text < out[b].Text })
	return out
}

// match leaves the candidates that fit a word: that begin with it; if none does, that
// have its letters in their order, the shortest first.
func match(word string, list []lineedit.Candidate) []lineedit.Candidate {
	var out []lineedit.Candidate
	for _, c := range list {
		if strings.HasPrefix(c.Text, word) {
			out = append(out, c)
		}
	}
	if len(out) > 0 {
		sort.SliceStable(out, func(a, b int) bool { return out[a].Text < out[b].Text })
		return out
	}
	for _, c := range list {
		if has(c.Text, word) {
			out = append(out, c)
		}
	}
	sort.SliceStable(out, func(a, b int) bool { return len(out[a].Text) < len(out[b].Text) })
	return out
}

// has tells whether the letters of word are in text, in their order.
func has(text, word string) bool {
	text = strings.ToLower(text)
	for _, r := range strings.ToLower(word) {
		i := strings.IndexRune(text, r)
		if i < 0 {
			return false
		}
		text = text[i+len(string(r)):]
	}
	return true
}
