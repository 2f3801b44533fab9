package lang

import (
	"fmt"
	"slices"
	"strings"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
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
	var out []Member
	for _, name := range i.Modules() {
		m := Member{Name: name}
		if text, _, err := i.ModuleDoc(name); err == nil {
			m.Doc, _, _ = strings.Cut(text, "\n")
		}
		out = append(out, m)
	}
	return out
}

// Exports are the names that a module defines, without running it; nil when it cannot be
// read.
func (i *Interp) Exports(module string) []Member {
	docs, err := i.exports("", module, nil)
	if err != nil {
		return nil
	}
	var out []Member
	for name, d := range docs {
		m := Member{Name: name}
		if d != nil {
			m.Doc = d.Short
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}
