package lang

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// Severity of a [Diagnostic].
type Severity int

// A Mistake keeps the script from running to its end; a Warning does not.
const (
	Mistake Severity = iota
	Warning
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Diagnostic is one mistake that can be seen without running a script.
type Diagnostic struct {
	Pos, End syntax.Position // End is behind it; it is Pos where that is not known
	Severity Severity
	Message  string
	Hint     string
	// Code names the kind of mistake: syntax, undefined, load, unused, call, attribute, flag, command.
	Code string
}

// Checker finds what is wrong with scripts before they run. Only what is certain is
// told: of a value whose type depends on the run nothing is said.
type Checker struct {
	i *Interp
	// Command checks the words of a command line that a script gives to sh(); nil:
	// they are not looked at.
	Command func(line string) error
}

// NewChecker makes a checker that knows the names and the modules of i.
func NewChecker(i *Interp) *Checker { return &Checker{i: i} }

// Check gives the mistakes of a file, in the order of their places. Modules that it
// loads are read for what they define; their own mistakes are told at the load.
func (c *Checker) Check(path string, src []byte) []Diagnostic {
	if len(src) > maxSource {
		return []Diagnostic{{Message: fmt.Sprintf("%s has %d bytes; a script has %d at the most", path, len(src), maxSource), Code: "syntax"}}
	}
	c.i.remember(path, src)
	f, err := dialect.Parse(path, src, 0)
	if err != nil {
		return []Diagnostic{c.syntax(err)}
	}
	k := &checking{Checker: c, file: f, path: path, docs: map[*syntax.Ident]*Doc{}, own: map[string]*Doc{}, used: map[string]bool{}, text: strings.Split(string(src), "\n")}
	k.names()
	k.loads()
	k.flags()
	k.defs()
	k.walk()
	k.unused()
	slices.SortStableFunc(k.out, func(a, b Diagnostic) int {
		if a.Pos.Line != b.Pos.Line {
			return int(a.Pos.Line - b.Pos.Line)
		}
		return int(a.Pos.Col - b.Pos.Col)
	})
	return k.out
}

// Text is a diagnostic for people, as [Interp.Report] has it.
func (c *Checker) Text(d Diagnostic) string {
	var b strings.Builder
	severity := ""
	if d.Severity == Warning {
		severity = "warning: "
	}
	fmt.Fprintf(&b, "%s: %s%s\n", d.Pos, severity, visible(d.Message))
	b.WriteString(c.i.source(d.Pos))
	if d.Hint != "" {
		fmt.Fprintf(&b, "hint: %s\n", visible(d.Hint))
	}
	return b.String()
}

func (c *Checker) syntax(err error) Diagnostic {
	d := Diagnostic{Message: err.Error(), Code: "syntax"}
	var bad syntax.Error
	if errors.As(err, &bad) {
		d.Pos, d.End, d.Message = bad.Pos, bad.Pos, bad.Msg
		d.Hint = syntaxHint(c.i.line(bad.Pos))
	}
	return d
}

// checking is one file at work.
type checking struct {
	*Checker
	file *syntax.File
	path string
	text []string
	out  []Diagnostic

	// docs are those of functions that are defined or loaded once, by the identifier
	// that binds them.
	docs   map[*syntax.Ident]*Doc
	own    map[string]*Doc // of the file's functions
	loaded []*syntax.Ident
	used   map[string]bool
}

func (k *checking) add(n syntax.Node, code, format string, args ...any) *Diagnostic {
	from, to := n.Span()
	k.out = append(k.out, Diagnostic{Pos: from, End: to, Code: code, Message: fmt.Sprintf(format, args...)})
	return &k.out[len(k.out)-1]
}

// names finds what nothing defines, and resolves all others.
func (k *checking) names() {
	var list *NameErrors
	err := k.i.undefined(k.file, k.i.names.Has)
	if errors.As(err, &list) {
		for _, e := range list.List {
			end := e.Pos
			if _, name, ok := strings.Cut(e.Msg, "undefined: "); ok {
				name, _, _ = strings.Cut(name, " ")
				end.Col += int32(len(name))
			}
			k.out = append(k.out, Diagnostic{Pos: e.Pos, End: end, Message: e.Msg, Code: "undefined"})
		}
	} else if err != nil {
		k.out = append(k.out, k.syntax(err))
	}
}

// loads looks into the modules that are loaded.
func (k *checking) loads() {
	for _, s := range k.file.Stmts {
		load, ok := s.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		name, _ := load.Module.Value.(string)
		exports, err := k.i.exports(k.path, name, nil)
		if err != nil {
			k.add(load.Module, "load", "%s", message(err)).Hint = fault.HintOf(err)
		}
		for n, from := range load.From {
			to := load.To[n]
			k.loaded = append(k.loaded, to)
			if err != nil {
				continue
			}
			doc, ok := exports[from.Name]
			switch {
			case ok:
				k.docs[to] = doc
			case strings.HasPrefix(from.Name, "_"): // that is told with the names
			default:
				k.used[to.Name] = true // that it is not there says enough
				d := k.add(from, "load", "%s has no %s", name, from.Name)
				all := make([]string, 0, len(exports))
				for e := range exports {
					all = append(all, e)
				}
				slices.Sort(all)
				if near := Closest(from.Name, all); near != "" {
					d.Message += fmt.Sprintf(" (did you mean %s?)", near)
				} else {
					d.Hint = "it has " + strings.Join(all, ", ")
				}
			}
		}
	}
}

// exports are the names that a module has for others, with the documentation of those
// that are functions. chain are the modules that are being read.
func (i *Interp) exports(from, name string, chain []string) (map[string]*Doc, error) {
	key, read, err := i.locate(from, name)
	if err != nil {
		return nil, err
	}
	out := map[string]*Doc{}
	if read == nil {
		for n, v := range i.opts.Natives[strings.TrimPrefix(key, std)]() {
			out[n] = DocOf(v)
		}
		return out, nil
	}
	if n := slices.Index(chain, key); n >= 0 {
		return nil, fault.New(fault.Invalid, "cycle of loads: %s", strings.Join(append(chain[n:], key), " loads "))
	}
	src, err := read()
	if err != nil {
		return nil, err
	}
	f, err := dialect.Parse(key, src, 0)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s", err)
	}
	lines := strings.Split(string(src), "\n")
	for _, s := range f.Stmts {
		if load, ok := s.(*syntax.LoadStmt); ok {
			inner, _ := load.Module.Value.(string)
			if _, err := i.exports(key, inner, append(slices.Clone(chain), key)); err != nil {
				return nil, err
			}
		}
		bindings(s, func(id *syntax.Ident, def *syntax.DefStmt) {
			if strings.HasPrefix(id.Name, "_") {
				return
			}
			out[id.Name] = nil
			if def != nil {
				out[id.Name] = defDoc(def, lines)
			}
		})
	}
	if err := i.undefined(f, i.names.Has); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fault.New(fault.Invalid, "%s", first)
	}
	return out, nil
}

