package builtins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"

	"github.com/spf13/pflag"
	"go.starlark.net/starlark"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// Run runs one command line, already split into words, and gives its exit
// status. Errors are printed to stderr in docker's words.
func Run(ctx context.Context, env *Env, io Stdio, words []string) int {
	if len(words) == 0 {
		return 0
	}
	v, n := Lookup(words)
	if v == nil {
		return unknownCommand(env, io, words)
	}
	return v.command(ctx, env, io, v.path(words[:n]), words[n:])
}

// Stdio is what a command reads and writes.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	TTY TTY
	// Shown is told the value that a command has shown; nil: nobody asks.
	Shown func(starlark.Value)
}

func unknownCommand(env *Env, io Stdio, words []string) int {
	if groups[words[0]] != "" {
		if len(words) == 1 || words[1] == "--help" || words[1] == "-h" || words[1] == "help" {
			fmt.Fprint(io.Out, groupHelp(env, words[0]))
			return 0
		}
		if len(members(words[0])) == 0 {
			fmt.Fprintf(io.Err, "%s: %q is not built yet\n", env.Program, words[0]+" "+words[1])
			return 1
		}
		fmt.Fprintf(io.Err, "%s: unknown command: %s %s %s\n", env.Program, env.Program, words[0], words[1])
		hint(io.Err, lang.Closest(words[1], groupWords(words[0])))
		fmt.Fprintf(io.Err, "\nUsage:  %s %s\n\nRun '%s %s --help' for more information\n", env.Program, words[0], env.Program, words[0])
		return 1
	}
	fmt.Fprintf(io.Err, "%s: unknown command: %s %s\n", env.Program, env.Program, words[0])
	hint(io.Err, lang.Closest(words[0], verbWords()))
	fmt.Fprintf(io.Err, "\nRun '%s --help' for more information\n", env.Program)
	return 1
}

func hint(w io.Writer, word string) {
	if word != "" {
		fmt.Fprintf(w, "Did you mean %q?\n", word)
	}
}

// path is the name that messages call the verb by when it was called by words:
// that of its group where they name one, and there the first.
func (v *Verb) path(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	for _, p := range v.Paths {
		if strings.HasPrefix(p, words[0]+" ") {
			return p
		}
	}
	return strings.Join(words, " ")
}

// Command runs the verb with the words that follow its name.
func (v *Verb) Command(ctx context.Context, env *Env, stdio Stdio, args []string) int {
	return v.command(ctx, env, stdio, v.Paths[0], args)
}

// command runs the verb as it was called: path is the one that messages name.
func (v *Verb) command(ctx context.Context, env *Env, stdio Stdio, path string, args []string) int {
	p := v.make()
	v.defaults(p)
	flags := v.flags(p)
	flags.SetInterspersed(!v.FlagsFirst)
	help := flags.Lookup("help")
	var h *bool
	if flags.ShorthandLookup("h") == nil && !v.NoShorthandHelp {
		h = flags.BoolP("help-short", "h", false, "")
		flags.Lookup("help-short").Hidden = true
	}
	if env.Globals != nil {
		env.Globals(flags)
	}
	if err := flags.Parse(args); err != nil {
		fmt.Fprintf(stdio.Err, "%s\n\nUsage:  %s\n\nRun '%s --help' for more information\n", err, v.usage(env, path), fullName(env, path))
		return 125
	}
	if help.Changed || h != nil && *h {
		fmt.Fprint(stdio.Out, v.help(env, path, width(stdio)))
		return 0
	}
	if msg := v.bind(p, flags.Args()); msg != "" {
		verb := "Run"
		if strings.HasPrefix(msg, "requires at least") && !strings.Contains(msg, "at most") {
			verb = "See"
		}
		name := fullName(env, path)
		fmt.Fprintf(stdio.Err, "%s: '%s' %s\n\nUsage:  %s\n\n%s '%s --help' for more information\n", env.Program, name, msg, v.usage(env, path), verb, name)
		return 1
	}
	return v.run(ctx, env, stdio, path, p)
}

