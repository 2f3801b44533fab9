package lang

import (
	"strings"

	"go.starlark.net/syntax"
)

// Symbol is a name that a file defines at its top level, or loads.
type Symbol struct {
	Name     string
	Doc      *Doc   // of a function, else nil
	Path     string // of the file that defines it, @std//… for the standard library
	Source   string // of that file, when it is another
	Pos, End syntax.Position
}

// Outline are the names of a file, in order. A file with a mistake in its syntax has
// those of the longest part before it that can be parsed.
func (i *Interp) Outline(path string, src []byte) []Symbol {
	if len(src) > maxSource {
		return nil
	}
	f := i.parsePart(path, string(src))
	if f == nil {
		return nil
	}
	var out []Symbol
	for _, s := range f.Stmts {
		if load, ok := s.(*syntax.LoadStmt); ok {
			out = append(out, i.loaded(path, load)...)
			continue
		}
		out = append(out, symbols(path, s, strings.Split(string(src), "\n"))...)
	}
	return out
}

func symbols(path string, s syntax.Stmt, lines []string) []Symbol {
	var out []Symbol
	bindings(s, func(id *syntax.Ident, def *syntax.DefStmt) {
		from, to := id.Span()
		y := Symbol{Name: id.Name, Path: path, Pos: from, End: to}
		if def != nil {
			y.Doc = defDoc(def, lines)
		}
		out = append(out, y)
	})
	return out
}

// parsePart parses as many lines from the beginning as make sense. A file that is being
// written is most often wrong where the cursor is: that many cuts are tried.
func (i *Interp) parsePart(path, text string) *syntax.File {
	const tries = 20
	for range tries {
		f, err := dialect.Parse(path, text, 0)
		if err == nil {
			return f
		}
		e, ok := err.(syntax.Error)
		if !ok || e.Pos.Line < 2 {
			return nil
		}
		lines := strings.SplitAfter(text, "\n")
		text = strings.Join(lines[:min(int(e.Pos.Line)-1, len(lines)-1)], "")
	}
	return nil
}

// loaded are the names that a load binds, as they are in their module.
func (i *Interp) loaded(path string, load *syntax.LoadStmt) []Symbol {
	name, _ := load.Module.Value.(string)
	docs, err := i.exports(path, name, nil)
	if err != nil {
		return nil
	}
	key, read, err := i.locate(path, name)
	if err != nil {
		return nil
	}
	defined := map[string]Symbol{}
	source := ""
	if read != nil {
		if src, err := read(); err == nil {
			source = string(src)
			if f := i.parsePart(key, source); f != nil {
				for _, s := range f.Stmts {
					for _, y := range symbols(key, s, strings.Split(source, "\n")) {
						defined[y.Name] = y
					}
				}
			}
		}
	}
	var out []Symbol
	for n, from := range load.From {
		y := defined[from.Name]
		y.Name, y.Path, y.Source, y.Doc = load.To[n].Name, key, source, docs[from.Name]
		out = append(out, y)
	}
	return out
}
