package builtins

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Choice is a word that can be typed next.
type Choice struct {
	Text string
	Doc  string // one line, or ""
	Open bool   // the word goes on behind it: no blank follows
}

// Choices are the words that can stand at one place.
type Choices struct {
	// Prefix is how many bytes of the word are no part of the choice: those of
	// "--network=".
	Prefix int
	Now    []Choice
	// Later asks the engine, and waits a second at the most. It starts no engine,
	// and gives what was known before when there is no answer. Nil: nothing is to
	// be asked. It is safe to call while verbs run.
	Later func(context.Context) []Choice
	// Files tells that the name of a file can stand there, too.
	Files bool
}

// Complete gives what the last of words, which may be empty, can become. The first
// is a verb or a group. The choices need not match the word: whoever asks sees to that.
func Complete(env *Env, words []string) Choices {
	if len(words) < 2 {
		return Choices{Now: verbChoices()}
	}
	last := len(words) - 1
	if groups[words[0]] != "" && byPath[words[0]] == nil && last == 1 {
		return Choices{Now: memberChoices(words[0])}
	}
	v, n := Lookup(words[:last])
	if v == nil {
		return Choices{}
	}
	return v.complete(env, words[n:last], words[last])
}

// Doc is one line on a verb or a group, "" for a word that is neither.
func Doc(word string) string {
	if v := byPath[word]; v != nil {
		return v.Short
	}
	return groups[word]
}

func verbChoices() []Choice {
	var out []Choice
	for _, w := range verbWords() {
		if byPath[w] != nil || len(members(w)) > 0 {
			out = append(out, Choice{Text: w, Doc: Doc(w)})
		}
	}
	return out
}

// memberChoices are all the names within a group.
func memberChoices(group string) []Choice {
	var out []Choice
	for path, v := range byPath {
		if g, name, ok := strings.Cut(path, " "); ok && g == group {
			out = append(out, Choice{Text: name, Doc: v.Short})
		}
	}
	slices.SortFunc(out, func(a, b Choice) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// complete reads the words before the one that is typed as the verb would.
func (v *Verb) complete(env *Env, before []string, word string) Choices {
	p := v.make()
	flags := v.flags(p)
	if env.Globals != nil {
		env.Globals(flags)
	}
	var positional []string
	only := false           // positional arguments are left
	var pending *pflag.Flag // wants the next word
	for _, w := range before {
		switch {
		case pending != nil:
			pending = nil
		case only || !strings.HasPrefix(w, "-") || w == "-":
			positional = append(positional, w)
			only = only || v.FlagsFirst
		case w == "--":
			only = true
		default:
			if f, at := openFlag(flags, w); at == len(w) {
				pending = f
			}
		}
	}
	switch {
	case pending != nil:
		return v.flagChoices(env, pending, word, 0)
	case only || !strings.HasPrefix(word, "-"):
		c, ok := v.argChoices(env, positional, word)
		if !ok && !only {
			c.Now = v.flagNames(flags, "--")
		}
		return c
	case strings.HasPrefix(word, "--"):
		if name, _, ok := strings.Cut(word[2:], "="); ok {
			if f := flags.Lookup(name); f != nil {
				return v.flagChoices(env, f, word, len(name)+3)
			}
			return Choices{}
		}
	case len(word) > 1:
		if f, at := openFlag(flags, word); f != nil && at < len(word) { // -v/host
			return v.flagChoices(env, f, word, at)
		} else if f == nil && at == len(word) { // -it
			return Choices{Now: v.shorthands(flags, word)}
		}
	}
	return Choices{Now: v.flagNames(flags, word)}
}

// openFlag is the flag that a word leaves without its value, or whose value it
// has from a byte on: of -itv the last, of -v/x the first. Of a word without one, at is
// its length, or 0 when there is no such flag.
func openFlag(flags *pflag.FlagSet, word string) (f *pflag.Flag, at int) {
	if name, ok := strings.CutPrefix(word, "--"); ok {
		f := flags.Lookup(name)
		if f == nil || f.NoOptDefVal != "" {
			return nil, len(word)
		}
		return f, len(word)
	}
	for i := 1; i < len(word); i++ {
		f := flags.ShorthandLookup(word[i : i+1])
		if f == nil {
			return nil, 0
		}
		if f.NoOptDefVal == "" {
			if i++; i < len(word) && word[i] == '=' {
				i++
			}
			return f, i
		}
	}
	return nil, len(word)
}

// flagNames are the flags that are not hidden, and for a single dash their shorthands.
func (v *Verb) flagNames(flags *pflag.FlagSet, word string) []Choice {
	var long, short []Choice
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden && f.Name != "help" || f.Name == "help-short" {
			return
		}
		doc, _, _ := strings.Cut(f.Usage, "\n")
		long = append(long, Choice{Text: "--" + f.Name, Doc: doc})
		if f.Shorthand != "" && word == "-" {
			short = append(short, Choice{Text: "-" + f.Shorthand, Doc: doc})
		}
	})
	return append(long, short...)
}