// bindings calls fn for each name that a statement of the top level binds.
func bindings(s syntax.Stmt, fn func(id *syntax.Ident, def *syntax.DefStmt)) {
	targets := func(e syntax.Expr) {
		syntax.Walk(e, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Ident:
				fn(n, nil)
			case *syntax.DotExpr, *syntax.IndexExpr:
				return false
			}
			return true
		})
	}
	syntax.Walk(s, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			fn(n.Name, n)
			return false
		case *syntax.LambdaExpr, *syntax.Comprehension:
			return false
		case *syntax.AssignStmt:
			targets(n.LHS)
		case *syntax.ForStmt:
			targets(n.Vars)
		}
		return true
	})
}

// defDoc is the documentation of a function from its text.
func defDoc(def *syntax.DefStmt, lines []string) *Doc {
	d := &Doc{Name: def.Name.Name}
	first := ""
	if n := int(def.Def.Line); n <= len(lines) {
		first = lines[n-1]
	}
	d.paramsAt(def, first, def.Def.Line)
	if len(def.Body) > 0 {
		if e, ok := def.Body[0].(*syntax.ExprStmt); ok {
			if lit, ok := e.X.(*syntax.Literal); ok && lit.Token == syntax.STRING {
				text, _ := lit.Value.(string)
				d.docstring(text)
			}
		}
	}
	return d
}

