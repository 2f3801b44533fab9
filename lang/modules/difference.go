package modules

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// difference says how two values differ: shortly when they are short, by lines for
// texts of several, and by the places within for lists, dicts and structs.
func difference(got, want starlark.Value) string {
	if got.Type() != want.Type() {
		return fmt.Sprintf("got %s (%s), want %s (%s)", show(got), got.Type(), show(want), want.Type())
	}
	if g, ok := starlark.AsString(got); ok {
		w, _ := starlark.AsString(want)
		if strings.Contains(g, "\n") || strings.Contains(w, "\n") {
			return "the texts differ (- want, + got)\n" + lineDiff(w, g)
		}
	}
	g, w := show(got), show(want)
	out := fmt.Sprintf("got %s, want %s", g, w)
	if len(out) > 70 {
		out = fmt.Sprintf("they differ\n  got   %s\n  want  %s", g, w)
	}
	var places []string
	differences("", got, want, 0, &places)
	if len(places) == 1 && strings.HasPrefix(places[0], ":") {
		return out // there is no place within
	}
	if len(out) <= 70 && len(places) < 2 {
		return out
	}
	for n, p := range places {
		if n == maxPlaces {
			return out + "\n  …"
		}
		out += "\n  at " + p
	}
	return out
}

const maxPlaces = 10

// differences collects the places where two values differ, each as `["a"][2]: …`.
func differences(path string, got, want starlark.Value, depth int, out *[]string) {
	if len(*out) > maxPlaces {
		return
	}
	if same, err := starlark.Equal(got, want); err == nil && same {
		return
	}
	note := func(path, format string, args ...any) {
		*out = append(*out, path+": "+fmt.Sprintf(format, args...))
	}
	if got.Type() == want.Type() && depth < maxDepth {
		switch g := got.(type) {
		case starlark.IterableMapping:
			w := want.(starlark.IterableMapping)
			for _, kv := range g.Items() {
				at := fmt.Sprintf("%s[%s]", path, kv[0])
				if x, ok, _ := w.Get(kv[0]); ok {
					differences(at, kv[1], x, depth+1, out)
				} else {
					note(at, "got %s, want no such key", show(kv[1]))
				}
			}
			for _, kv := range w.Items() {
				if _, ok, _ := g.Get(kv[0]); !ok {
					note(fmt.Sprintf("%s[%s]", path, kv[0]), "no such key, want %s", show(kv[1]))
				}
			}
			return
		case *starlarkstruct.Struct:
			w := want.(*starlarkstruct.Struct)
			for _, name := range g.AttrNames() {
				x, _ := g.Attr(name)
				if y, err := w.Attr(name); err == nil && y != nil {
					differences(path+"."+name, x, y, depth+1, out)
				} else {
					note(path+"."+name, "got %s, want no such field", show(x))
				}
			}
			for _, name := range w.AttrNames() {
				if x, err := g.Attr(name); err != nil || x == nil {
					y, _ := w.Attr(name)
					note(path+"."+name, "no such field, want %s", show(y))
				}
			}
			return
		case *starlark.List, starlark.Tuple:
			x, y := got.(starlark.Indexable), want.(starlark.Indexable)
			for i := range max(x.Len(), y.Len()) {
				at := fmt.Sprintf("%s[%d]", path, i)
				switch {
				case i >= x.Len():
					note(at, "missing, want %s", show(y.Index(i)))
				case i >= y.Len():
					note(at, "got %s, want nothing", show(x.Index(i)))
				default:
					differences(at, x.Index(i), y.Index(i), depth+1, out)
				}
			}
			return
		case *starlark.Set:
			w := want.(*starlark.Set)
			for x := range starlark.Elements(g) {
				if has, _ := w.Has(x); !has {
					note(path, "got %s, want it not", show(x))
				}
			}
			for x := range starlark.Elements(w) {
				if has, _ := g.Has(x); !has {
					note(path, "missing, want %s", show(x))
				}
			}
			return
		}
	}
	note(path, "got %s, want %s", show(got), show(want))
}

// maxLines of a text are compared line by line; the work grows with their square.
const maxLines = 1000

// lineDiff shows what has to go from a and what to come to get b, with a line of what
// is common around it.
func lineDiff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	cut := ""
	if len(x) > maxLines || len(y) > maxLines {
		x, y = x[:min(len(x), maxLines)], y[:min(len(y), maxLines)]
		cut = "  …\n"
	}
	// common[i][j] is how many lines x[i:] and y[j:] have in common.
	common := make([][]int, len(x)+1)
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	type entry struct {
		sign byte
		text string
	}
	var all []entry
	for i, j := 0, 0; i < len(x) || j < len(y); {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			all = append(all, entry{' ', x[i]})
			i, j = i+1, j+1
		case i < len(x) && (j == len(y) || common[i+1][j] >= common[i][j+1]):
			all = append(all, entry{'-', x[i]})
			i++
		default:
			all = append(all, entry{'+', y[j]})
			j++
		}
	}
	const around = 2
	near := make([]bool, len(all))
	for n, e := range all {
		for k := max(0, n-around); e.sign != ' ' && k < min(len(all), n+around+1); k++ {
			near[k] = true
		}
	}
	var out strings.Builder
	for n, e := range all {
		if near[n] {
			out.WriteString("  " + strings.TrimRight(string(e.sign)+" "+e.text, " ") + "\n")
		} else if n > 0 && near[n-1] {
			out.WriteString("  …\n")
		}
	}
	return strings.TrimRight(out.String()+cut, "\n")
}
