package lang

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// A script declares its flags where it uses them, at its top level:
//
//	tag = flag("tag", default = "latest", help = "which version")
//
// They are found in the text before anything runs, so that --help and a mistyped flag
// are answered by a script that has done nothing yet.

// declaration is one flag() of a script.
type declaration struct {
	name    string // as flag() has it
	pos     syntax.Position
	def     starlark.Value // nil: it must be given
	help    string
	choices []string
}

// word is the flag of the command line.
func (d declaration) word() string { return strings.ReplaceAll(d.name, "_", "-") }

// maxFlags bounds what a script can declare.
const maxFlags = 1000

// declarations finds the flags of a script. What is no literal cannot be known before
// the script runs, and is an error.
func declarations(f *syntax.File) ([]declaration, error) {
	var out []declaration
	var bad error
	for _, s := range f.Stmts {
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.DefStmt, *syntax.LambdaExpr:
				return false
			case *syntax.CallExpr:
				id, ok := n.Fn.(*syntax.Ident)
				if !ok || id.Name != "flag" || bad != nil {
					return true
				}
				d, err := declared(n)
				if err == nil && slices.ContainsFunc(out, func(o declaration) bool { return o.word() == d.word() }) {
					err = fmt.Errorf("flag %q is declared twice", d.name)
				}
				if err == nil && len(out) == maxFlags {
					err = fmt.Errorf("a script has %d flags at the most", maxFlags)
				}
				if err != nil {
					bad = syntax.Error{Pos: syntax.Start(n), Msg: err.Error()}
				}
				out = append(out, d)
			}
			return true
		})
	}
	return out, bad
}

func declared(call *syntax.CallExpr) (declaration, error) {
	d := declaration{pos: syntax.Start(call)}
	params := []string{"name", "default", "help", "choices"}
	for i, a := range call.Args {
		name, value := "", a
		if b, ok := a.(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
			name, value = b.X.(*syntax.Ident).Name, b.Y
		} else if i < len(params) {
			name = params[i]
		}
		v, err := literal(value)
		if err != nil {
			return d, fmt.Errorf("flag: %s: %w", name, err)
		}
		text, isText := starlark.AsString(v)
		switch name {
		case "name", "help":
			if !isText {
				return d, fmt.Errorf("flag: for parameter %q: got %s, want string", name, v.Type())
			}
			if name == "name" {
				d.name = text
			} else {
				d.help = text
			}
		case "default":
			switch v.(type) {
			case starlark.String, starlark.Int, starlark.Float, starlark.Bool, *starlark.List, starlark.NoneType:
				d.def = v
			default:
				return d, fmt.Errorf("flag: a default is a string, a number, True or False, a list, or None, not a %s", v.Type())
			}
		case "choices":
			list, ok := v.(*starlark.List)
			if !ok {
				return d, fmt.Errorf("flag: for parameter \"choices\": got %s, want list", v.Type())
			}
			for x := range list.Elements() {
				text, ok := starlark.AsString(x)
				if !ok {
					return d, errors.New("flag: choices are strings")
				}
				d.choices = append(d.choices, text)
			}
		default:
			return d, fmt.Errorf("flag: unexpected keyword %q", name)
		}
	}
	if d.name == "" || strings.Trim(d.word(), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" || d.word()[0] == '-' || d.word() == "help" {
		return d, fmt.Errorf("flag: %q is no name for a flag", d.name)
	}
	return d, nil
}

// literal evaluates what needs no names.
func literal(e syntax.Expr) (starlark.Value, error) {
	names := 0
	syntax.Walk(e, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Ident:
			if n.Name != "True" && n.Name != "False" && n.Name != "None" {
				names++
			}
		case *syntax.CallExpr, *syntax.Comprehension, *syntax.LambdaExpr:
			names++
		}
		return true
	})
	if names > 0 {
		return nil, errors.New("it must be a literal, as it is read before the script runs")
	}
	t := &starlark.Thread{}
	t.SetMaxExecutionSteps(1000)
	return starlark.EvalExprOptions(dialect, t, e, starlark.Universe)
}

// Usage is how a script is called: what --help prints.
type Usage struct{ Text string }

func (u *Usage) Error() string { return u.Text }

