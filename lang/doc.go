package lang

import (
	"fmt"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

// Doc is what is known of a function. Help, completion, the checker, the language
// server and the reference pages all read it, and nothing else.
type Doc struct {
	Name    string // "run", "net.tcp"
	Params  []Param
	Returns string // the type in words, "" when that is not said
	Short   string // one line
	Long    string // further paragraphs
	Docker  string // the command line of docker that does the same, "" when there is none
	Example string // Starlark that runs, "" when there is none
}

// Param is one parameter of a [Doc].
type Param struct {
	Name     string
	Type     string
	Default  string // as Starlark; "" when it must be given
	Doc      string
	Variadic bool // *name
	Extra    bool // **name: any further keyword is taken
	Named    bool // by keyword only
	Alias    []string
}

// Signature is the call as help shows it: `net.tcp(address, timeout="1s")`.
func (d *Doc) Signature() string {
	var parts []string
	star := false
	for _, p := range d.Params {
		switch {
		case p.Variadic:
			star = true
			parts = append(parts, "*"+p.Name)
		case p.Extra:
			parts = append(parts, "**"+p.Name)
		default:
			if p.Named && !star {
				star = true
				parts = append(parts, "*")
			}
			if p.Default != "" {
				parts = append(parts, p.Name+"="+p.Default)
			} else {
				parts = append(parts, p.Name)
			}
		}
	}
	s := d.Name + "(" + strings.Join(parts, ", ") + ")"
	if d.Returns != "" {
		s += " -> " + d.Returns
	}
	return s
}

// Text is the help: what name? and help(name) print. It ends with a newline.
func (d *Doc) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", d.Signature(), d.Short)
	if d.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", d.Long)
	}
	w := 0
	for _, p := range d.Params {
		if p.Doc != "" {
			w = max(w, len(p.Name))
		}
	}
	first := true
	for _, p := range d.Params {
		if p.Doc == "" {
			continue
		}
		if first {
			b.WriteString("\n")
			first = false
		}
		fmt.Fprintf(&b, "  %-*s  %s\n", w, p.Name, strings.ReplaceAll(p.Doc, "\n", "\n"+strings.Repeat(" ", w+4)))
	}
	if d.Docker != "" {
		fmt.Fprintf(&b, "\nDocker:\n%s\n", indent(d.Docker))
	}
	if d.Example != "" {
		fmt.Fprintf(&b, "\nExample:\n%s\n", indent(d.Example))
	}
	return b.String()
}

func indent(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = "    " + l
		}
	}
	return strings.Join(lines, "\n")
}

// Param finds a parameter that may be given by keyword.
func (d *Doc) Param(keyword string) *Param {
	for i := range d.Params {
		p := &d.Params[i]
		if p.Name == keyword && !p.Variadic && !p.Extra {
			return p
		}
		for _, a := range p.Alias {
			if a == keyword {
				return p
			}
		}
	}
	return nil
}

// Documented is a function of ours that knows its [Doc].
type Documented interface {
	starlark.Callable
	Doc() *Doc
}

// Builtin is a function in Go that knows its [Doc].
type Builtin struct {
	*starlark.Builtin
	doc func() *Doc
}

var _ Documented = (*Builtin)(nil)

// Doc gives the documentation. It is made at the first call: most runs of the
// program need that of no function.
func (b *Builtin) Doc() *Doc { return b.doc() }

// BindReceiver makes the method of a value, with the same documentation.
func (b *Builtin) BindReceiver(recv starlark.Value) *Builtin {
	return &Builtin{b.Builtin.BindReceiver(recv), b.doc}
}

// GoFunc is the body of a function in Go.
type GoFunc = func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

// NewBuiltin makes a function with the documentation that doc gives.
func NewBuiltin(name string, doc func() *Doc, fn GoFunc) *Builtin {
	return &Builtin{starlark.NewBuiltin(name, fn), doc}
}

