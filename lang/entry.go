package lang

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// statement runs one statement of an entry as a program of its own. Whatever a
// program does not itself assign is looked up in the session's map when it is
// needed, so that a function sees what later statements and entries assign; of a
// program's own names a function would keep the value.
func (i *Interp) statement(t *starlark.Thread, f *syntax.File, n int) error {
	one := &syntax.File{Path: f.Path, Stmts: f.Stmts[n : n+1], Options: f.Options}
	if i.goesOn(f.Stmts[n]) {
		// Only this can begin with the old values, as x += 1 does; it copies them.
		return starlark.ExecREPLChunk(one, t, i.session)
	}
	later := map[string]bool{} // a function may call one that stands below it
	for _, s := range f.Stmts[n:] {
		bound(s, func(id *syntax.Ident) { later[id.Name] = true })
	}
	prog, err := starlark.FileProgram(one, func(name string) bool { return i.session.Has(name) || later[name] })
	if err != nil {
		return err
	}
	globals, err := prog.Init(t, i.session)
	for name, v := range globals {
		i.session[name] = v
	}
	return err
}

// goesOn tells whether a statement may read the old value of a name that it assigns.
func (i *Interp) goesOn(s syntax.Stmt) bool {
	again := map[string]bool{}
	binds := map[*syntax.Ident]bool{}
	bound(s, func(id *syntax.Ident) {
		binds[id] = true
		if i.session.Has(id.Name) {
			again[id.Name] = true
		}
	})
	if len(again) == 0 {
		return false
	}
	reads := false
	outside(s, func(n syntax.Node) {
		switch n := n.(type) {
		case *syntax.Ident:
			reads = reads || again[n.Name] && !binds[n]
		case *syntax.AssignStmt:
			if id, ok := n.LHS.(*syntax.Ident); ok && n.Op != syntax.EQ {
				reads = reads || again[id.Name]
			}
		}
	})
	return reads
}

// bound calls fn for the names that a statement assigns in the session.
func bound(s syntax.Stmt, fn func(*syntax.Ident)) {
	var target func(syntax.Expr)
	target = func(e syntax.Expr) {
		switch e := e.(type) {
		case *syntax.Ident:
			fn(e)
		case *syntax.ParenExpr:
			target(e.X)
		case *syntax.TupleExpr:
			for _, x := range e.List {
				target(x)
			}
		case *syntax.ListExpr:
			for _, x := range e.List {
				target(x)
			}
		}
	}
	outside(s, func(n syntax.Node) {
		switch n := n.(type) {
		case *syntax.DefStmt:
			fn(n.Name)
		case *syntax.AssignStmt:
			target(n.LHS)
		case *syntax.ForStmt:
			target(n.Vars)
		case *syntax.LoadStmt:
			for _, id := range n.To {
				fn(id)
			}
		}
	})
}

// outside walks a statement but for the bodies of functions: what happens there
// happens later, and what is assigned there is the function's own.
func outside(s syntax.Node, fn func(syntax.Node)) {
	syntax.Walk(s, func(n syntax.Node) bool {
		if n == nil {
			return false
		}
		fn(n)
		switch n := n.(type) {
		case *syntax.LoadStmt: // its names are the module's
			return false
		case *syntax.DefStmt:
			for _, p := range n.Params {
				if b, ok := p.(*syntax.BinaryExpr); ok { // a default
					outside(b.Y, fn)
				}
			}
			return false
		case *syntax.LambdaExpr:
			return false
		}
		return true
	})
}

// unassigned words what the library takes for a mistake of its own: a name that a
// statement further down was to assign.
func unassigned(err error) error {
	var e *starlark.EvalError
	if !errors.As(err, &e) {
		return err
	}
	if rest, ok := strings.CutPrefix(e.Msg, "internal error: predeclared variable "); ok {
		name, _, _ := strings.Cut(rest, " ")
		e.Msg = fmt.Sprintf("%s is used before it is assigned", name)
	}
	return err
}