// parseArgs reads the arguments of a script that declares flags. The error is a
// [*Usage] when help is asked for.
func parseArgs(path, about string, decls []declaration, args []string) (map[string]starlark.Value, []string, error) {
	set := pflag.NewFlagSet(path, pflag.ContinueOnError)
	set.Usage = func() {}
	values := make([]func() (starlark.Value, error), len(decls))
	for i, d := range decls {
		values[i] = d.add(set)
	}
	help := set.BoolP("help", "h", false, "Print usage")
	set.Lookup("help").Hidden = true
	err := set.Parse(args)
	if *help {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:  nsh %s [OPTIONS] [ARG...]\n", path)
		if about != "" {
			fmt.Fprintf(&b, "\n%s\n", about)
		}
		fmt.Fprintf(&b, "\nOptions:\n%s", FlagUsages(set))
		return nil, nil, &Usage{b.String()}
	}
	wrong := func(format string, a ...any) error {
		e := fault.New(fault.Invalid, format, a...).WithHint("nsh %s --help lists the flags", path)
		e.Code = 2 // as every program has it for wrong usage
		return e
	}
	if err != nil {
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) {
			var words []string
			for _, d := range decls {
				words = append(words, d.word())
			}
			if near := Closest(unknown.GetSpecifiedName(), words); near != "" {
				return nil, nil, wrong("%s: %s (did you mean --%s?)", path, err, near)
			}
		}
		return nil, nil, wrong("%s: %s", path, err)
	}
	out := map[string]starlark.Value{}
	for i, d := range decls {
		if d.def == nil && !set.Changed(d.word()) {
			return nil, nil, wrong("%s: flag --%s is required", path, d.word())
		}
		v, err := values[i]()
		if err != nil {
			return nil, nil, wrong("%s: %s", path, err)
		}
		if len(d.choices) > 0 && set.Changed(d.word()) {
			if text, _ := starlark.AsString(v); !slices.Contains(d.choices, text) {
				return nil, nil, wrong("%s: --%s: %q is none of %s", path, d.word(), text, strings.Join(d.choices, ", "))
			}
		}
		out[d.name] = v
	}
	return out, set.Args(), nil
}

// add puts a flag into a set and tells how to read its value.
func (d declaration) add(set *pflag.FlagSet) func() (starlark.Value, error) {
	help := d.help
	if len(d.choices) > 0 {
		help = strings.TrimSpace(help + " (" + strings.Join(d.choices, ", ") + ")")
	}
	if d.def == nil {
		help = strings.TrimSpace(help + " (required)")
	}
	switch def := d.def.(type) {
	case starlark.Bool:
		p := set.Bool(d.word(), bool(def), help)
		return func() (starlark.Value, error) { return starlark.Bool(*p), nil }
	case starlark.Int:
		n, _ := def.Int64()
		p := set.Int64(d.word(), n, help)
		return func() (starlark.Value, error) { return starlark.MakeInt64(*p), nil }
	case starlark.Float:
		p := set.Float64(d.word(), float64(def), help)
		return func() (starlark.Value, error) { return starlark.Float(*p), nil }
	case *starlark.List:
		var words listFlag
		set.Var(&words, d.word(), help)
		return func() (starlark.Value, error) {
			if !set.Changed(d.word()) {
				return def, nil
			}
			var list []starlark.Value
			for _, s := range words {
				list = append(list, starlark.String(s))
			}
			return starlark.NewList(list), nil
		}
	}
	text, _ := starlark.AsString(d.def)
	p := set.String(d.word(), text, help)
	return func() (starlark.Value, error) {
		if d.def == starlark.None && !set.Changed(d.word()) {
			return starlark.None, nil
		}
		return starlark.String(*p), nil
	}
}

// listFlag is a flag that may be given several times.
type listFlag []string

func (l *listFlag) Set(s string) error { *l = append(*l, s); return nil }
func (l *listFlag) String() string     { return strings.Join(*l, ",") }
func (l *listFlag) Type() string       { return "list" }

// FlagUsages is the list of flags as docker's help has it: a flag that is on or off
// has no value.
func FlagUsages(set *pflag.FlagSet) string {
	const value = "[=true|false]" // pflag 1.1 adds it
	return strings.ReplaceAll(set.FlagUsages(), value, strings.Repeat(" ", len(value)))
}

// about is the docstring of a file.
func about(f *syntax.File) string {
	if len(f.Stmts) == 0 {
		return ""
	}
	if e, ok := f.Stmts[0].(*syntax.ExprStmt); ok {
		if lit, ok := e.X.(*syntax.Literal); ok && lit.Token == syntax.STRING {
			s, _ := lit.Value.(string)
			return dedent(strings.Split(strings.TrimSpace(s), "\n"))
		}
	}
	return ""
}

// flag is flag(): its value has been read before the script began.
func flag(i *Interp, t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name, help string
	var def starlark.Value
	var choices *starlark.List
	if err := UnpackArgs("flag", args, kwargs, "name", &name, "default?", &def, "help?", &help, "choices?", &choices); err != nil {
		return nil, err
	}
	if v, ok := i.flags[name]; ok {
		return v, nil
	}
	if i.opts.Session && def != nil {
		return def, nil // a script's line, tried at a prompt
	}
	return nil, fault.New(fault.Invalid, "flag: %q has not been declared", name).
		WithHint("flag(…) stands at the top level of the script that is run, not in a function or a module")
}