func (v *Verb) run(ctx context.Context, env *Env, stdio Stdio, path string, p reflect.Value) int {
	c := &Call{Context: ctx, Env: env, Verb: v, Path: path, Stdin: stdio.In, Stdout: stdio.Out, Stderr: stdio.Err, TTY: stdio.TTY}
	value, err := v.invoke(c, p)
	if value != nil {
		err = joinErrors([]error{v.show(c, p, value), err})
		if stdio.Shown != nil {
			if x := shownValue(env, value); x != nil {
				stdio.Shown(x)
			}
		}
	}
	return v.report(c, err)
}

// shownValue is what a command has shown, as a value; nil when it was none.
func shownValue(env *Env, value any) starlark.Value {
	if list, ok := value.([]done); ok {
		words := make([]string, len(list))
		for i, d := range list {
			words[i] = d.Word
		}
		value = words
	}
	v, err := ToStarlark(env, value)
	if err != nil || v == starlark.None {
		return nil
	}
	return v
}

// invoke connects, refuses what is not built, and does the work. Both faces
// come through here.
func (v *Verb) invoke(c *Call, p reflect.Value) (any, error) {
	if err := v.refuse(p); err != nil {
		return nil, usageError{err}
	}
	if v.NoEngine && v.Effect != Reads {
		if err := lang.Require(c.Context, lang.HostWrite, v.scriptName(), "engine"); err != nil {
			return nil, err
		}
	}
	if !v.NoEngine {
		eng, err := c.Env.Engine(c.Context)
		if err != nil {
			return nil, usageError{err} // no daemon has answered
		}
		c.Engine = eng
	} else if pl := plan.From(c.Context); pl != nil && v.Effect != Reads {
		pl.Add(plan.Change{Action: v.name(), Kind: "engine", Name: "bundled"})
		return nil, nil
	}
	if plan.From(c.Context) != nil && v.Effect != Reads {
		c.Context = plan.WithCommand(c.Context, v.commandLine(p))
	}
	return v.do(c, p)
}

// exitStatus is an error that only carries a status: everything has been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// report prints err the way docker does and gives the exit status.
func (v *Verb) report(c *Call, err error) int {
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	prefix := ""
	if v.Failure != 0 {
		prefix = c.Program + ": "
	}
	for _, e := range flatten(err) {
		text := e.Error()
		var usage usageError
		if fromEngine(e) && !errors.As(e, &usage) {
			text = "Error response from daemon: " + text
		}
		fmt.Fprintf(c.Stderr, "%s%s\n", prefix, text)
		if h := fault.HintOf(e); h != "" {
			fmt.Fprintf(c.Stderr, "hint: %s\n", h)
		}
	}
	if prefix != "" && !fault.Is(err, fault.Cancelled) {
		fmt.Fprintf(c.Stderr, "\nRun '%s --help' for more information\n", fullName(c.Env, c.Path))
	}
	if code := fault.CodeOf(err); code > 1 {
		return code
	}
	if v.Failure != 0 {
		return v.Failure
	}
	return 1
}

// fromEngine tells docker's "Error response from daemon" from what its client
// says by itself: an engine that cannot be reached, and a call that was cancelled.
func fromEngine(err error) bool {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Conflict, fault.Invalid, fault.Denied, fault.Internal:
		return true
	}
	return false
}

func flatten(err error) []error {
	if m, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range m.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}

// bind puts the words that are no flags into the positional fields. It gives
// docker's complaint when their number is wrong.
func (v *Verb) bind(p reflect.Value, words []string) string {
	least, most := 0, 0
	for i := range v.params() {
		q := &v.params()[i]
		if q.arg == "" || q.noCommand {
			continue
		}
		if !q.optional {
			least++
		}
		if q.variadic() {
			most = -1
		} else if most >= 0 {
			most++
		}
	}
	switch {
	case most == 0 && len(words) > 0:
		return "accepts no arguments"
	case least == most && len(words) != least:
		return "requires " + plural(least)
	case least > 0 && most > 0 && (len(words) < least || len(words) > most):
		return fmt.Sprintf("requires at least %d and at most %s", least, plural(most))
	case len(words) < least:
		return "requires at least " + plural(least)
	case most >= 0 && len(words) > most:
		return "requires at most " + plural(most)
	}
	for i := range v.params() {
		q := &v.params()[i]
		if q.arg == "" || q.noCommand || len(words) == 0 {
			continue
		}
		f := p.Elem().FieldByIndex(q.index)
		n := 1
		if q.variadic() {
			n = len(words)
		}
		for _, w := range words[:n] {
			if err := setText(f, w); err != nil {
				return fmt.Sprintf("cannot take %q for %s: %v", w, q.arg, err)
			}
		}
		words = words[n:]
	}
	return ""
}