// Func makes a function from its signature as one writes it in Starlark, and a
// docstring:
//
//	Func(`net.tcp(address, timeout="1s") -> bool`, `Tells whether something accepts connections there.
//
//	Args:
//	  address: "host:port"
//	  timeout: how long to wait for an answer
//	Example:
//	  poll(lambda: net.tcp("127.0.0.1:80"))
//	`, fn)
//
// The sections are Args:, Returns:, Docker: and Example:, as in the docstring of a
// function that is written in Starlark. A signature that cannot be parsed panics at
// the first use of the documentation: the tests look at all of them.
func Func(signature, docstring string, fn GoFunc) *Builtin {
	name, _, _ := strings.Cut(signature, "(")
	return NewBuiltin(name, sync.OnceValue(func() *Doc { return parseDoc(signature, docstring) }), fn)
}

func parseDoc(signature, docstring string) *Doc {
	call, returns, _ := strings.Cut(signature, " -> ")
	name, params, _ := strings.Cut(call, "(")
	f, err := dialect.Parse(name, "def f("+params+": pass\n", 0)
	if err != nil {
		panic("lang: signature " + signature + ": " + err.Error())
	}
	d := &Doc{Name: name, Returns: returns}
	d.params(f.Stmts[0].(*syntax.DefStmt), "def f("+params)
	d.docstring(docstring)
	return d
}

// params reads the parameters of a definition, whose first line is text.
func (d *Doc) params(def *syntax.DefStmt, text string) { d.paramsAt(def, text, 1) }

// paramsAt is params of one whose first line is that of a file.
func (d *Doc) paramsAt(def *syntax.DefStmt, text string, line int32) {
	named := false
	for _, e := range def.Params {
		switch e := e.(type) {
		case *syntax.Ident:
			d.Params = append(d.Params, Param{Name: e.Name, Named: named})
		case *syntax.BinaryExpr:
			from, to := e.Y.Span()
			def := "…"
			if from.Line == line && to.Line == line && int(to.Col) <= len(text)+1 {
				def = text[from.Col-1 : to.Col-1]
			}
			d.Params = append(d.Params, Param{Name: e.X.(*syntax.Ident).Name, Default: def, Named: named})
		case *syntax.UnaryExpr:
			id, _ := e.X.(*syntax.Ident)
			switch {
			case e.Op == syntax.STARSTAR:
				d.Params = append(d.Params, Param{Name: id.Name, Extra: true})
			case id != nil:
				d.Params = append(d.Params, Param{Name: id.Name, Variadic: true})
				named = true
			default:
				named = true
			}
		}
	}
}

// docstring reads the sections of Bazel's convention, and Docker: and Example:.
func (d *Doc) docstring(text string) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	cut := len(lines[0])
	// All lines but the first share their indentation.
	margin := -1
	for _, l := range lines[1:] {
		if t := strings.TrimLeft(l, " \t"); t != "" && (margin < 0 || len(l)-len(t) < margin) {
			margin = len(l) - len(t)
		}
	}
	for i := range lines[1:] {
		if l := lines[i+1]; len(l) >= margin && margin > 0 {
			lines[i+1] = l[margin:]
		}
	}
	d.Short = lines[0][:cut]
	section := ""
	parts := map[string][]string{}
	for _, l := range lines[1:] {
		switch l {
		case "Args:", "Returns:", "Docker:", "Example:":
			section = strings.TrimSuffix(l, ":")
			continue
		}
		if section != "" && l != "" && l[0] != ' ' && l[0] != '\t' {
			section = ""
		}
		parts[section] = append(parts[section], l)
	}
	d.Long = dedent(parts[""])
	d.Docker = dedent(parts["Docker"])
	d.Example = dedent(parts["Example"])
	if r := dedent(parts["Returns"]); r != "" {
		if d.Long != "" {
			d.Long += "\n\n"
		}
		d.Long += "Returns " + r
	}
	var last *Param
	for _, l := range strings.Split(dedent(parts["Args"]), "\n") {
		if name, doc, ok := strings.Cut(l, ": "); ok && !strings.HasPrefix(l, " ") {
			if last = d.named(strings.TrimLeft(name, "*")); last != nil {
				last.Doc = doc
			}
		} else if last != nil && strings.TrimSpace(l) != "" {
			last.Doc += " " + strings.TrimSpace(l)
		}
	}
}

func (d *Doc) named(name string) *Param {
	for i := range d.Params {
		if d.Params[i].Name == name {
			return &d.Params[i]
		}
	}
	return nil
}