func (k *checking) flags() {
	if _, err := declarations(k.file); err != nil {
		d := k.syntax(err)
		d.Code = "flag"
		k.out = append(k.out, d)
	}
}

// defs notes the functions that are bound once, and to nothing else.
func (k *checking) defs() {
	count := map[string]int{}
	defs := map[string]*syntax.DefStmt{}
	for _, s := range k.file.Stmts {
		bindings(s, func(id *syntax.Ident, def *syntax.DefStmt) {
			count[id.Name]++
			if def != nil {
				defs[id.Name] = def
			}
		})
	}
	for name, def := range defs {
		if count[name] == 1 {
			k.docs[def.Name] = defDoc(def, k.text)
			k.own[name] = k.docs[def.Name]
		}
	}
}

// walk looks at each use of a name, attribute and call.
func (k *checking) walk() {
	syntax.Walk(k.file, func(n syntax.Node) bool {
		if len(k.out) > maxNameErrors {
			// Nobody reads more. What is unused is not known then.
			k.loaded = nil
			return false
		}
		switch n := n.(type) {
		case *syntax.LoadStmt:
			return false
		case *syntax.Ident:
			k.used[n.Name] = true
		case *syntax.DotExpr:
			k.attribute(n)
		case *syntax.CallExpr:
			k.call(n)
		}
		return true
	})
}

// predeclared gives the value that an expression surely has: a name of the language, or
// an attribute of a module or a group.
func (k *checking) predeclared(e syntax.Expr) starlark.Value {
	switch e := e.(type) {
	case *syntax.Ident:
		b, ok := e.Binding.(*resolve.Binding)
		if ok && b.Scope == resolve.Predeclared {
			return k.i.names[e.Name]
		}
		if ok && b.Scope == resolve.Universal {
			return starlark.Universe[e.Name]
		}
	case *syntax.DotExpr:
		if has := k.fixed(e.X); has != nil {
			// An attribute that fails is one of which nothing is known.
			v, _ := has.Attr(e.Name.Name)
			return v
		}
	case *syntax.ParenExpr:
		return k.predeclared(e.X)
	}
	return nil
}

// Fixed marks values whose attributes are the same in every run: modules and groups.
type Fixed interface {
	starlark.HasAttrs
	FixedAttrs()
}

// FixedAttrs implements [Fixed].
func (m *Module) FixedAttrs() {}

func (k *checking) fixed(e syntax.Expr) starlark.HasAttrs {
	switch v := k.predeclared(e).(type) {
	case Fixed:
		return v
	case *starlarkstruct.Module: // those of starlark-go: json, math, time
		return v
	case *starlark.List: // args
		return v
	}
	return nil
}

func (k *checking) attribute(n *syntax.DotExpr) {
	has := k.fixed(n.X)
	if v := k.predeclared(n.X); has == nil && v != nil {
		if _, ok := v.(starlark.HasAttrs); !ok {
			k.add(n.Name, "attribute", "a %s has no attributes", v.Type())
		}
	}
	if has == nil || slices.Contains(has.AttrNames(), n.Name.Name) {
		return
	}
	k.attributeError(n, has)
}

func (k *checking) attributeError(n *syntax.DotExpr, has starlark.HasAttrs) {
	name := "it"
	if id, ok := n.X.(*syntax.Ident); ok {
		name = id.Name
	}
	d := k.add(n.Name, "attribute", "%s has no .%s", name, n.Name.Name)
	if near := Closest(n.Name.Name, has.AttrNames()); near != "" {
		d.Message += fmt.Sprintf(" (did you mean .%s?)", near)
	} else {
		d.Hint = "it has " + strings.Join(has.AttrNames(), ", ")
	}
}

// docOf is the documentation of what is called, nil when that is not certain.
func (k *checking) docOf(fn syntax.Expr) *Doc {
	if v := k.predeclared(fn); v != nil {
		return DocOf(v)
	}
	id, ok := fn.(*syntax.Ident)
	if !ok {
		return nil
	}
	b, ok := id.Binding.(*resolve.Binding)
	if !ok || b.First == nil {
		return nil
	}
	if d := k.docs[b.First]; d != nil {
		return d
	}
	// A global of the file: its first use may stand before its definition.
	if b.Scope == resolve.Global {
		return k.own[id.Name]
	}
	return nil
}