func plural(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// flags makes the flag set that writes into p.
func (v *Verb) flags(p reflect.Value) *pflag.FlagSet {
	fs := pflag.NewFlagSet(v.name(), pflag.ContinueOnError)
	fs.Usage = func() {}
	fs.SetOutput(io.Discard)
	for i := range v.params() {
		q := &v.params()[i]
		if q.flag == "" || q.noCommand {
			continue
		}
		val := &flagValue{field: p.Elem().FieldByIndex(q.index), word: q.word}
		add := func(name, short string) *pflag.Flag {
			f := fs.VarPF(val, name, short, q.doc)
			if q.word == "bool" {
				f.NoOptDefVal = "true"
			}
			if q.def != "" && val.field.Kind() == reflect.Slice {
				f.DefValue = q.def
			}
			f.Hidden = q.notBuilt()
			return f
		}
		add(q.flag, q.short)
		for _, a := range q.alias {
			add(a, "").Hidden = true
		}
	}
	help := fs.VarPF(&flagValue{field: reflect.New(reflect.TypeFor[bool]()).Elem(), word: "bool"}, "help", "", "Print usage")
	help.NoOptDefVal = "true"
	// docker's help only tells of --help where -h is another flag.
	help.Hidden = !v.NoShorthandHelp
	return fs
}

// flagValue is a field seen as a flag.
type flagValue struct {
	field reflect.Value
	word  string
}

func (f *flagValue) Set(s string) error { return setText(f.field, s) }
func (f *flagValue) Type() string       { return f.word }
func (f *flagValue) String() string {
	if !f.field.IsValid() {
		return ""
	}
	v := f.field
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Struct:
		return ""
	}
	if v.IsZero() {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// fullName is "docker container ls": program and path.
func fullName(env *Env, path string) string { return env.Program + " " + path }

// usage is the line that follows "Usage:".
func (v *Verb) usage(env *Env, path string) string {
	parts := []string{fullName(env, path)}
	for i := range v.params() {
		if q := &v.params()[i]; q.flag != "" && !q.noCommand && !q.notBuilt() && !v.BareUsage {
			parts = append(parts, "[OPTIONS]")
			break
		}
	}
	for i := range v.params() {
		if q := &v.params()[i]; q.arg != "" && !q.noCommand {
			parts = append(parts, q.arg)
		}
	}
	return strings.Join(parts, " ")
}

// Help is the text of --help, docker's layout, wrapped at cols.
func (v *Verb) Help(env *Env, cols int) string { return v.help(env, v.Paths[0], cols) }

func (v *Verb) help(env *Env, path string, cols int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:  %s\n\n", v.usage(env, path))
	if v.Long != "" {
		b.WriteString(v.Long + "\n")
	} else {
		b.WriteString(v.Short + "\n")
	}
	if len(v.Paths) > 1 {
		paths := append([]string(nil), v.Paths...)
		sort.Slice(paths, func(i, j int) bool {
			si, sj := strings.Contains(paths[i], " "), strings.Contains(paths[j], " ")
			if si != sj {
				return si
			}
			return false
		})
		for i := range paths {
			paths[i] = env.Program + " " + paths[i]
		}
		fmt.Fprintf(&b, "\nAliases:\n  %s\n", strings.Join(paths, ", "))
	}
	p := v.make()
	v.defaults(p)
	if u := v.flags(p).FlagUsagesWrapped(cols); u != "" {
		fmt.Fprintf(&b, "\nOptions:\n%s", u)
	}
	return b.String()
}

// width of the terminal for help texts; 80 when there is none, as docker has it.
func width(io Stdio) int {
	if io.TTY != nil {
		if w, _, err := io.TTY.Size(); err == nil && w > 0 {
			return w
		}
	}
	return 80
}
