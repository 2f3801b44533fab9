package lang

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Member is a name with one line on what it is.
type Member struct{ Name, Doc string }

// Members are the attributes of the value that a dotted name has in the session. No
// function is called for them.
func (i *Interp) Members(name string) []Member {
	has, ok := i.lookup(name).(starlark.HasAttrs)
	if !ok {
		return nil
	}
	var out []Member
	for _, n := range has.AttrNames() {
		v, err := has.Attr(n)
		if err != nil || v == nil {
			continue
		}
		out = append(out, Member{n, brief(v)})
	}
	return out
}

// DocOf gives the documentation of the function that a dotted name is, or nil.
func (i *Interp) DocOf(name string) *Doc {
	if v := i.lookup(name); v != nil {
		return DocOf(v)
	}
	return nil
}

// Brief is one line on what a dotted name is.
func (i *Interp) Brief(name string) string {
	if v := i.lookup(name); v != nil {
		return brief(v)
	}
	return ""
}

func brief(v starlark.Value) string {
	if d := DocOf(v); d != nil {
		return d.Short
	}
	switch v := v.(type) {
	case *Module:
		return v.Short
	case starlark.String, starlark.Int, starlark.Bool, starlark.NoneType, starlark.Float:
		const most = 60
		text := visible(v.String())
		if len(text) > most {
			text = strings.ToValidUTF8(text[:most], "") + "…"
		}
		return text
	case startime.Time, startime.Duration:
		return v.String()
	case *starlark.Builtin:
		return ""
	case starlark.Sequence:
		return fmt.Sprintf("%s of %d", v.Type(), v.Len())
	}
	return v.Type()
}

// StdModules are those of the standard library, as load takes them.
func (i *Interp) StdModules() []Member {
	if i.opts.Stdlib == nil {
		return nil
	}
	var out []Member
	_ = fs.WalkDir(i.opts.Stdlib, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) != ".star" {
			return nil
		}
		m := Member{Name: "@std//" + p}
		if src, err := fs.ReadFile(i.opts.Stdlib, p); err == nil {
			if f, err := dialect.Parse(p, src, 0); err == nil {
				m.Doc = docstringOf(f.Stmts)
			}
		}
		out = append(out, m)
		return nil
	})
	return out
}

// Exports are the names that a module defines, without running it; nil when it cannot be
// read.
func (i *Interp) Exports(module string) []Member {
	_, read, err := i.locate("", module)
	if err != nil {
		return nil
	}
	src, err := read()
	if err != nil || len(src) > maxSource {
		return nil
	}
	f, err := dialect.Parse(module, src, 0)
	if err != nil {
		return nil
	}
	var out []Member
	for _, s := range f.Stmts {
		doc := ""
		if def, ok := s.(*syntax.DefStmt); ok {
			doc = docstringOf(def.Body)
		}
		if _, ok := s.(*syntax.LoadStmt); ok {
			continue // what a module loads is its own
		}
		bound(s, func(id *syntax.Ident) {
			if !strings.HasPrefix(id.Name, "_") {
				out = append(out, Member{id.Name, doc})
			}
		})
	}
	return out
}

// docstringOf is the first line of the text that statements begin with.
func docstringOf(stmts []syntax.Stmt) string {
	if len(stmts) == 0 {
		return ""
	}
	e, ok := stmts[0].(*syntax.ExprStmt)
	if !ok {
		return ""
	}
	lit, ok := e.X.(*syntax.Literal)
	if !ok {
		return ""
	}
	text, _ := lit.Value.(string)
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