// call compares the arguments of a call with the parameters.
func (k *checking) call(n *syntax.CallExpr) {
	if v := k.predeclared(n.Fn); v != nil {
		if _, ok := v.(starlark.Callable); !ok {
			e := k.add(n.Fn, "call", "a %s is called, which is no function", v.Type())
			if has, ok := v.(starlark.HasAttrs); ok {
				e.Hint = "it has " + strings.Join(has.AttrNames(), ", ")
			}
			return
		}
	}
	d := k.docOf(n.Fn)
	if d == nil {
		return
	}
	if d.Name == "sh" {
		k.commandLine(n)
	}
	var positional []Param
	variadic, extra := false, false
	for _, p := range d.Params {
		switch {
		case p.Variadic:
			variadic = true
		case p.Extra:
			extra = true
		case !p.Named:
			positional = append(positional, p)
		}
	}
	given := map[string]bool{}
	count, spread := 0, false
	for _, a := range n.Args {
		switch a := a.(type) {
		case *syntax.UnaryExpr:
			if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
				spread = true
				continue
			}
			count++
		case *syntax.BinaryExpr:
			if a.Op != syntax.EQ {
				count++
				continue
			}
			id := a.X.(*syntax.Ident)
			p := d.Param(id.Name)
			if p == nil && variadic && namesVariadic(d, id.Name) {
				given[id.Name] = true
				continue
			}
			switch {
			case p == nil && !extra:
				k.keyword(id, d)
				spread = true // it may be meant for one that is missing
			case p != nil && given[p.Name]:
				k.add(id, "call", "%s: %s is given twice", d.Name, p.Name)
			case p != nil:
				given[p.Name] = true
			}
		default:
			count++
		}
	}
	if count > len(positional) && !variadic {
		k.add(n.Args[len(positional)], "call", "%s: got %d arguments, want at most %d without a name", d.Name, count, len(positional)).Hint = d.Signature()
		return
	}
	if spread {
		return
	}
	byPosition := map[string]bool{}
	for _, p := range positional[:min(count, len(positional))] {
		byPosition[p.Name] = true
		if given[p.Name] {
			k.add(n, "call", "%s: %s is given twice", d.Name, p.Name)
		}
	}
	for _, p := range d.Params {
		if p.Variadic || p.Extra || p.Default != "" || given[p.Name] || byPosition[p.Name] {
			continue
		}
		k.add(n, "call", "%s: missing argument %s", d.Name, p.Name).Hint = d.Signature()
	}
}

// namesVariadic: a verb takes the words of *command as a list, too: command = […].
func namesVariadic(d *Doc, name string) bool {
	for _, p := range d.Params {
		if p.Variadic && p.Name == name {
			return true
		}
	}
	return false
}

func (k *checking) keyword(id *syntax.Ident, d *Doc) {
	var names []string
	for _, p := range d.Params {
		if !p.Variadic && !p.Extra {
			names = append(names, p.Name)
		}
	}
	e := k.add(id, "call", "%s: unexpected keyword %q", d.Name, id.Name)
	if near := Closest(id.Name, names); near != "" {
		e.Message += fmt.Sprintf(" (did you mean %q?)", near)
		return
	}
	if sig := d.Signature(); len(sig) < 160 {
		e.Hint = sig
	} else {
		e.Hint = "nsh doc " + d.Name + " lists them"
	}
}

// commandLine looks at a line that a script gives to sh as a text.
func (k *checking) commandLine(n *syntax.CallExpr) {
	if k.Command == nil || len(n.Args) == 0 {
		return
	}
	lit, ok := n.Args[0].(*syntax.Literal)
	if !ok {
		return
	}
	line, ok := lit.Value.(string)
	if !ok {
		return
	}
	if err := k.Command(line); err != nil {
		k.add(lit, "command", "%s", message(err)).Hint = fault.HintOf(err)
	}
}

func (k *checking) unused() {
	for _, id := range k.loaded {
		if !k.used[id.Name] {
			k.add(id, "unused", "%s is loaded and not used", id.Name).Severity = Warning
		}
	}
}
