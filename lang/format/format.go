// Package format writes scripts in the one style that Starlark has, buildifier's:
// github.com/bazelbuild/buildtools prints them. That parser knows no while, which our
// dialect has: such a loop is shown to it as a for loop of the same shape. What comes out
// is parsed again and must be the same program, else the file is left alone.
package format

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bazelbuild/buildtools/build"
	"go.starlark.net/syntax"

	"nsh/runtime/fault"
)

var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}

// MaxSource bounds a file: both parsers are recursive.
const MaxSource = 1 << 20

// placeholder stands for while. A condition of several lines is indented as behind it.
const placeholder = "for __nsh_while__ in "

// Source formats a script. The error of one that cannot be parsed is a [syntax.Error].
func Source(path string, src []byte) ([]byte, error) {
	if len(src) > MaxSource {
		return nil, fault.New(fault.Invalid, "%s has %d bytes; a script has %d at the most", path, len(src), MaxSource)
	}
	before, err := dialect.Parse(path, src, syntax.RetainComments)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(src, []byte("__nsh_while__")) {
		return nil, fault.New(fault.Invalid, "%s: the name __nsh_while__ is taken", path)
	}
	out, err := printed(path, expandTabs(before, hide(before, src)))
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s cannot be formatted: %s", path, err).WithHint("the file runs all the same; write the line in another way")
	}
	out = bytes.ReplaceAll(out, []byte(placeholder), []byte("while "))
	after, err := dialect.Parse(path, out, syntax.RetainComments)
	if err != nil || shape(before) != shape(after) || comments(before) != comments(after) {
		return nil, fault.New(fault.Invalid, "%s cannot be formatted: the result would not be the same program", path).WithHint("the file is left as it is")
	}
	return out, nil
}

// patience is how long a file may take. An editor waits for it, and the parser is not ours.
const patience = 10 * time.Second

// printed is what buildtools makes of a file.
func printed(path string, src []byte) ([]byte, error) {
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- result{err: fmt.Errorf("%v", r)}
			}
		}()
		f, err := build.ParseDefault(path, src)
		if err != nil {
			done <- result{err: err}
			return
		}
		done <- result{out: build.Format(f)}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-time.After(patience):
		return nil, fmt.Errorf("it takes longer than %s", patience)
	}
}

// hide puts the placeholder in place of each while.
func hide(f *syntax.File, src []byte) []byte {
	starts := lineStarts(src)
	var at []int
	syntax.Walk(f, func(n syntax.Node) bool {
		if w, ok := n.(*syntax.WhileStmt); ok {
			at = append(at, offset(src, starts, w.While))
		}
		return true
	})
	slices.Sort(at)
	for _, i := range slices.Backward(at) {
		rest := src[i+len("while"):]
		src = slices.Concat(src[:i], []byte(placeholder), bytes.TrimLeft(rest, " \t"))
	}
	return src
}

// tab is how far a tab goes, by Starlark's rule.
const tab = 8

// expandTabs makes blanks of the tabs that lines are indented with: buildtools takes none.
// Lines that begin within a string stay.
func expandTabs(f *syntax.File, src []byte) []byte {
	inside := map[int]bool{}
	syntax.Walk(f, func(n syntax.Node) bool {
		if lit, ok := n.(*syntax.Literal); ok {
			from, to := lit.Span()
			for line := from.Line + 1; line <= to.Line; line++ {
				inside[int(line)] = true
			}
		}
		return true
	})
	lines := strings.Split(string(src), "\n")
	for n, line := range lines {
		rest := strings.TrimLeft(line, " \t")
		indent := line[:len(line)-len(rest)]
		if inside[n+1] || !strings.Contains(indent, "\t") {
			continue
		}
		col := 0
		for _, r := range indent {
			if col++; r == '\t' {
				col += (tab - col%tab) % tab
			}
		}
		lines[n] = strings.Repeat(" ", col) + rest
	}
	return []byte(strings.Join(lines, "\n"))
}

func lineStarts(src []byte) []int {
	starts := []int{0}
	for i, c := range src {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// offset of a position, whose column counts characters.
func offset(src []byte, starts []int, pos syntax.Position) int {
	i := starts[pos.Line-1]
	for n := range string(src[i:]) {
		if pos.Col--; pos.Col == 0 {
			return i + n
		}
	}
	return len(src)
}

// shape is a tree as a text, without places, quotes and parentheses that mean nothing.
func shape(f *syntax.File) string {
	var b strings.Builder
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			if v.IsNil() {
				b.WriteString("nil ")
				return
			}
			walk(v.Elem())
		case reflect.Slice:
			b.WriteByte('[')
			for i := range v.Len() {
				walk(v.Index(i))
			}
			b.WriteByte(']')
		case reflect.Struct:
			t := v.Type()
			switch t {
			case reflect.TypeFor[syntax.Position]():
				return
			case reflect.TypeFor[syntax.Literal]():
				fmt.Fprintf(&b, "%v ", v.FieldByName("Value").Interface())
				return
			case reflect.TypeFor[syntax.LoadStmt]():
				l := v.Addr().Interface().(*syntax.LoadStmt)
				var names []string // their order means nothing, and is put right
				for i := range l.From {
					names = append(names, l.To[i].Name+"="+l.From[i].Name)
				}
				slices.Sort(names)
				fmt.Fprintf(&b, "load %v %v ", l.Module.Value, names)
				return
			case reflect.TypeFor[syntax.ParenExpr]():
				walk(v.FieldByName("X"))
				return
			}
			b.WriteString(t.Name() + "(")
			for i := range v.NumField() {
				name := t.Field(i).Name
				if !t.Field(i).IsExported() || name == "Binding" {
					continue
				}
				walk(v.Field(i))
			}
			b.WriteString(") ")
		default:
			fmt.Fprintf(&b, "%v ", v.Interface())
		}
	}
	walk(reflect.ValueOf(f.Stmts))
	return b.String()
}

// comments are all comments of a file, in their order.
func comments(f *syntax.File) string {
	var all []syntax.Comment
	syntax.Walk(f, func(n syntax.Node) bool {
		if n == nil {
			return false
		}
		if c := n.Comments(); c != nil {
			all = append(append(append(all, c.Before...), c.Suffix...), c.After...)
		}
		return true
	})
	slices.SortStableFunc(all, func(a, b syntax.Comment) int {
		if a.Start.Line != b.Start.Line {
			return int(a.Start.Line - b.Start.Line)
		}
		return int(a.Start.Col - b.Start.Col)
	})
	var b strings.Builder
	for _, c := range all {
		b.WriteString(strings.TrimSpace(c.Text) + "\n")
	}
	return b.String()
}