// dedent takes the indentation off that all lines have, and empty lines at the ends.
func dedent(lines []string) string {
	margin := -1
	for _, l := range lines {
		if t := strings.TrimLeft(l, " \t"); t != "" && (margin < 0 || len(l)-len(t) < margin) {
			margin = len(l) - len(t)
		}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		if len(l) >= margin && margin > 0 {
			l = l[margin:]
		}
		out[i] = l
	}
	return strings.Trim(strings.Join(out, "\n"), "\n")
}

// DocOf gives what is known of a function, nil for a value that is none or of which
// nothing is known.
func DocOf(v starlark.Value) *Doc {
	switch v := v.(type) {
	case Documented:
		return v.Doc()
	case *starlark.Function:
		d := &Doc{Name: v.Name()}
		required := v.NumParams() - v.NumKwonlyParams()
		if v.HasVarargs() {
			required--
		}
		if v.HasKwargs() {
			required--
		}
		varargs := v.HasVarargs()
		for i := range v.NumParams() {
			name, _ := v.Param(i)
			p := Param{Name: name}
			switch {
			case v.HasKwargs() && i == v.NumParams()-1:
				p.Extra = true
			case varargs && i == v.NumParams()-1-boolInt(v.HasKwargs()):
				p.Variadic = true
			default:
				p.Named = i >= required
				if def := v.ParamDefault(i); def != nil {
					p.Default = def.String()
				}
			}
			d.Params = append(d.Params, p)
		}
		// *args stands behind the parameters that may be given by position.
		if varargs {
			at := len(d.Params) - 1 - boolInt(v.HasKwargs())
			p := d.Params[at]
			copy(d.Params[required+1:at+1], d.Params[required:at])
			d.Params[required] = p
		}
		d.docstring(v.Doc())
		return d
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// help prints the documentation of a value.
func (i *Interp) help(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	if err := UnpackArgs("help", args, kwargs, "x", &x); err != nil {
		return nil, err
	}
	name, isName := starlark.AsString(x)
	if isName {
		if x = i.lookup(name); x == nil {
			return nil, fault.New(fault.NotFound, "no help for %q", name)
		}
	}
	text := HelpOf(x)
	if text == "" {
		return nil, fault.New(fault.NotFound, "no help for a value of type %s", x.Type()).WithHint("dir(x) lists its attributes")
	}
	fmt.Fprint(i.opts.Stdout, text)
	return starlark.None, nil
}

// lookup finds a dotted name among what the session and the language have.
func (i *Interp) lookup(name string) starlark.Value {
	first, rest, dotted := strings.Cut(name, ".")
	v := i.Lookup(first)
	for dotted && v != nil {
		first, rest, dotted = strings.Cut(rest, ".")
		has, ok := v.(starlark.HasAttrs)
		if !ok {
			return nil
		}
		// An attribute that fails is one without help.
		v, _ = has.Attr(first)
	}
	return v
}

// Helper is a value with a help text of its own.
type Helper interface{ Help() string }

// HelpOf is the help of a value, "" when there is none.
func HelpOf(v starlark.Value) string {
	switch v := v.(type) {
	case Helper:
		return v.Help()
	case *starlark.Function:
		if v.Doc() == "" {
			return ""
		}
	}
	if d := DocOf(v); d != nil {
		return d.Text()
	}
	return ""
}

// Help is the help of a dotted name, "" when there is none.
func (i *Interp) Help(name string) string {
	if v := i.lookup(name); v != nil {
		return HelpOf(v)
	}
	return ""
}

// Help lists what a module has.
func (m *Module) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", m.Name, m.Short)
	w := 0
	for _, n := range m.Members.Keys() {
		w = max(w, len(n))
	}
	for _, n := range m.Members.Keys() {
		short := ""
		if d := DocOf(m.Members[n]); d != nil {
			short = d.Short
		}
		fmt.Fprintf(&b, "  %s.%-*s  %s\n", m.Name, w, n, short)
	}
	return b.String()
}

// Module is a named group of functions, such as net, with a line on it.
type Module struct {
	starlarkstruct.Module
	Short string
}

// NewModule makes a module of functions whose names are "module.function".
func NewModule(name, short string, funcs ...*Builtin) *Module {
	m := &Module{starlarkstruct.Module{Name: name, Members: starlark.StringDict{}}, short}
	for _, f := range funcs {
		m.Members[strings.TrimPrefix(f.Name(), name+".")] = f
	}
	m.Members.Freeze()
	return m
}