// shorthands are what can follow in a word of them.
func (v *Verb) shorthands(flags *pflag.FlagSet, word string) []Choice {
	out := []Choice{}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Shorthand == "" || f.Hidden || strings.Contains(word, f.Shorthand) {
			return
		}
		doc, _, _ := strings.Cut(f.Usage, "\n")
		out = append(out, Choice{Text: word + f.Shorthand, Doc: doc})
	})
	slices.SortStableFunc(out, func(a, b Choice) int { return strings.Compare(a.Text, b.Text) })
	return append([]Choice{{Text: word}}, out...)
}

// flagChoices are the values of a flag; at is where in the word they begin.
func (v *Verb) flagChoices(env *Env, f *pflag.Flag, word string, at int) Choices {
	c := v.values(env, f.Name, word[at:])
	c.Prefix += at
	return c
}

// argChoices are what can stand behind some positional arguments; false when nothing can.
func (v *Verb) argChoices(env *Env, before []string, word string) (Choices, bool) {
	n := len(before)
	for i := range v.params() {
		q := &v.params()[i]
		if q.arg == "" || q.noCommand {
			continue
		}
		if n > 0 && !q.variadic() {
			n--
			continue
		}
		c := v.refs(env, q, word)
		if q.variadic() {
			c.without(before)
		}
		return c, true
	}
	return Choices{}, false
}

// without leaves out what has been given already.
func (c *Choices) without(given []string) {
	drop := func(list []Choice) []Choice {
		return slices.DeleteFunc(slices.Clone(list), func(x Choice) bool { return slices.Contains(given, x.Text) })
	}
	if len(given) == 0 {
		return
	}
	c.Now = drop(c.Now)
	if later := c.Later; later != nil {
		c.Later = func(ctx context.Context) []Choice { return drop(later(ctx)) }
	}
}

// CompleteGlobal gives what a flag that stands before the verb can be.
func CompleteGlobal(env *Env, flag, word string) Choices {
	return (&Verb{Paths: []string{""}}).values(env, flag, word)
}

// refs are what a parameter of some type can be.
func (v *Verb) refs(env *Env, q *param, word string) Choices {
	t := q.typ
	if t.Kind() == reflect.Slice && t != reflect.TypeFor[Words]() {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[ContainerRef]():
		return env.containerChoices(v.wants())
	case reflect.TypeFor[ImageRef]():
		return env.imageChoices()
	case reflect.TypeFor[VolumeRef]():
		return env.volumeChoices()
	case reflect.TypeFor[NetworkRef]():
		if q.flag == "network" && !q.noCommand {
			return v.values(env, q.flag, word)
		}
		return env.networkChoices(nil)
	case reflect.TypeFor[ObjectRef]():
		return both(both(env.containerChoices(nil), env.imageChoices()), both(env.volumeChoices(), env.networkChoices(nil)))
	}
	switch {
	case q.arg == "":
		return v.values(env, q.flag, word)
	case strings.Contains(q.arg, "IMAGE") || strings.Contains(q.arg, "REPOSITORY"):
		return env.imageChoices()
	case strings.Contains(q.arg, "CONTAINER"):
		return env.containerChoices(v.wants())
	case strings.Contains(q.arg, "PATH") || strings.Contains(q.arg, "FILE") || strings.Contains(q.arg, "file"):
		return Choices{Files: true}
	}
	return Choices{}
}

// CompleteArgument gives what a text in a script's call can become: function is the
// dotted name of the one that is called, keyword the parameter's name, else n is its
// place.
func CompleteArgument(env *Env, function string, n int, keyword string) Choices {
	if getters[function] != nil {
		if n > 0 || keyword != "" {
			return Choices{}
		}
		switch function {
		case "image":
			return env.imageChoices()
		case "volume":
			return env.volumeChoices()
		case "network":
			return env.networkChoices(nil)
		}
		return env.containerChoices(nil)
	}
	v := byName(function)
	if v == nil {
		return Choices{}
	}
	var at []*param
	for i := range v.params() {
		q := &v.params()[i]
		switch {
		case q.noScript:
		case keyword != "" && q.name() == keyword:
			return v.refs(env, q, "")
		case q.arg != "":
			at = append(at, q)
		}
	}
	switch {
	case keyword != "" || len(at) == 0:
	case n < len(at):
		return v.refs(env, at[n], "")
	case at[len(at)-1].variadic():
		return v.refs(env, at[len(at)-1], "")
	}
	return Choices{}
}

// byName finds the verb that a script calls so.
func byName(function string) *Verb {
	if v := byScript[function]; v != nil {
		return v
	}
	words := strings.Split(strings.TrimSuffix(function, "_"), ".")
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "_", "-")
	}
	return byPath[strings.Join(words, " ")]
}

// AttributesOf are the attributes of what a getter, or a list, gives: those of
// container("web") without asking anybody for it.
func AttributesOf(noun string) []Choice {
	what := nouns[noun]
	if what == nil {
		return nil
	}
	attributes, methods := what()
	out := []Choice{{Text: "reload", Doc: "a new snapshot"}}
	for _, a := range attributes {
		out = append(out, Choice{Text: a})
	}
	for _, m := range sorted(methods) {
		out = append(out, Choice{Text: m, Doc: methods[m].Short})
	}
	return out
}
